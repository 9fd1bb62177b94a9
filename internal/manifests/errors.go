package manifests

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
)

// maxMessage bounds, in bytes, what is passed on of the API server's text about one
// object.
const maxMessage = 1 << 10

// conflict is a field of which another field manager is the owner.
type conflict struct{ field, owner string }

func (c conflict) String() string {
	return contract.Clip(fmt.Sprintf("%s is owned by %s", c.field, c.owner), maxPath)
}

// taken words the conflict if force takes the field.
func (c conflict) taken() string {
	return contract.Clip(fmt.Sprintf("%s from %s", c.field, c.owner), maxPath)
}

// conflicts are the fields of which other field managers are the owners; none if
// the error is another one.
func conflicts(err error) []conflict {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusConflict || status.Status().Details == nil {
		return nil
	}
	var all []conflict
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			// The message is such as: conflict with "kubectl-edit" using apps/v1
			all = append(all, conflict{strings.TrimPrefix(cause.Field, "."), strings.TrimPrefix(cause.Message, "conflict with ")})
		}
	}
	return all
}

// wordedAs words each of the conflicts.
func wordedAs(all []conflict, word func(conflict) string) []string {
	var texts []string
	for _, c := range all {
		texts = append(texts, word(c))
	}
	return texts
}

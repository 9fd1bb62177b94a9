package objects

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
)

// maxMessage bounds, in bytes, what is passed on of the API server's text about one object,
// and maxPath the path of a field in it.
const (
	maxMessage = 1 << 10
	maxPath    = 200
)

// Conflict is a field of which another field manager is the owner.
type Conflict struct{ field, owner string }

func (c Conflict) String() string {
	return contract.Clip(fmt.Sprintf("%s is owned by %s", c.field, c.owner), maxPath)
}

// Taken words the conflict if force takes the field.
func (c Conflict) Taken() string {
	return contract.Clip(fmt.Sprintf("%s from %s", c.field, c.owner), maxPath)
}

// Conflicts are the fields of which other field managers are the owners; none if
// the error is another one.
func Conflicts(err error) []Conflict {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusConflict || status.Status().Details == nil {
		return nil
	}
	var all []Conflict
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			// The message is such as: conflict with "kubectl-edit" using apps/v1
			all = append(all, Conflict{strings.TrimPrefix(cause.Field, "."), strings.TrimPrefix(cause.Message, "conflict with ")})
		}
	}
	return all
}

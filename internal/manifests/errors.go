package manifests

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

// redact takes the values of a Secret out of a text.
func (o Object) redact(text string) string {
	if !o.IsSecret() {
		return text
	}
	var secret struct {
		Data       map[string]string `json:"data"`
		StringData map[string]string `json:"stringData"`
	}
	_ = json.Unmarshal(o.JSON, &secret) // read.go has seen that they are strings
	var values []string
	for _, value := range secret.StringData {
		values = append(values, value)
	}
	for _, value := range secret.Data {
		values = append(values, value)
		if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
			values = append(values, string(plain))
		}
	}
	// A value may be a part of another one.
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	for _, value := range values {
		if value == "" {
			continue
		}
		quoted := strconv.Quote(value) // as most messages have it
		text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], hidden)
		text = strings.ReplaceAll(text, value, hidden)
	}
	return text
}

package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/kube"
)

// explainKinds names an error of asking which kinds the cluster serves.
func (c Client) explainKinds(err error) *contract.Error {
	doing := "read which kinds it serves"
	if of := (*ofGroup)(nil); errors.As(err, &of) {
		doing = fmt.Sprintf("read which kinds of %s it serves", of.GroupVersion)
		if of.Group != "" && kube.FailedAPIService(err) {
			w := apiService(of.GroupVersion)
			return contract.Errorf(contract.WebhookFailed, "%s failed, so cluster %s could not %s (%d). %s", w, c.Conn.Cluster.Name, doing, statusOf(err).Code, w.Advice()).From(err)
		}
	}
	return c.Conn.Explain(err, doing)
}

// common are the groups and versions in which most kinds are.
var common = []schema.GroupVersion{
	{Version: "v1"}, {Group: "apps", Version: "v1"}, {Group: "batch", Version: "v1"}, {Group: "networking.k8s.io", Version: "v1"},
	{Group: "policy", Version: "v1"}, {Group: "autoscaling", Version: "v2"}, {Group: "storage.k8s.io", Version: "v1"}, {Group: "rbac.authorization.k8s.io", Version: "v1"},
}

// Suggest is a sentence on the kinds that may be meant by some that nobody defines: the
// same one in another group or version, or one that is spelt alike. It is empty if there
// are none, or if they cannot be found out.
func (c Client) Suggest(ctx context.Context, nowhere Unknown) string {
	served := map[schema.GroupVersion][]string{}
	kinds := func(v schema.GroupVersion) []string {
		if _, asked := served[v]; !asked && len(served) < maxAsked {
			resources, err := c.resources(ctx, v)
			served[v] = nil
			for _, r := range resources {
				if err == nil && !r.IsSubresource() {
					served[v] = append(served[v], r.Kind)
				}
			}
		}
		return served[v]
	}
	var texts []string
	for _, o := range nowhere {
		if o.meant != "" { // which is said already
			continue
		}
		places := []schema.GroupVersion{o.GroupVersion()}
		if o.Group != "" {
			versions, _ := c.versions(ctx, o.Group) // without them, the others are looked at
			for _, version := range versions {
				places = append(places, schema.GroupVersion{Group: o.Group, Version: version})
			}
		}
		if text := like(o.Object, append(places, common...), kinds); text != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
		if len(texts) == maxMeant {
			break
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "Did you mean " + strings.Join(texts, ", or ") + "? "
}

// maxAsked bounds the groups and versions that are asked for a misspelt kind, and maxMeant
// the kinds that are suggested.
const (
	maxAsked = 40
	maxMeant = 5
)

// like returns the kind that is most like an object's kind: of the same name first.
func like(o Object, places []schema.GroupVersion, kinds func(schema.GroupVersion) []string) string {
	for _, alike := range []func(a, b string) bool{strings.EqualFold, func(a, b string) bool { return strings.EqualFold(a+"s", b) }, func(a, b string) bool { return len(a) > 5 && input.Alike(a, b) }} {
		for _, v := range places {
			for _, kind := range kinds(v) {
				if alike(kind, o.Kind) {
					return fmt.Sprintf("kind %s in %s", kind, v)
				}
			}
		}
	}
	return ""
}

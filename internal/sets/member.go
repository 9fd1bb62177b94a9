package sets

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// Member is a live object with the label of a set.
type Member struct {
	objects.Target
	metadata
}

// UID is what tells the member from a later object of its name.
func (m Member) UID() string { return m.metadata.UID }

// Digest is what a plan keeps of a member.
func (m Member) Digest() string {
	hash := sha256.Sum256([]byte(m.metadata.UID))
	return base64.RawURLEncoding.EncodeToString(hash[:])[:applymanifests.DigestLength]
}

// isBeingDeleted reports whether somebody has deleted it, and it waits for its finalizers.
func (m Member) isBeingDeleted() bool { return m.DeletionTimestamp != "" }

const (
	// pageSize is how many members are asked for at once. Their metadata takes 1 to 3 KB each.
	pageSize = 250
	// pageBytes bounds a page. The metadata of one object may take more than 1 MiB.
	pageBytes = 4 << 20
	// maxMembers bounds the members of a set, each of which takes some 500 bytes.
	maxMembers = 20_000
)

// acceptMetadata asks for the metadata of the objects of a list.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
const acceptMetadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// Members lists the members of a set: all objects in the scope that have its label. Of the
// kinds in the scope, known are where they are in the API; where the others are is found
// out. The unserved scope has the kinds that the cluster does not serve, in all namespaces:
// nobody can tell whether they have members, and their definitions may come back.
//
// Errors: Unauthorized, Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable;
// WebhookFailed if an APIService does not answer, since nobody can tell then what is there;
// InvalidInput for a kind that cannot be listed.
func (s Set) Members(ctx context.Context, c objects.Client, scope Scope, known []objects.Target) (members []Member, unserved Scope, err error) {
	kinds, err := c.Kinds(ctx, scope.Kinds, known)
	if err != nil {
		return nil, Scope{}, err
	}
	unserved.Kinds = slices.DeleteFunc(slices.Clone(scope.Kinds), func(kind schema.GroupKind) bool {
		return slices.ContainsFunc(kinds, func(t objects.Target) bool { return t.GroupKind() == kind })
	})
	if len(unserved.Kinds) > 0 {
		unserved.Namespaces = scope.Namespaces
	}
	type place struct {
		kind      objects.Target
		namespace string
	}
	var places []place
	for _, kind := range kinds {
		switch {
		case len(kind.Verbs) > 0 && !slices.Contains(kind.Verbs, "list"):
			return nil, Scope{}, contract.Errorf(contract.InvalidInput, "Cluster %s does not let anybody list objects of kind %s, so they can be in no set", c.Conn.Cluster.Name, kind.GroupKind())
		case kind.Namespaced:
			for _, namespace := range scope.Namespaces {
				places = append(places, place{kind, namespace})
			}
		default:
			places = append(places, place{kind, ""})
		}
	}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(batch.AtOnce)
	for _, at := range places {
		group.Go(func() error {
			ctx, end := c.Conn.Turn(groupCtx)
			defer end()
			var found []Member
			err := list(ctx, c, at.kind, at.namespace, LabelPartOf+"="+s.ID(), func(m metadata) {
				// An aggregated API may not look at the selector, and whatever it has would be deleted.
				if m.Labels[LabelPartOf] == s.ID() && m.UID != "" && m.ResourceVersion != "" && m.Namespace == at.namespace {
					found = append(found, s.member(at.kind, m))
				}
			})
			if err != nil {
				return c.Conn.Explain(err, "list "+describeAll(at.kind, at.namespace))
			}
			mu.Lock()
			defer mu.Unlock()
			if members = append(members, found...); len(members) > maxMembers {
				return contract.Errorf(contract.InvalidInput, "Set %s in cluster %s has more than %d members. Make several sets of it", s, c.Conn.Cluster.Name, maxMembers)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, Scope{}, err
	}
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(b.Stage(), a.Stage()), strings.Compare(a.Group, b.Group), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return members, unserved, nil
}

func (s Set) member(kind objects.Target, m metadata) Member {
	kind.Object = objects.Object{GroupVersionKind: kind.GroupVersionKind, Namespace: m.Namespace, Name: m.Name, From: "set " + s.Name}
	// There may be 20,000 of them, so what is not needed is not kept.
	m.Annotations = only(m.Annotations, slices.Concat(annotationsThatKeep(), annotationsOfOwners()))
	m.Labels = only(m.Labels, labelsOfOwners())
	return Member{kind, m}
}

func only(all map[string]string, keys []string) map[string]string {
	var kept map[string]string
	for _, key := range keys {
		if value, ok := all[key]; ok {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[key] = strings.Clone(value)
		}
	}
	return kept
}

func describeAll(kind objects.Target, namespace string) string {
	name := kind.Plural
	if kind.Group != "" {
		name += "." + kind.Group
	}
	if namespace != "" {
		name += " in namespace " + namespace
	}
	return name
}

func kindOf(t objects.Target) objects.Target {
	t.Object = objects.Object{GroupVersionKind: t.GroupVersionKind}
	return t
}

// list reads the metadata of the objects that a selector selects, page by page. It begins
// anew if it takes longer than the cluster keeps its past, and then adds an object twice.
func list(ctx context.Context, c objects.Client, kind objects.Target, namespace, selector string, add func(metadata)) error {
	limit, next := pageSize, ""
	seen := map[string]bool{}
	for {
		request := c.Conn.Get().AbsPath(kind.PathIn(namespace)...).SetHeader("Accept", acceptMetadata).MaxRetries(0).
			Param("labelSelector", selector).Param("limit", strconv.Itoa(limit))
		if next != "" {
			request = request.Param("continue", next)
		}
		text, err := kube.Body(request.Do(kube.AtMost(ctx, pageBytes)))
		tooLarge := (*kube.TooLargeError)(nil)
		switch {
		case errors.As(err, &tooLarge) && limit > 1:
			limit /= 4
			limit = max(limit, 1)
			continue
		case apierrors.IsResourceExpired(err) && next != "":
			next = ""
			continue
		case apierrors.IsTooManyRequests(err) && batch.Sleep(ctx, batch.RetryAfter(err)) == nil:
			continue
		case err != nil:
			return err
		}
		var page struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []struct {
				Metadata metadata `json:"metadata"`
			} `json:"items"`
		}
		if err := json.Unmarshal(text, &page); err != nil || page.Kind != "PartialObjectMetadataList" {
			return kube.BadAnswer("it is not a list of metadata")
		}
		for _, item := range page.Items {
			if uid := item.Metadata.UID; !seen[uid] {
				seen[uid] = true
				add(item.Metadata)
			}
		}
		if next = page.Metadata.Continue; next == "" {
			return nil
		}
	}
}

// Checks are the permissions to find the members of a set in a scope and, if they are to be
// deleted, to delete them.
func Checks(ctx context.Context, c objects.Client, scope Scope, known []objects.Target, deletes bool) ([]contract.Check, error) {
	kinds, err := c.Kinds(ctx, scope.Kinds, known)
	if err != nil {
		return nil, err
	}
	verbs := []string{"list"}
	if deletes {
		verbs = append(verbs, "delete")
	}
	var checks []contract.Check
	for _, kind := range kinds {
		namespaces := []string{""}
		if kind.Namespaced {
			namespaces = scope.Namespaces
		}
		for _, namespace := range namespaces {
			kind.Namespace = namespace
			for _, verb := range verbs {
				checks = append(checks, kind.Check(verb, ""))
			}
		}
	}
	return checks, nil
}

// identity is what makes two objects the same one, whatever version they are of.
type identity struct {
	schema.GroupKind
	namespace, name string
}

func identityOf(t objects.Target) identity {
	of := identity{GroupKind: t.GroupKind(), name: t.Name}
	if t.Namespaced {
		of.namespace = t.Namespace
	}
	return of
}

func (m Member) String() string { return fmt.Sprint(m.Target) }

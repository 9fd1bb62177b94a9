package sets

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// kubectl runs kubectl with ApplySets, which are alpha, as the administrator.
// https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#alternative-kubectl-apply-f-directory-prune
func (p *place) kubectl(t testing.TB, set, manifests string) (string, error) {
	t.Helper()
	key := p.documents(manifests)
	text, _ := files.Load(key)
	dir := t.TempDir()
	file := filepath.Join(dir, "manifests.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text.(string)), 0o600))
	kubectl := exec.CommandContext(t.Context(), filepath.Join(root, "build", "local", "kubectl"), "--kubeconfig", controlPlane.Kubeconfig, "--cache-dir", dir,
		"apply", "--applyset", "configmaps/"+set, "--namespace", p.namespace("a"), "--prune", "--filename", file)
	kubectl.Env = append(os.Environ(), "KUBECTL_APPLYSET=true")
	out, err := kubectl.CombinedOutput()
	return string(out), err
}

// told is what a set is, whoever applied it: its members, and what its parent says of them.
func (p *place) told(all map[string]live, set string) []string {
	own := func(text string) string {
		return strings.NewReplacer(p.namespace("a"), "A", p.namespace("b"), "B").Replace(text)
	}
	told := []string{}
	for id, l := range all {
		if l.name != set || l.parentOf == "" {
			told = append(told, fmt.Sprintf("%s=%s, a member: %t", id, l.value, l.partOf == p.setOf(set).ID()))
		}
	}
	parent := all["cm a/"+set]
	if parent.parentOf != p.setOf(set).ID() {
		told = append(told, "the parent has another id")
	}
	for key, value := range parent.annotations {
		if strings.HasPrefix(key, "applyset.kubernetes.io/") && key != "applyset.kubernetes.io/tooling" {
			told = append(told, key+"="+own(value))
		}
	}
	slices.Sort(told)
	return told
}

// happens is what happens to a set next: manifests are applied, or somebody deletes an object or takes it out of the set.
type happens struct{ manifests, deleted, taken string }

// random is a history of a set. It is in one namespace: with a ConfigMap, kubectl refuses objects of others.
func random(seed uint64, steps int) []happens {
	r := rand.New(rand.NewPCG(seed, 21))
	var pool []string
	for _, kind := range []string{"cm", "secret", "lease", "sa"} {
		for _, where := range []string{"a/one", "a/two", "a/three", "a/four"} {
			pool = append(pool, kind+" "+where)
		}
	}
	pool = append(pool, "pc /one", "pc /two")
	var all []happens
	for n := range steps {
		var objects []string
		density := 0.1 + 0.4*r.Float64()
		for _, o := range pool {
			if r.Float64() < density {
				objects = append(objects, fmt.Sprintf("%s=%d", o, r.IntN(2)+n*(1+r.IntN(2))))
			}
		}
		if len(objects) == 0 {
			objects = []string{"cm a/only=1"}
		}
		h := happens{manifests: strings.Join(objects, " ")}
		switch r.IntN(4) {
		case 0:
			h.deleted = strings.Split(objects[r.IntN(len(objects))], "=")[0]
		case 1:
			h.taken = strings.Split(objects[r.IntN(len(objects))], "=")[0]
		}
		all = append(all, h)
	}
	return all
}

func TestASetIsWhatKubectlMakesOfIt(t *testing.T) {
	seeds, steps := 1, 4
	if *every == 1 {
		seeds, steps = 25, 8
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			theirs, ours := newPlace(t), newPlace(t)
			for n, h := range random(seed, steps) {
				said, err := theirs.kubectl(t, "s", h.manifests)
				require.NoError(t, err, said)
				o := ours.run(t, step{set: "s", manifests: h.manifests, prune: true}, plan{})
				require.NoError(t, o.err, h.manifests)
				wanted, err := theirs.look()
				require.NoError(t, err)
				is, err := ours.look()
				require.NoError(t, err)
				require.Equal(t, theirs.told(wanted, "s"), ours.told(is, "s"), "step %d: %s\n%s", n, h.manifests, said)
				assert.Equal(t, strings.Count(said, " pruned\n"), o.output.Pruned, said)
				for _, p := range []*place{theirs, ours} {
					for _, o := range parse(h.deleted + " ") {
						require.NoError(t, p.remove(o))
					}
					for _, o := range parse(h.taken + " ") {
						require.NoError(t, p.patch(o, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`))
					}
				}
			}
		})
	}
}

func TestKubectlAndKubestepLeaveEachOthersSetsAlone(t *testing.T) {
	p := newPlace(t)
	said, err := p.kubectl(t, "theirs", "cm a/one=1")
	require.NoError(t, err, said)
	require.NoError(t, p.run(t, step{set: "ours", manifests: "cm a/two=1"}, plan{}).err)
	before, err := p.look()
	require.NoError(t, err)

	err = p.run(t, step{set: "theirs", manifests: "cm a/three=1", prune: true}, plan{}).err
	require.ErrorContains(t, err, string(contract.OwnerConflict))
	assert.ErrorContains(t, err, "kubectl/v1.37", "it says whose set it is")
	err = p.run(t, step{set: "theirs", mode: "delete"}, plan{}).err
	require.ErrorContains(t, err, string(contract.OwnerConflict))
	said, err = p.kubectl(t, "ours", "cm a/three=1")
	require.Error(t, err)
	assert.Contains(t, said, "kubestep", "it says whose set it is")

	after, err := p.look()
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

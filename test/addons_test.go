package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

// addons are the manifests of cluster/addons in the module that the control plane is
// built from: nobody here wrote them. Left out are templates that are no YAML before
// they are filled in, and what an earlier file has already.
func addons(t *testing.T) []byte {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	list.Dir = filepath.Join(repository, "local", "controlplane")
	dir, err := list.Output()
	require.NoError(t, err)
	var all bytes.Buffer
	seen := map[string]bool{}
	require.NoError(t, filepath.WalkDir(filepath.Join(strings.TrimSpace(string(dir)), "cluster", "addons"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			var object metav1.PartialObjectMetadata
			if yaml.Unmarshal(document, &object) != nil || object.Kind == "" || seen[object.Kind+" "+object.Name] {
				continue
			}
			seen[object.Kind+" "+object.Name] = true
			all.WriteString("---\n")
			all.Write(document)
		}
	}))
	require.Greater(t, len(seen), 100, "enough remains")
	return all.Bytes()
}

func TestWhatIsAppliedIsObjectForObjectWhatKubectlMakesOfIt(t *testing.T) {
	t.Parallel()
	manifests := filepath.Join(t.TempDir(), "addons.yaml")
	require.NoError(t, os.WriteFile(manifests, addons(t), 0o600))
	theirs := another(t, "by-kubectl")
	kubectl(t, theirs, "apply", "--server-side", "-f", manifests)

	ours := another(t, "by-kubestep")
	a := newApplier(t)
	where := region()
	require.NoError(t, local.Describe(ours, func(d *awsfront.Cluster) { d.ARN = clusterARN(where, world.Account) }))
	// Whoever makes roles has to have what they allow.
	mapped, err := yaml.Marshal([]mapping{{a.stack.Role("apply-mint-token"), "applier", []string{"system:masters"}}})
	require.NoError(t, err)
	config, err := ours.Admin()
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "aws-auth"}, Data: map[string]string{"mapRoles": string(mapped)},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, source := a.bucket(t, string(addons(t)))
	a.set(t, map[string]string{"ApplyAllowedKinds": "Role,RoleBinding,ClusterRole,ClusterRoleBinding"})
	output := applied(t, a.run(t, map[string]any{"source": source, "region": where, "namespace": "default"}))

	want, got := objectsOf(t, theirs, manifests, "kubectl"), objectsOf(t, ours, manifests, "kubestep")
	assert.Equal(t, len(want), output.Applied)
	for name, object := range want {
		assert.Equal(t, object, got[name], name)
	}
	output = applied(t, a.run(t, map[string]any{"source": source, "region": where, "namespace": "default", "mode": "plan"}))
	assert.False(t, output.Drift)
	assert.Equal(t, len(want), output.Plan.Unchanged)
}

// kubectl runs kubectl as the cluster's administrator.
func kubectl(t *testing.T, c *world.ControlPlane, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", append(args, "--kubeconfig", c.Kubeconfig, "--cache-dir", t.TempDir())...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return out
}

// objectsOf are the objects of the manifests as they are in a cluster, by their names,
// without what differs from one cluster to another.
func objectsOf(t *testing.T, c *world.ControlPlane, manifests, manager string) map[string]map[string]any {
	t.Helper()
	var list unstructured.UnstructuredList
	require.NoError(t, json.Unmarshal(kubectl(t, c, "get", "--show-managed-fields", "-o", "json", "-f", manifests), &list))
	objects := map[string]map[string]any{}
	for _, o := range list.Items {
		// The status is the controllers', which are not in step.
		entries := slices.DeleteFunc(o.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Subresource == "status" })
		for i := range entries {
			entries[i].Time = nil
			if entries[i].Manager == manager {
				entries[i].Manager = "the one that applies"
			}
		}
		o.SetManagedFields(entries)
		for _, field := range [][]string{
			{"metadata", "uid"}, {"metadata", "resourceVersion"}, {"metadata", "creationTimestamp"}, {"spec", "clusterIP"}, {"spec", "clusterIPs"}, {"status"},
		} {
			unstructured.RemoveNestedField(o.Object, field...)
		}
		ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
		for _, port := range ports {
			delete(port.(map[string]any), "nodePort") // the cluster chooses one at random
		}
		if ports != nil {
			require.NoError(t, unstructured.SetNestedSlice(o.Object, ports, "spec", "ports"))
		}
		objects[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = o.Object
	}
	return objects
}

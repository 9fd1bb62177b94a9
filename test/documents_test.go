package test

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What kubectl drops or changes is applied as it is written, and is no drift then.
func TestTheClusterKeepsWhatTheManifestsSay(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	text := `apiVersion: v1
kind: ConfigMap
metadata: {name: next-line}
data: {a: "x\x85y"}
...
apiVersion: v1
kind: ConfigMap
metadata: {name: after-the-end}
data: {<<: {a: "1", b: "1"}, b: "2"}
---
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"slash"},"data":{"a":"\/srv"}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"pair"},"data":{"a":"\ud83d\udc26\ufeff\u007f"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: last}
data:
  a: ` + strings.Repeat("x", 4096-len("  a: "))
	client, source := a.bucket(t, text)
	assert.Equal(t, 5, applied(t, a.run(t, map[string]any{"source": source})).Applied)
	configMaps := admin(t).CoreV1().ConfigMaps(a.namespace)
	for name, want := range map[string]map[string]string{
		"next-line":     {"a": "x\u0085y"},
		"after-the-end": {"a": "1", "b": "2"},
		"slash":         {"a": "/srv"},
		"pair":          {"a": "\U0001f426\ufeff\x7f"},
		"last":          {"a": strings.Repeat("x", 4096-len("  a: "))},
	} {
		live, err := configMaps.Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, want, live.Data, name)
	}
	assert.False(t, applied(t, a.run(t, map[string]any{"source": source, "mode": "plan"})).Drift)

	// PowerShell writes UTF-16.
	var encoded strings.Builder
	for _, unit := range utf16.Encode([]rune("\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"))) {
		encoded.WriteString(string([]byte{byte(unit), byte(unit >> 8)}))
	}
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr(source["bucket"]), Key: ptr(source["key"]), Body: strings.NewReader(encoded.String())})
	require.NoError(t, err)
	assert.Equal(t, 5, applied(t, a.run(t, map[string]any{"source": source, "mode": "plan"})).Plan.Unchanged)
}

func TestAKeyThatLeavesStringDataLeavesTheSecret(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	before := "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {old: dummy, new: dummy}\n"
	after := "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {new: dummy}\n"
	client, source := a.bucket(t, before)
	secrets := admin(t).CoreV1().Secrets(a.namespace)
	// An earlier kubestep sent stringData as it is.
	_, err := secrets.Patch(t.Context(), "keys", types.ApplyPatchType, []byte(before), metav1.PatchOptions{FieldManager: "kubestep"})
	require.NoError(t, err)
	output := applied(t, a.run(t, map[string]any{"source": source}))
	assert.False(t, output.Drift)
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr(source["bucket"]), Key: ptr(source["key"]), Body: strings.NewReader(after)})
	require.NoError(t, err)
	output = applied(t, a.run(t, map[string]any{"source": source, "mode": "plan"}))
	require.Len(t, output.Plan.Objects, 1)
	assert.Equal(t, []string{"-data.old"}, output.Plan.Objects[0].Changes)
	applied(t, a.run(t, map[string]any{"source": source}))
	live, err := secrets.Get(t.Context(), "keys", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string][]byte{"new": []byte("dummy")}, live.Data)
}

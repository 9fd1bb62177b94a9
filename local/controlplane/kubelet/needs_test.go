package kubelet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func newSources(t *testing.T, objects ...metav1.Object) sources {
	t.Helper()
	secrets, configMaps := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, object := range objects {
		if _, secret := object.(*corev1.Secret); secret {
			require.NoError(t, secrets.Add(object))
		} else {
			require.NoError(t, configMaps.Add(object))
		}
	}
	return sources{corev1listers.NewSecretLister(secrets), corev1listers.NewConfigMapLister(configMaps)}
}

func TestAPodLacksWhatItNeedsAndIsNotThere(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "there"}
	s := newSources(t, &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"key": nil}}, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": ""}, BinaryData: map[string][]byte{"bytes": nil}})
	name := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	for sentence, c := range map[string]struct {
		volume corev1.VolumeSource
		want   string
	}{
		"a Secret":                    {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "none"}}, `"v" : secret "none" not found`},
		"one that is there":           {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "there"}}, ""},
		"one that need not be":        {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "none", Optional: new(true)}}, ""},
		"a key of it":                 {corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "there", Items: []corev1.KeyToPath{{Key: "other"}}}}, `"v" : references non-existent secret key: other`},
		"a ConfigMap":                 {corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: name("none")}}, `"v" : configmap "none" not found`},
		"a key of that":               {corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: name("there"), Items: []corev1.KeyToPath{{Key: "bytes"}, {Key: "other"}}}}, `"v" : configmap references non-existent config key: other`},
		"a part of a volume":          {corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: name("there")}}, {ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: name("none")}}}}}, `"v" : configmap "none" not found`},
		"nothing of other kinds":      {corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, ""},
		"a claim is no matter of its": {corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "none"}}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: c.volume}}}}
			found, err := s.lacks(pod)
			require.NoError(t, err)
			assert.Equal(t, c.want, found.volume)
			assert.Equal(t, c.want != "", found.something())
		})
	}
	for sentence, c := range map[string]struct {
		container corev1.Container
		want      string
	}{
		"all of a Secret":            {corev1.Container{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: name("none")}}}}, `secret "none" not found`},
		"all of a ConfigMap":         {corev1.Container{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: name("none")}}}}, `configmap "none" not found`},
		"what is there of it":        {corev1.Container{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: name("there")}}}}, ""},
		"a variable":                 {corev1.Container{Env: []corev1.EnvVar{{Name: "plain", Value: "a"}, {ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: name("there"), Key: "other"}}}}}, "couldn't find key other in Secret shop/there"},
		"one of a ConfigMap":         {corev1.Container{Env: []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: name("there"), Key: "other"}}}}}, "couldn't find key other in ConfigMap shop/there"},
		"one that need not be there": {corev1.Container{Env: []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: name("there"), Key: "other", Optional: new(true)}}}}}, ""},
		"one of the pod itself":      {corev1.Container{Env: []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			c.container.Name = "c"
			found, err := s.lacks(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Spec: corev1.PodSpec{Containers: []corev1.Container{c.container}}})
			require.NoError(t, err)
			assert.Equal(t, c.want, found.environment["c"])
		})
	}
}

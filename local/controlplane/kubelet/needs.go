package kubelet

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1listers "k8s.io/client-go/listers/core/v1"
)

// sources are what containers get their volumes and environments from.
type sources struct {
	secrets    corev1listers.SecretLister
	configMaps corev1listers.ConfigMapLister
}

// lacks returns what is not there of what a pod needs. Volumes that a scheduler looks at, it does not look at again.
func (s sources) lacks(pod *corev1.Pod) (lacks, error) {
	l := lacks{environment: map[string]string{}}
	for _, volume := range pod.Spec.Volumes {
		why, err := s.volume(pod.Namespace, volume)
		if err != nil {
			return l, err
		}
		if why != "" {
			l.volume = fmt.Sprintf("%q : %s", volume.Name, why)
			break
		}
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		why, err := s.environment(pod.Namespace, container)
		if err != nil {
			return l, err
		}
		if why != "" {
			l.environment[container.Name] = why
		}
	}
	return l, nil
}

func (s sources) volume(namespace string, volume corev1.Volume) (string, error) {
	keys := func(items []corev1.KeyToPath) (all []string) {
		for _, item := range items {
			all = append(all, item.Key)
		}
		return all
	}
	const noKey = "references non-existent %s key: %s"
	secret := func(name string, items []corev1.KeyToPath, optional *bool) (string, error) {
		return s.secret(namespace, name, optional, keys(items), func(key string) string { return fmt.Sprintf(noKey, "secret", key) })
	}
	configMap := func(name string, items []corev1.KeyToPath, optional *bool) (string, error) {
		return s.configMap(namespace, name, optional, keys(items), func(key string) string { return "configmap " + fmt.Sprintf(noKey, "config", key) })
	}
	switch {
	case volume.Secret != nil:
		return secret(volume.Secret.SecretName, volume.Secret.Items, volume.Secret.Optional)
	case volume.ConfigMap != nil:
		return configMap(volume.ConfigMap.Name, volume.ConfigMap.Items, volume.ConfigMap.Optional)
	case volume.Projected != nil:
		for _, source := range volume.Projected.Sources {
			why, err := "", error(nil)
			switch {
			case source.Secret != nil:
				why, err = secret(source.Secret.Name, source.Secret.Items, source.Secret.Optional)
			case source.ConfigMap != nil:
				why, err = configMap(source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional)
			}
			if err != nil || why != "" {
				return why, err
			}
		}
	}
	return "", nil
}

func (s sources) environment(namespace string, container corev1.Container) (why string, err error) {
	noKey := func(kind, name string) func(string) string {
		return func(key string) string {
			return fmt.Sprintf("couldn't find key %s in %s %s/%s", key, kind, namespace, name)
		}
	}
	for _, from := range container.EnvFrom {
		switch {
		case from.SecretRef != nil:
			why, err = s.secret(namespace, from.SecretRef.Name, from.SecretRef.Optional, nil, nil)
		case from.ConfigMapRef != nil:
			why, err = s.configMap(namespace, from.ConfigMapRef.Name, from.ConfigMapRef.Optional, nil, nil)
		}
		if err != nil || why != "" {
			return why, err
		}
	}
	for _, variable := range container.Env {
		switch from := variable.ValueFrom; {
		case from == nil:
		case from.SecretKeyRef != nil:
			ref := from.SecretKeyRef
			why, err = s.secret(namespace, ref.Name, ref.Optional, []string{ref.Key}, noKey("Secret", ref.Name))
		case from.ConfigMapKeyRef != nil:
			ref := from.ConfigMapKeyRef
			why, err = s.configMap(namespace, ref.Name, ref.Optional, []string{ref.Key}, noKey("ConfigMap", ref.Name))
		}
		if err != nil || why != "" {
			return why, err
		}
	}
	return "", nil
}

func (s sources) secret(namespace, name string, optional *bool, keys []string, noKey func(string) string) (string, error) {
	found, err := s.secrets.Secrets(namespace).Get(name)
	return missing("secret", name, err, optional, keys, noKey, func(key string) bool { _, has := found.Data[key]; return has })
}

func (s sources) configMap(namespace, name string, optional *bool, keys []string, noKey func(string) string) (string, error) {
	found, err := s.configMaps.ConfigMaps(namespace).Get(name)
	return missing("configmap", name, err, optional, keys, noKey, func(key string) bool {
		_, text := found.Data[key]
		_, binary := found.BinaryData[key]
		return text || binary
	})
}

// missing says what is missing of an object, in a kubelet's words.
func missing(kind, name string, err error, optional *bool, keys []string, noKey func(string) string, has func(string) bool) (string, error) {
	switch {
	case optional != nil && *optional && (err == nil || apierrors.IsNotFound(err)):
		return "", nil
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("%s %q not found", kind, name), nil
	case err != nil:
		return "", fmt.Errorf("read the %s %s: %w", kind, name, err)
	}
	for _, key := range keys {
		if !has(key) {
			return noKey(key), nil
		}
	}
	return "", nil
}

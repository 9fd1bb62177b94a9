package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/local/world"
)

// applyRule is what appliers need.
var applyRule = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}}

const manifestBucket = "bench-manifests"

// prepare writes the manifests, and lets apply-manifests read and apply them.
func (a *applyBench) prepare(ctx context.Context) error {
	say("apply %d ConfigMaps: %s", a.n, strings.Join(appliers, ", "))
	store, err := a.applies(ctx, nil, nil)
	if err != nil {
		return err
	}
	for _, file := range []string{"first", "second"} {
		documents, lines, err := configMaps(a.n, file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(a.manifests(file), documents, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(a.lines(file), lines, 0o600); err != nil {
			return err
		}
		if err := store(file, documents); err != nil {
			return err
		}
	}
	client, err := a.admin()
	if err != nil {
		return err
	}
	return grant(ctx, client, "bench-appliers", rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "kubestep-appliers"}, applyRule)
}

// applies deploys the stack so that it applies manifests, with further parameters and variables of the functions, and returns
// what stores manifests for it.
func (b *bench) applies(ctx context.Context, more, environment map[string]string) (store func(key string, documents []byte) error, err error) {
	deployment := b.world.Stack(world.StackName)
	deployment.Parameters = map[string]string{
		"ClusterArns": "arn:aws:eks:*:" + world.Account + ":cluster/*", "EnableApply": "true", "ManifestBucket": manifestBucket,
	}
	maps.Copy(deployment.Parameters, more)
	maps.Copy(deployment.Environment, environment)
	if err := b.world.Deploy(ctx, deployment); err != nil {
		return nil, err
	}
	if err := b.world.CreateBucket(ctx, manifestBucket); err != nil {
		return nil, err
	}
	developer, err := b.world.Developer()
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	return func(key string, documents []byte) error {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(manifestBucket), Key: &key, Body: bytes.NewReader(documents)})
		return err
	}, nil
}

// configMaps are n ConfigMaps as YAML documents and as lines of JSON: ten settings and
// a small file each. Another version has other values.
func configMaps(n int, version string) (documents, lines []byte, err error) {
	for i := range n {
		data := map[string]string{"application.properties": strings.Repeat("service.endpoint=https://orders.internal.example.com/"+version+"\n", 10)}
		for setting := range 10 {
			data[fmt.Sprintf("SETTING_%02d", setting)] = fmt.Sprintf("value %d of the %s version", setting, version)
		}
		// Not the typed ConfigMap: it has a creationTimestamp of null.
		object := map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": fmt.Sprintf("settings-%04d", i), "labels": map[string]string{"app.kubernetes.io/name": "orders"}},
			"data":     data,
		}
		line, err := json.Marshal(object)
		if err != nil {
			return nil, nil, err
		}
		document, err := yaml.JSONToYAML(line)
		if err != nil {
			return nil, nil, err
		}
		documents = fmt.Appendf(documents, "---\n%s", document)
		lines = fmt.Appendf(lines, "%s\n", line)
	}
	return documents, lines, nil
}

func (b *bench) admin() (*kubernetes.Clientset, error) {
	config, err := b.world.ControlPlane.Admin()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func (b *bench) namespace(ctx context.Context, name string) error {
	client, err := b.admin()
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

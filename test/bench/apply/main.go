// Command apply sends each ConfigMap of a file in a request of server-side apply,
// eight at once, and reads the answers without a look at them: the least that any
// client can take. The file has the objects as they are sent, a line each.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// atOnce is as in internal/batch.
const atOnce = 8

func main() {
	manifests := flag.String("manifests", "", "a file with a line of JSON for each ConfigMap")
	dryRun := flag.Bool("dry-run", false, "change nothing")
	get := flag.Bool("get", false, "read each object, too")
	flag.Parse()
	if err := apply(flag.Arg(0), flag.Arg(1), *manifests, *dryRun, *get); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func apply(kubeconfig, namespace, manifests string, dryRun, get bool) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.DisableCompression = true
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(manifests)
	if err != nil {
		return err
	}
	query := "?fieldManager=raw&fieldValidation=Strict"
	if dryRun {
		query += "&dryRun=All"
	}
	var objects [][]byte
	var urls []string
	for line := range bytes.Lines(text) {
		var object metav1.PartialObjectMetadata
		if err := json.Unmarshal(line, &object); err != nil {
			return err
		}
		objects, urls = append(objects, line), append(urls, config.Host+"/api/v1/namespaces/"+namespace+"/configmaps/"+object.Name)
	}
	began := time.Now()
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(atOnce)
	for i := range objects {
		group.Go(func() error {
			err := send(ctx, client, http.MethodPatch, urls[i]+query, objects[i])
			if err == nil && get {
				err = send(ctx, client, http.MethodGet, urls[i], nil)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"seconds": time.Since(began).Seconds()})
}

func send(ctx context.Context, client *http.Client, method, url string, object []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(object))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/apply-patch+yaml")
	request.Header.Set("Accept", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}

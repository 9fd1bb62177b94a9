// Command table asks for the rows of a namespace's pods, and reads the answer
// without a look at it: the least that any client of them can take.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if err := list(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func list(kubeconfig string, namespaces []string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.DisableCompression = true
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	began := time.Now()
	bytes := int64(0)
	for _, namespace := range namespaces {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, config.Host+"/api/v1/namespaces/"+namespace+"/pods?includeObject=None", nil)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("read the answer (%s): %w", answer.Status, err)
		}
		bytes += n
		if err := answer.Body.Close(); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"bytes": bytes, "seconds": time.Since(began).Seconds()})
}

// Package standin stands in for the API servers of clusters, where there are too many for a control plane each.
package standin

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

// Server is the API server of any number of clusters, which all have the same pods and let everybody list them.
type Server struct{ *httptest.Server }

// Start starts the API server of clusters with that many pods in each namespace. Wrap changes how it answers; nil changes nothing.
func Start(pods int, wrap func(http.Handler) http.Handler) Server {
	var handler http.Handler = handler{table(pods)}
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that goes is nothing to report
	server.StartTLS()
	return Server{server}
}

// Describe makes EKS describe a cluster that has this API server.
func (s Server) Describe(w *world.World, name string) error {
	return w.Describe(&world.ControlPlane{Name: name}, func(c *awsfront.Cluster) {
		c.Endpoint = s.URL
		c.CertificateAuthority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	})
}

// handler answers reviews, and everything else with a table.
type handler struct{ table string }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		review := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review["status"] = map[string]bool{"allowed": true}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(review) // the client is gone
		return
	}
	_, _ = io.WriteString(w, h.table)
}

func table(pods int) string {
	var columns, rows []string
	for _, name := range []string{"Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"} {
		columns = append(columns, fmt.Sprintf(`{"name":%q,"type":"string","format":"","description":"","priority":0}`, name))
	}
	for i := range pods {
		rows = append(rows, fmt.Sprintf(`{"cells":["pod-%05d","1/1","Running","0","2d","10.0.0.1","node-1","<none>","<none>"],"object":null}`, i))
	}
	return fmt.Sprintf(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"columnDefinitions":[%s],"rows":[%s]}`,
		strings.Join(columns, ","), strings.Join(rows, ","))
}

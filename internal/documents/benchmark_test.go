package documents_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/documents"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%[1]d
  labels:
    app.kubernetes.io/name: web
    app.kubernetes.io/instance: shop
spec:
  replicas: 3
  selector:
    matchLabels:
      app: web-%[1]d
  template:
    metadata:
      labels:
        app: web-%[1]d
      annotations:
        checksum/config: "0f343b0931126a20f133d67c2b018a3b"
    spec:
      serviceAccountName: web
      containers:
        - name: web
          image: registry.example/shop/web:1.2.3
          args: ["--listen", ":8080", "--verbose"]
          env:
            - name: LEVEL
              value: "info"
            - name: POD
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
          ports:
            - containerPort: 8080
              name: http
          readinessProbe:
            httpGet: {path: /ready, port: http}
            periodSeconds: 5
          resources:
            requests: {cpu: 100m, memory: 128Mi}
            limits: {memory: 256Mi}
          volumeMounts:
            - name: config
              mountPath: /etc/web
      volumes:
        - name: config
          configMap: {name: web-config}
---
`

func BenchmarkDocuments(b *testing.B) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, deployment, i)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range documents.All([]byte(text.String())) {
			require.NoError(b, err)
		}
	}
}

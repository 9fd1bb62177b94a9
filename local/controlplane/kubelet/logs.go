package kubelet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
)

// pollInterval is how often a log that is followed is looked at.
const pollInterval = 250 * time.Millisecond

// logs serves what containers print, in the part of a kubelet's API that the API server passes on:
// https://kubernetes.io/docs/concepts/cluster-administration/logging/
type logs struct{ pods corev1listers.PodLister }

// serve serves on loopback until the context ends.
func (l logs) serve(ctx context.Context, certFile, keyFile string) (*net.TCPAddr, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the kubelets: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /containerLogs/{namespace}/{pod}/{container}", l)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.ServeTLS(listener, certFile, keyFile) }()
	return listener.Addr().(*net.TCPAddr), nil
}

// ServeHTTP implements http.Handler.
func (l logs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	read := func() (*corev1.Pod, *corev1.ContainerStatus) {
		pod, err := l.pods.Pods(r.PathValue("namespace")).Get(r.PathValue("pod"))
		if err != nil {
			return nil, nil
		}
		for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
			for i := range statuses {
				if statuses[i].Name == r.PathValue("container") {
					return pod, &statuses[i]
				}
			}
		}
		return pod, nil
	}
	pod, container := read()
	if container == nil || began(container).IsZero() {
		http.Error(w, "the container has not started", http.StatusBadRequest)
		return
	}
	lines := strings.SplitAfter(pod.Annotations[logLines], "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	} else {
		lines[len(lines)-1] += "\n"
	}
	if tail, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil && tail < len(lines) {
		lines = lines[len(lines)-max(tail, 0):]
	}
	for _, line := range lines {
		if r.URL.Query().Get("timestamps") == "true" {
			line = began(container).UTC().Format(time.RFC3339Nano) + " " + line
		}
		_, _ = io.WriteString(w, line)
	}
	if r.URL.Query().Get("follow") != "true" {
		return
	}
	_ = http.NewResponseController(w).Flush()
	for container != nil && container.State.Running != nil {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(pollInterval):
		}
		_, container = read()
	}
}

// began returns when the container, or the one before it, started.
func began(c *corev1.ContainerStatus) time.Time {
	switch {
	case c.State.Running != nil:
		return c.State.Running.StartedAt.Time
	case c.State.Terminated != nil:
		return c.State.Terminated.StartedAt.Time
	case c.LastTerminationState.Terminated != nil:
		return c.LastTerminationState.Terminated.StartedAt.Time
	}
	return time.Time{}
}

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	server := &http.Server{Handler: l.handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.ServeTLS(listener, certFile, keyFile) }()
	return listener.Addr().(*net.TCPAddr), nil
}

// handler serves logs, and says of everything else that it is not here.
func (l logs) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /containerLogs/{namespace}/{pod}/{container}", l)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the local cluster runs no containers, so there is nothing to connect to: docs/local.md says what there is", http.StatusNotImplemented)
	})
	return mux
}

// ServeHTTP implements http.Handler.
func (l logs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("container")
	read := func() (*corev1.Pod, *corev1.ContainerStatus) {
		pod, err := l.pods.Pods(r.PathValue("namespace")).Get(r.PathValue("pod"))
		if err != nil {
			return nil, nil
		}
		statuses := slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses)
		if i := slices.IndexFunc(statuses, func(c corev1.ContainerStatus) bool { return c.Name == name }); i >= 0 {
			return pod, &statuses[i]
		}
		return pod, nil
	}
	options, err := readLogOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	pod, container := read()
	if err := printed(r.PathValue("pod"), name, container, options.previous); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	start := began(container)
	if last := container.LastTerminationState.Terminated; options.previous && last != nil {
		start = last.StartedAt.Time
	}
	options.write(w, linesOf(pod, name), start, time.Now())
	if !options.follow || options.previous {
		return
	}
	_ = http.NewResponseController(w).Flush()
	// The log ends with the container, not with the one that is started after it.
	for restarts := container.RestartCount; container != nil && container.State.Running != nil && container.RestartCount == restarts; {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(pollInterval):
		}
		_, container = read()
	}
}

// printed returns why there is no log, in a kubelet's words.
func printed(pod, container string, status *corev1.ContainerStatus, previous bool) error {
	switch {
	case status == nil:
		return fmt.Errorf("container %q in pod %q is not available", container, pod)
	case previous && status.LastTerminationState.Terminated == nil:
		return fmt.Errorf("previous terminated container %q in pod %q not found", container, pod)
	case !began(status).IsZero():
		return nil
	case status.State.Waiting == nil:
		return fmt.Errorf("container %q in pod %q is terminated", container, pod)
	}
	why := status.State.Waiting.Reason
	switch why {
	case errImagePull:
		why = "image can't be pulled"
	case imagePullBackOff:
		why = "trying and failing to pull image"
	}
	return fmt.Errorf("container %q in pod %q is waiting to start: %s", container, pod, why)
}

// lines are what a container prints: the first one as often as first says, and then the others.
type lines struct {
	first int
	all   []string
}

func linesOf(pod *corev1.Pod, name string) lines {
	inits, mains, _ := containers(pod)
	for _, c := range slices.Concat(inits, mains) {
		if c.Name == name {
			return c.course.lines
		}
	}
	return lines{}
}

// logOptions are those of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
type logOptions struct {
	follow, previous, timestamps bool
	// tail and limit are -1 if all is wanted.
	tail, limit  int
	since        time.Duration
	sinceTime    time.Time
	sinceSeconds bool
}

func readLogOptions(query url.Values) (logOptions, error) {
	o := logOptions{follow: query.Get("follow") == "true", previous: query.Get("previous") == "true", timestamps: query.Get("timestamps") == "true", tail: -1, limit: -1}
	var errs []error
	number := func(name string, to *int) bool {
		text := query.Get(name)
		if text == "" {
			return false
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 0 {
			errs = append(errs, fmt.Errorf("%s: %q is not a number of 0 or more", name, text))
			return false
		}
		*to = value
		return true
	}
	number("tailLines", &o.tail)
	number("limitBytes", &o.limit)
	seconds := 0
	o.sinceSeconds = number("sinceSeconds", &seconds)
	o.since = time.Duration(seconds) * time.Second
	if text := query.Get("sinceTime"); text != "" {
		var err error
		if o.sinceTime, err = time.Parse(time.RFC3339, text); err != nil {
			errs = append(errs, fmt.Errorf("sinceTime: %w", err))
		}
	}
	return o, errors.Join(errs...)
}

// write writes a log, all of which was printed at once when the container started.
func (o logOptions) write(w io.Writer, l lines, start, now time.Time) {
	if o.sinceSeconds && start.Before(now.Add(-o.since)) || start.Before(o.sinceTime) || len(l.all) == 0 {
		return
	}
	total := l.first + len(l.all) - 1
	skip, left := 0, o.limit
	if o.tail >= 0 {
		skip = max(total-o.tail, 0)
	}
	for i := skip; i < total; i++ {
		line := l.all[max(i-l.first+1, 0)]
		if o.timestamps {
			line = start.UTC().Format(time.RFC3339Nano) + " " + line
		}
		if o.limit >= 0 {
			line = line[:min(left, len(line))]
			left -= len(line)
		}
		if _, err := io.WriteString(w, line); err != nil || o.limit >= 0 && left == 0 {
			return
		}
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

// Command controlplane is the control plane of a local cluster in one process: etcd, kube-apiserver, kube-scheduler, controllers,
// aws-iam-authenticator and a stand-in for AWS STS, all on 127.0.0.1, with two nodes that run no containers. It has its own Go module
// because it links most of Kubernetes.
//
// It stays because no emulator of EKS has real RBAC, admission and Tables with the real authenticator. envtest has no authenticator, and
// kind needs Docker.
//
//	controlplane --dir DIR --cluster NAME --credentials-key-file FILE [--port PORT] [--new-ca] [--compact-every DURATION]
//
// The version must be stamped, because clients parse it, and the flags must always be the same, because a first build takes
// minutes: see the Makefile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	var s settings
	flag.StringVar(&s.dir, "dir", "", "the `folder` of the cluster's data")
	flag.StringVar(&s.cluster, "cluster", "", "the `name` that tokens are signed for")
	flag.StringVar(&s.credentialsKeyFile, "credentials-key-file", "", "the `file` of the key that AWS credentials are issued with")
	flag.IntVar(&s.port, "port", 0, "the port of the API server; 0 is any")
	flag.BoolVar(&s.newCA, "new-ca", false, "make a new certificate authority")
	flag.DurationVar(&s.compactEvery, "compact-every", 5*time.Minute, "how often old revisions are dropped, and continue tokens expire")
	flag.DurationVar(&s.cacheTokens, "cache-tokens", 0, "how long the API server caches whose a token is, as EKS does; with 0 a change of a mapping takes effect at once")
	flag.Parse()
	var missing []string
	for _, name := range []string{"dir", "cluster", "credentials-key-file"} {
		if flag.Lookup(name).Value.String() == "" {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "controlplane: %s must be given\n", strings.Join(missing, ", "))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := serve(ctx, s, os.Stdout)
	stopped := ctx.Err() != nil && errors.Is(err, context.Canceled) // before it was ready
	stop()
	if err != nil && !stopped {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

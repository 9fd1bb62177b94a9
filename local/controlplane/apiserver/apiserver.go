// Package apiserver runs the real kube-apiserver inside the process.
package apiserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // counts the requests of client-go
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// Config configures the API server. All its files must exist.
type Config struct {
	// Listener is where it serves.
	Listener net.Listener
	// Etcd is the endpoint of etcd.
	Etcd string
	// CompactEvery is how often it compacts etcd.
	CompactEvery time.Duration
	// CacheTokens is how long it caches the answers of the webhook, as EKS does.
	CacheTokens time.Duration
	// CertFile and KeyFile are its own certificate. The key signs the tokens of service accounts as well.
	CertFile, KeyFile string
	// TokenFile holds the tokens of administrators:
	// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
	TokenFile string
	// WebhookFile is the kubeconfig of the webhook that it asks about bearer tokens.
	WebhookFile string
	// EgressFile is the configuration of how it connects to what objects name: see package loopback.
	EgressFile string
	// LogFile is the file of its log.
	LogFile string
	// Fatal is called if the API server cannot continue, and must end the process.
	Fatal func()
}

// Run serves until the context ends, and then shuts down gracefully.
func Run(ctx context.Context, config Config) error {
	log, err := os.OpenFile(config.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the API server's log: %w", err)
	}
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(log))))
	klog.OsExit = func(int) { config.Fatal() }

	opts := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range opts.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(arguments(config)); err != nil {
		return fmt.Errorf("set up the API server: %w", err)
	}
	// With a listener of its own, no other process can take its port in the meantime.
	opts.SecureServing.Listener = config.Listener
	if err := opts.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("set up the API server's features: %w", err)
	}
	completed, err := opts.Complete(ctx)
	if err != nil {
		return fmt.Errorf("set up the API server: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("set up the API server: %w", utilerrors.NewAggregate(errs))
	}
	if err := app.Run(ctx, completed); err != nil {
		return fmt.Errorf("run the API server: %w", err)
	}
	return nil
}

func arguments(config Config) []string {
	return []string{
		"--etcd-servers=" + config.Etcd,
		"--etcd-compaction-interval=" + config.CompactEvery.String(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(config.Listener.Addr().(*net.TCPAddr).Port),
		// No Endpoints for the service `kubernetes`: nothing in the cluster uses it.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.100.0.0/16",
		"--tls-cert-file=" + config.CertFile,
		"--tls-private-key-file=" + config.KeyFile,
		"--token-auth-file=" + config.TokenFile,
		"--authorization-mode=RBAC",
		"--authentication-token-webhook-config-file=" + config.WebhookFile,
		"--authentication-token-webhook-cache-ttl=" + config.CacheTokens.String(),
		"--egress-selector-config-file=" + config.EgressFile,
		// As EKS does: its own DaemonSets are privileged.
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + config.KeyFile,
		"--service-account-signing-key-file=" + config.KeyFile,
		// Shuts down without waiting a minute for the watches of clients to end.
		"--shutdown-send-retry-after=true",
	}
}

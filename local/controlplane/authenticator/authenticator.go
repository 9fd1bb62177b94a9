// Package authenticator runs the real aws-iam-authenticator inside the process: the webhook that tells the API server whose
// bearer token it has, by the mappings in the ConfigMap kube-system/aws-auth.
package authenticator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/component-base/metrics/legacyregistry"
	"sigs.k8s.io/aws-iam-authenticator/pkg/config"
	"sigs.k8s.io/aws-iam-authenticator/pkg/endpoints"
	"sigs.k8s.io/aws-iam-authenticator/pkg/mapper"
	"sigs.k8s.io/aws-iam-authenticator/pkg/metrics"
	"sigs.k8s.io/aws-iam-authenticator/pkg/server"
)

const (
	startTimeout = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// Authenticator is the webhook.
type Authenticator struct {
	config config.Config
	// apiServer is the host and port by which the webhook, and nothing else in the process, calls the API server.
	apiServer string
}

// Config says what the authenticator is for.
type Config struct {
	// Cluster is the name that tokens must be signed for, Region the one that the cluster is in.
	Cluster, Region string
	// Dir keeps its files.
	Dir string
	// Kubeconfig leads to the API server at APIServer, a host and port that nobody else in this process uses.
	Kubeconfig, APIServer string
	// LogFile takes its log.
	LogFile string
	// Fatal is called when the authenticator gives up, and must end the process.
	Fatal func()
}

// Prepare writes the files that the API server needs to call the webhook, which is not running yet.
func Prepare(ctx context.Context, c Config) (*Authenticator, error) {
	log, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the authenticator's log: %w", err)
	}
	logrus.SetOutput(log)
	logrus.RegisterExitHandler(c.Fatal)
	if err := forgetAWS(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the authenticator's directory: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	a := &Authenticator{apiServer: c.APIServer, config: config.Config{
		PartitionID: partition(c.Region),
		ClusterID:   c.Cluster,
		BackendMode: []string{mapper.ModeEKSConfigMap},
		Hostname:    "127.0.0.1",
		Address:     "127.0.0.1",
		HostPort:    port,
		// Its health check would listen on all interfaces. A port that is none makes it not listen; it logs that.
		HealthPort:             -1,
		StateDir:               c.Dir,
		GenerateKubeconfigPath: filepath.Join(c.Dir, "webhook.kubeconfig"),
		Kubeconfig:             c.Kubeconfig,
		// Both must be positive, and serve a client that makes no call here.
		EC2DescribeInstancesQps:   15,
		EC2DescribeInstancesBurst: 5,
	}}
	if err := a.config.GenerateFiles(); err != nil {
		return nil, fmt.Errorf("write the authenticator's files: %w", err)
	}
	a.config.KubeconfigPregenerated = true
	return a, nil
}

// WebhookFile is the kubeconfig by which the API server calls the webhook.
func (a *Authenticator) WebhookFile() string {
	return a.config.GenerateKubeconfigPath
}

// Start starts the webhook and returns when it answers and watches aws-auth. The API server must be ready: where the
// authenticator's first watch fails, it sleeps 5 seconds before the next (pkg/mapper/configmap).
func (a *Authenticator) Start(ctx context.Context) error {
	metrics.InitMetrics(legacyregistry.Registerer())
	webhook := server.New(ctx, a.config)
	go webhook.Run(ctx.Done())

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := until(ctx, a.answers); err != nil {
		return fmt.Errorf("wait for the authenticator to answer: %w", err)
	}
	if err := until(ctx, a.watches); err != nil {
		return fmt.Errorf("wait for the authenticator to watch aws-auth: %w", err)
	}
	return nil
}

// answers asks the webhook for its health, over the certificate that the API server trusts.
func (a *Authenticator) answers(ctx context.Context) error {
	cert, err := os.ReadFile(a.config.CertPath())
	if err != nil {
		return err
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+a.config.ServerAddr()+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("its health check answers %s", response.Status)
	}
	return nil
}

// watches looks in the process's metrics for a request that the API server answered with 200: the watch is the only
// request that the authenticator makes.
func (a *Authenticator) watches(context.Context) error {
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		return fmt.Errorf("read the metrics: %w", err)
	}
	for _, family := range families {
		if family.GetName() != "rest_client_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["host"] == a.apiServer && labels["code"] == "200" {
				return nil
			}
		}
	}
	return errors.New("no watch has begun")
}

// until tries again until there is no error, or returns the last one when the context ends.
func until(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// forgetAWS hides the user's AWS settings from the process. The authenticator reads them when it starts, for the EC2 client
// that it does not use here, and would panic at a profile that is not there.
func forgetAWS() error {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("forget %s: %w", name, err)
			}
		}
	}
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED":   "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// partition is the partition of a region, by the beginning of its name (the regionRegex of each partition in the SDK's
// internal/endpoints/awsrulesfn/partitions.json).
func partition(region string) string {
	for prefix, id := range map[string]string{
		"cn-":      endpoints.AwsCnPartitionID,
		"us-gov-":  endpoints.AwsUsGovPartitionID,
		"us-iso-":  endpoints.AwsIsoPartitionID,
		"us-isob-": endpoints.AwsIsoBPartitionID,
		"eu-isoe-": endpoints.AwsIsoEPartitionID,
		"us-isof-": endpoints.AwsIsoFPartitionID,
		"eusc-":    endpoints.AwsEuscPartitionID,
	} {
		if strings.HasPrefix(region, prefix) {
			return id
		}
	}
	return endpoints.AwsPartitionID
}

// freePort finds a port that is free now. The authenticator opens it only later, and ends the process if somebody else
// has taken it by then.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

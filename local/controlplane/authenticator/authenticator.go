// Package authenticator runs the real aws-iam-authenticator inside the process: the webhook that the API server asks whose bearer
// token it has. It maps roles as the ConfigMap kube-system/aws-auth says.
package authenticator

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/util/wait"
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
	// apiServer is the host and port at which the webhook, and nothing else in the process, calls the API server.
	apiServer string
	// port keeps other processes from taking the webhook's port before it listens.
	port net.Listener
}

// Config configures the authenticator.
type Config struct {
	// Cluster is the name that tokens must be signed for.
	Cluster string
	// Dir is the folder of its files.
	Dir string
	// Kubeconfig is the file of a client of the API server at APIServer, a host and port that nothing else in this process uses.
	Kubeconfig, APIServer string
	// LogFile is the file of its log.
	LogFile string
	// Fatal is called if the authenticator cannot continue, and must end the process.
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
	port, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	a := &Authenticator{apiServer: c.APIServer, port: port, config: config.Config{
		PartitionID: endpoints.AwsPartitionID,
		ClusterID:   c.Cluster,
		BackendMode: []string{mapper.ModeEKSConfigMap},
		Hostname:    "127.0.0.1",
		Address:     "127.0.0.1",
		HostPort:    port.Addr().(*net.TCPAddr).Port,
		// Its health check would listen on all interfaces. With an invalid port it logs an error instead.
		HealthPort:             -1,
		StateDir:               c.Dir,
		GenerateKubeconfigPath: filepath.Join(c.Dir, "webhook.kubeconfig"),
		Kubeconfig:             c.Kubeconfig,
		// Both must be positive. The client that they limit makes no call here.
		EC2DescribeInstancesQps:   15,
		EC2DescribeInstancesBurst: 5,
	}}
	if err := a.config.GenerateFiles(); err != nil {
		return nil, fmt.Errorf("write the authenticator's files: %w", err)
	}
	a.config.KubeconfigPregenerated = true
	return a, nil
}

// WebhookFile is the kubeconfig with which the API server calls the webhook.
func (a *Authenticator) WebhookFile() string {
	return a.config.GenerateKubeconfigPath
}

// Start starts the webhook, which listens from then on, and returns when it watches aws-auth. The API server must be ready: if
// the authenticator's first watch fails, it sleeps 5 seconds before the next (pkg/mapper/configmap).
func (a *Authenticator) Start(ctx context.Context) error {
	metrics.InitMetrics(legacyregistry.Registerer())
	if err := a.port.Close(); err != nil {
		return fmt.Errorf("free the authenticator's port: %w", err)
	}
	webhook := server.New(ctx, a.config) // ends the process if it cannot listen
	go webhook.Run(ctx.Done())

	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(context.Context) (bool, error) { return a.watches() })
	if err != nil {
		return fmt.Errorf("wait for the authenticator to watch aws-auth: %w", err)
	}
	return nil
}

// watches reports whether the API server has answered a request of the authenticator with 200, according to the process's
// metrics: the watch is the only request that it makes.
func (a *Authenticator) watches() (bool, error) {
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		return false, fmt.Errorf("read the metrics: %w", err)
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
				return true, nil
			}
		}
	}
	return false, nil
}

// forgetAWS hides the user's settings from the process. The authenticator loads AWS settings when it starts, for an EC2 client
// that is not used here, and panics if a profile does not exist.
func forgetAWS() error {
	os.Clearenv()
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

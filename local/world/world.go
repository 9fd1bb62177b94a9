// Package world is the local world: what replaces AWS and EKS on this computer, started and stopped together. Everything listens on
// loopback, on free ports, and ends with the process that started it.
//
// It stays because it connects the other packages of local/, each of which says what it replaces and why.
package world

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/credentials"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/moto"
	"github.com/kubestep/kubestep/local/sam"
	"github.com/kubestep/kubestep/local/stack"
	"github.com/kubestep/kubestep/local/trail"
)

const (
	// Account is the AWS account of everything in the world.
	Account = "111122223333"
	// Region is the AWS Region of everything in the world.
	Region = "eu-west-1"
	// ClusterName is the name of the cluster that a world starts with.
	ClusterName = "demo"
	// sessionLength is how long a function's credentials are valid, as on Lambda.
	sessionLength = 6 * time.Hour
	// developer is the role for shells.
	developer = "arn:aws:iam::" + Account + ":role/developer"
	// engineRole is the role of moto, which makes the calls of all state machines.
	engineRole = "arn:aws:iam::" + Account + ":role/step-functions"
	// kubernetesVersion is the version of the control plane: see local/controlplane/go.mod.
	kubernetesVersion = "1.37"
)

// Options configures a World.
type Options struct {
	// Root is the folder of the repository.
	Root string
	// Dir is the folder of the state: credentials, logs, the cluster's data. Tools is the folder of the Python environment, which make
	// installs.
	Dir, Tools string
	// ControlPlaneFlags are more flags of the control plane of ClusterName.
	ControlPlaneFlags []string
	// Say prints what is being done.
	Say func(format string, args ...any)
}

// World is a running local world.
type World struct {
	// Endpoint is the URL of the AWS endpoint.
	Endpoint string
	// ControlPlane is the control plane of the cluster ClusterName.
	ControlPlane *ControlPlane
	// Lambda, Clusters, Roles and Faults are what the endpoint answers from.
	Lambda   *lambdahost.Host
	Clusters *awsfront.Clusters
	Roles    *awsfront.Roles
	Faults   *awsfront.Faults

	permissions *awsfront.Permissions
	rules       *awsfront.Rules

	options   Options
	template  *cloudformation.Template
	authority credentials.Authority
	engine    *moto.Engine
	trail     *trail.Recorder
	secretKey string
	stop      []func()
}

// Start starts the control plane, moto, the Lambda host and the AWS endpoint in front of them. The cluster has no pods, bindings or
// mappings.
func Start(ctx context.Context, options Options) (w *World, err error) {
	w = &World{options: options, Clusters: &awsfront.Clusters{}, Roles: &awsfront.Roles{}, Faults: &awsfront.Faults{}, permissions: &awsfront.Permissions{}, rules: &awsfront.Rules{}, secretKey: rand.Text() + rand.Text()}
	defer func() {
		if err != nil {
			w.Stop()
			w = nil
		}
	}()
	if err := os.RemoveAll(w.clusterDir(ClusterName)); err != nil {
		return w, fmt.Errorf("clear the cluster's data: %w", err)
	}
	if err := os.MkdirAll(w.logs(), 0o700); err != nil {
		return w, fmt.Errorf("make the folder of logs: %w", err)
	}
	// With the key, the control plane recognizes the credentials that are issued here.
	key := []byte(rand.Text() + rand.Text())
	if err := os.WriteFile(w.keyFile(), key, 0o600); err != nil {
		return w, fmt.Errorf("write the key of the credentials: %w", err)
	}
	w.authority = credentials.New(key)
	calls, err := os.OpenFile(w.Trail(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return w, fmt.Errorf("record calls: %w", err)
	}
	w.stop = append(w.stop, func() { _ = calls.Close() })
	w.trail = trail.NewRecorder(calls)

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return w, fmt.Errorf("listen for AWS: %w", err)
	}
	w.stop = append(w.stop, func() { _ = listener.Close() })
	w.Endpoint = "http://" + listener.Addr().String()

	var engine *moto.Engine
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		w.ControlPlane, err = w.StartControlPlane(groupCtx, ClusterName, options.ControlPlaneFlags...)
		return err
	})
	group.Go(func() (err error) {
		issued, err := w.authority.Issue(engineRole, "engine", time.Now().AddDate(1, 0, 0))
		if err != nil {
			return fmt.Errorf("issue the credentials of the Step Functions engine: %w", err)
		}
		engine, err = moto.Start(groupCtx, moto.Options{
			Python: w.interpreter(), Logs: w.logs(), FrontPort: listener.Addr().(*net.TCPAddr).Port, Account: Account, Credentials: issued,
		})
		return err
	})
	group.Go(func() error { return w.readTemplate(groupCtx) })
	err = group.Wait()
	if w.ControlPlane != nil {
		w.stop = append(w.stop, w.ControlPlane.Stop)
	}
	if engine != nil {
		w.engine, w.stop = engine, append(w.stop, engine.Stop)
	}
	if err != nil {
		return w, err
	}
	if err := w.Describe(w.ControlPlane, nil); err != nil {
		return w, err
	}
	w.serve(listener, engine.URL)
	return w, nil
}

func (w *World) serve(listener net.Listener, engine *url.URL) {
	w.Lambda = lambdahost.New(lambdahost.Options{Logs: w.logs(), Region: Region, Credentials: func(roleARN, session string) (aws.Credentials, error) {
		return w.authority.Issue(roleARN, session, time.Now().Add(sessionLength))
	}})
	front := &http.Server{
		Handler: awsfront.New(awsfront.Options{
			Functions: w.Lambda, Clusters: w.Clusters, Roles: w.Roles, Authority: w.authority, Faults: w.Faults, Permissions: w.permissions, Rules: w.rules, Deploy: w.deploy, Logs: w.logs(), Engine: engine,
			Record: func(call trail.Call) {
				if err := w.trail.Called(call); err != nil {
					w.options.Say("%v", err)
				}
			},
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = front.Serve(listener) }()
	w.stop = append(w.stop, func() { _ = w.Lambda.Close() }, func() { _ = front.Close() })
}

// StartControlPlane starts the control plane of a cluster. Its data is kept when it stops. EKS has the cluster after Describe.
func (w *World) StartControlPlane(ctx context.Context, name string, flags ...string) (*ControlPlane, error) {
	return startControlPlane(ctx, filepath.Join(w.binaries(), "controlplane"), w.clusterDir(name), w.logs(), name, w.keyFile(), flags...)
}

// Describe makes EKS describe the cluster as its control plane is, with the changes that change makes.
func (w *World) Describe(c *ControlPlane, change func(*awsfront.Cluster)) error {
	cluster := awsfront.Cluster{
		ARN:    fmt.Sprintf("arn:aws:eks:%s:%s:cluster/%s", Region, Account, c.Name),
		Status: "ACTIVE", Version: kubernetesVersion,
		Endpoint: c.Endpoint, CertificateAuthority: c.CertificateAuthority,
		RoleARN: fmt.Sprintf("arn:aws:iam::%s:role/%s-cluster", Account, c.Name),
		// The authenticator reads aws-auth only: see local/controlplane.
		AuthenticationMode: "CONFIG_MAP",
		CreatedAt:          time.Now(),
	}
	if change != nil {
		change(&cluster)
	}
	if err := w.Clusters.Put(cluster); err != nil {
		return fmt.Errorf("make EKS describe cluster %s: %w", c.Name, err)
	}
	return nil
}

// readTemplate transforms template.yml, and says which parts of it are left out here.
func (w *World) readTemplate(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(w.options.Root, "template.yml"))
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	if w.template, err = w.transform(ctx, text, nil); err != nil {
		return err
	}
	missing, err := stack.LeftOut(w.template)
	if err != nil {
		return err
	}
	w.options.Say("not here: %d parts of template.yml that need AWS itself, such as %s", len(missing), missing[0])
	return nil
}

func (w *World) transform(ctx context.Context, text []byte, parameters map[string]string) (*cloudformation.Template, error) {
	transformed, err := sam.Transform(ctx, w.interpreter(), text, parameters)
	if err != nil {
		return nil, err
	}
	return cloudformation.Parse(transformed)
}

// read reads an object that a template names: a file of the repository, or an object in S3.
func (w *World) read(ctx context.Context, bucket, key string) ([]byte, error) {
	if bucket == sam.Bucket {
		root, err := os.OpenRoot(w.options.Root) // keys are not trusted to be paths in it
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		defer func() { _ = root.Close() }()
		text, err := root.ReadFile(filepath.FromSlash(key))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		return text, nil
	}
	return w.download(ctx, bucket, key)
}

// Stack returns a stack of template.yml with that name, and with the binaries and definitions of the repository.
func (w *World) Stack(name string) stack.Stack {
	return stack.Stack{
		Name: name, Account: Account, Region: Region, SecretKey: w.secretKey,
		Template:    w.template,
		Read:        w.read,
		Binaries:    w.binaries(),
		Environment: map[string]string{"AWS_ENDPOINT_URL": w.Endpoint},
	}
}

// Deploy creates or updates a stack.
func (w *World) Deploy(ctx context.Context, s stack.Stack) error {
	roles, err := s.Roles()
	if err != nil {
		return err
	}
	for _, role := range roles {
		if err := w.trail.Deployed(role); err != nil {
			return err
		}
		if err := w.permissions.Put(role); err != nil {
			return err
		}
	}
	rules, err := s.Rules()
	if err != nil {
		return err
	}
	for _, rule := range rules {
		w.rules.Put(awsfront.Rule(rule))
	}
	developer, err := w.Developer()
	if err != nil {
		return err
	}
	return s.Deploy(ctx, w.Lambda, sfn.NewFromConfig(developer))
}

// Developer is the AWS configuration of the role for shells.
func (w *World) Developer() (aws.Config, error) {
	issued, err := w.authority.Issue(developer, "shell", time.Now().AddDate(1, 0, 0))
	if err != nil {
		return aws.Config{}, fmt.Errorf("issue credentials: %w", err)
	}
	return aws.Config{Region: Region, BaseEndpoint: &w.Endpoint, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return issued, nil })}, nil
}

// Lost returns a channel with an error once a process of the world has ended that should not have.
func (w *World) Lost(ctx context.Context) <-chan error {
	lost := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
		case <-w.ControlPlane.process.Exited():
			lost <- fmt.Errorf("the control plane has ended: %w", cmp.Or(w.ControlPlane.process.Err(), errGone))
		case <-w.engine.Exited():
			lost <- fmt.Errorf("the Step Functions engine has ended: %w", cmp.Or(w.engine.Err(), errGone))
		}
	}()
	return lost
}

// errGone is of a process that ended without an error.
var errGone = errors.New("exit status 0")

// Stop ends everything that Start started, in reverse order.
func (w *World) Stop() {
	for i := len(w.stop) - 1; i >= 0; i-- {
		w.stop[i]()
	}
	w.stop = nil
}

// interpreter is the Python with local/requirements.txt.
func (w *World) interpreter() string { return filepath.Join(w.options.Tools, "venv", "bin", "python") }

func (w *World) binaries() string { return filepath.Join(w.options.Root, "build", "local") }
func (w *World) logs() string     { return filepath.Join(w.options.Dir, "logs") }
func (w *World) keyFile() string  { return filepath.Join(w.options.Dir, "credentials.key") }
func (w *World) clusterDir(name string) string {
	return filepath.Join(w.options.Dir, "clusters", name)
}

// Trail is the file of the calls to AWS: see local/trail.
func (w *World) Trail() string { return filepath.Join(w.options.Dir, "calls.jsonl") }

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/kubestep/kubestep/local/controlplane/apiserver"
	"github.com/kubestep/kubestep/local/controlplane/authenticator"
	"github.com/kubestep/kubestep/local/controlplane/controllers"
	"github.com/kubestep/kubestep/local/controlplane/etcd"
	"github.com/kubestep/kubestep/local/controlplane/kubelet"
	"github.com/kubestep/kubestep/local/controlplane/loopback"
	"github.com/kubestep/kubestep/local/controlplane/scheduler"
	"github.com/kubestep/kubestep/local/controlplane/sts"
	"github.com/kubestep/kubestep/local/credentials"
)

const (
	host = "127.0.0.1"
	// The authenticator alone calls the API server by this name, so that its requests show in the metrics.
	loopbackName = "localhost"

	readyTimeout = time.Minute
	pollInterval = 20 * time.Millisecond

	// stopTimeout limits the time of a stop. It takes two seconds, but half a minute at certain moments of the API server's
	// start.
	stopTimeout = 4 * time.Second
)

// settings are the command's flags.
type settings struct {
	dir, cluster       string
	credentialsKeyFile string
	port               int
	newCA              bool
	// compactEvery is how often the API server compacts etcd, after which continue
	// tokens expire. Its default is 5 minutes.
	compactEvery time.Duration
	// cacheTokens is how long the API server caches whose a token is.
	cacheTokens time.Duration
}

// ready is the line that serve writes when the control plane is ready.
type ready struct {
	Cluster              string `json:"cluster"`
	Endpoint             string `json:"endpoint"`
	CertificateAuthority string `json:"certificateAuthority"`
	Kubeconfig           string `json:"kubeconfig"`
}

// serve runs a control plane until the context ends, and writes one line to out when it is ready.
func serve(ctx context.Context, s settings, out io.Writer) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return fmt.Errorf("find the directory: %w", err)
	}
	authority, err := credentials.FromFile(s.credentialsKeyFile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	// etcd's sockets are in the working directory.
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("enter the directory: %w", err)
	}
	if err := divertStderr("stderr.log"); err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(s.port)))
	if err != nil {
		return fmt.Errorf("listen for the API server: %w", err)
	}
	defer func() { _ = listener.Close() }()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	endpoint := "https://" + net.JoinHostPort(host, port)

	store, err := etcd.Start(ctx, filepath.Join(dir, "etcd.log"))
	if err != nil {
		return err
	}
	defer store.Close()

	f := files{dir}
	ca, err := f.certificate(s.newCA)
	if err != nil {
		return err
	}
	if err := f.users(s.cluster, ca, map[string]string{admin: endpoint, "authenticator": "https://" + net.JoinHostPort(loopbackName, port)}); err != nil {
		return err
	}
	if err := standInForSTS(f.path("sts.log"), authority); err != nil {
		return err
	}
	if err := stayHere(ctx, f); err != nil {
		return err
	}
	webhook, err := authenticator.Prepare(ctx, authenticator.Config{
		Cluster:    s.cluster,
		Dir:        f.path("authenticator"),
		Kubeconfig: f.kubeconfig("authenticator"),
		APIServer:  net.JoinHostPort(loopbackName, port),
		LogFile:    f.path("authenticator.log"),
		Fatal:      gaveUp(ctx, "the authenticator", f.path("authenticator.log")),
	})
	if err != nil {
		return err
	}

	context.AfterFunc(ctx, func() {
		time.Sleep(stopTimeout)
		os.Exit(0) // etcd loses nothing
	})
	// If one of the two fails, the other one ends too.
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		return apiserver.Run(running, apiserver.Config{
			Listener:     listener,
			Etcd:         etcd.Endpoint,
			CompactEvery: s.compactEvery,
			CacheTokens:  s.cacheTokens,
			CertFile:     f.path(certFile),
			KeyFile:      f.path(keyFile),
			TokenFile:    f.path(tokenFile),
			WebhookFile:  webhook.WebhookFile(),
			EgressFile:   f.path(egressFile),
			LogFile:      f.path("apiserver.log"),
			Fatal:        gaveUp(ctx, "the API server", f.path("apiserver.log")),
		})
	})
	group.Go(func() error {
		if err := finish(running, f, webhook); err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(ready{
			Cluster:              s.cluster,
			Endpoint:             endpoint,
			CertificateAuthority: base64.StdEncoding.EncodeToString(ca),
			Kubeconfig:           f.kubeconfig(admin),
		})
	})
	return group.Wait()
}

// gaveUp returns a function that ends the process, for parts that cannot continue. That is not a failure if they were asked to
// stop, such as the API server before all of it has started.
func gaveUp(ctx context.Context, what, logFile string) func() {
	return func() {
		if ctx.Err() != nil {
			os.Exit(0)
		}
		fmt.Fprintf(os.Stderr, "controlplane: %s has given up; the last lines of %s say why\n", what, logFile)
		os.Exit(1)
	}
}

// finish starts what needs a running API server.
func finish(ctx context.Context, f files, webhook *authenticator.Authenticator) error {
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig(admin))
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1 // the default of five requests a second would hold up the start
	if err := awaitReady(ctx, config); err != nil {
		return err
	}
	if err := live(ctx, f, config); err != nil {
		return err
	}
	return webhook.Start(ctx)
}

// live starts what acts on objects: the nodes, the scheduler and the controllers.
func live(ctx context.Context, f files, config *rest.Config) error {
	log, err := openLog(f.path("controllers.log"))
	if err != nil {
		return err
	}
	ctx = klog.NewContext(ctx, textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(log))))
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	// Who owns which field is much of an object's size, and no controller reads it.
	shared := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(func(object any) (any, error) {
		if read, err := meta.Accessor(object); err == nil {
			read.SetManagedFields(nil)
		}
		return object, nil
	}))
	if err := kubelet.Start(ctx, kubelet.Config{API: config, Informers: shared, CertFile: f.path(certFile), KeyFile: f.path(keyFile)}); err != nil {
		return err
	}
	if err := scheduler.Start(ctx, config); err != nil {
		return err
	}
	return controllers.Start(ctx, controllers.Config{API: config, Informers: shared, KeyFile: f.path(keyFile)})
}

// standInForSTS registers the STS stand-in with http.DefaultTransport, through which the authenticator's verifier calls STS:
// it has no option for another endpoint.
func standInForSTS(logFile string, authority credentials.Authority) error {
	log, err := logTo(logFile)
	if err != nil {
		return err
	}
	stand := sts.Transport{Authority: authority, Now: time.Now, Log: log}
	stand.Register(http.DefaultTransport.(*http.Transport))
	return nil
}

// stayHere keeps the process from reaching other computers, whatever the objects of the cluster say. It must come before the API
// server and the authenticator make their clients.
func stayHere(ctx context.Context, f files) error {
	log, err := logTo(f.path("egress.log"))
	if err != nil {
		return err
	}
	// The API server looks up the names of nodes itself, and other parts dial as these say.
	net.DefaultResolver = loopback.Resolver()
	http.DefaultTransport.(*http.Transport).DialContext = loopback.Dialer().DialContext
	if err := f.write(egressFile, []byte(loopback.Configuration)); err != nil {
		return err
	}
	return loopback.Proxy{Log: log}.Serve(ctx)
}

func logTo(file string) (*slog.Logger, error) {
	log, err := openLog(file)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewTextHandler(log, nil)), nil
}

func openLog(file string) (*os.File, error) {
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	return log, nil
}

// awaitReady waits until the API server is ready and has created the namespaces that clients expect, which it does shortly after.
func awaitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		for _, namespace := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
			if last == nil {
				_, last = client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
			}
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the API server to be ready: %w: %w", err, last)
	}
	return nil
}

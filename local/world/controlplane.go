package world

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubestep/kubestep/local/child"
)

// controlPlaneStart limits the start of a control plane, which takes 3 seconds on two idle cores.
const controlPlaneStart = 90 * time.Second

// ControlPlane is a cluster's control plane, in a process of its own.
type ControlPlane struct {
	Name string
	// Endpoint is the URL of the Kubernetes API.
	Endpoint string
	// CertificateAuthority is in PEM.
	CertificateAuthority []byte
	// Kubeconfig is the file of the cluster's administrator.
	Kubeconfig string

	binary  string
	process *child.Process
}

// ready is the line that the process writes when it is ready.
type ready struct {
	Endpoint             string
	CertificateAuthority []byte // base64 in JSON
	Kubeconfig           string
}

// StartCluster starts a control plane alone, without what stands in for AWS: its administrator works with it. root is the repository,
// and dir the folder of its data and its log.
func StartCluster(ctx context.Context, root, dir, name string, flags ...string) (*ControlPlane, error) {
	key := filepath.Join(dir, "credentials.key")
	if err := os.WriteFile(key, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		return nil, fmt.Errorf("write the key of the credentials: %w", err)
	}
	return startControlPlane(ctx, filepath.Join(root, "build", "local", "controlplane"), filepath.Join(dir, "cluster"), dir, name, key, flags...)
}

// startControlPlane starts the process in dir, with further flags.
func startControlPlane(ctx context.Context, binary, dir, logs, name, keyFile string, flags ...string) (*ControlPlane, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the control plane's folder: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(logs, "controlplane-"+name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the control plane's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	stdout, stdoutWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe to the control plane: %w", err)
	}
	defer func() { _ = stdout.Close() }()

	cmd := exec.Command(binary, append([]string{"--dir", dir, "--cluster", name, "--credentials-key-file", keyFile}, flags...)...) //nolint:noctx // it runs until Stop
	cmd.Stdout, cmd.Stderr = stdoutWriter, log
	process, err := child.Start(cmd)
	_ = stdoutWriter.Close()
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, controlPlaneStart)
	defer cancel()
	line := make(chan []byte, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadBytes('\n')
		line <- text
	}()
	select {
	case text := <-line:
		var r ready
		if err := json.Unmarshal(text, &r); err != nil {
			process.Stop(time.Second)
			return nil, fmt.Errorf("the control plane did not start: %s", lastLine(log.Name()))
		}
		return &ControlPlane{Name: name, Endpoint: r.Endpoint, CertificateAuthority: r.CertificateAuthority, Kubeconfig: r.Kubeconfig, binary: binary, process: process}, nil
	case <-ctx.Done():
		process.Stop(time.Second)
		return nil, fmt.Errorf("the control plane was not ready in time; its log is %s: %w", log.Name(), ctx.Err())
	}
}

// Admin is the client configuration of the cluster's administrator.
func (c *ControlPlane) Admin() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the administrator's kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// Apply applies kustomizations. Fields that others have set differently are overwritten.
func (c *ControlPlane) Apply(ctx context.Context, folders ...string) error {
	for _, folder := range folders {
		if err := c.kubectl(ctx, "", "apply", "--server-side", "--force-conflicts", "-k", folder); err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes the objects of kustomizations, if they exist.
func (c *ControlPlane) Delete(ctx context.Context, folders ...string) error {
	for _, folder := range folders {
		if err := c.kubectl(ctx, "", "delete", "--ignore-not-found", "-k", folder); err != nil {
			return err
		}
	}
	return nil
}

// kubectl runs kubectl as the cluster's administrator.
func (c *ControlPlane) kubectl(ctx context.Context, stdin string, args ...string) error {
	kubectl := exec.CommandContext(ctx, filepath.Join(filepath.Dir(c.binary), "kubectl"), args...)
	kubectl.Args = append(kubectl.Args, "--kubeconfig", c.Kubeconfig, "--cache-dir", filepath.Join(filepath.Dir(c.Kubeconfig), "kubectl"))
	kubectl.Stdin = strings.NewReader(stdin)
	if out, err := kubectl.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Stop ends the process.
func (c *ControlPlane) Stop() { c.process.Stop(10 * time.Second) }

// lastLine returns the last line of a log, where a program says why it ended.
func lastLine(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > 4096 {
		_, _ = f.Seek(-4096, io.SeekEnd)
	}
	last := "its log is empty"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text := strings.TrimSpace(lines.Text()); text != "" {
			last = text
		}
	}
	return last
}

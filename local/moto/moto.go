// Package moto runs moto (https://docs.getmoto.org), which executes state machines on this computer and is the local S3. It is a
// Python program, which server.py starts and the Makefile installs.
//
// It stays because AWS does not support its own Step Functions Local any more, which lacks features:
// https://docs.aws.amazon.com/step-functions/latest/dg/sfn-local.html. Other code needs only the URL of the endpoint, so that another
// emulator can replace moto.
package moto

import (
	"cmp"
	"context"
	_ "embed" // of server.py
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/kubestep/kubestep/local/child"
)

// server runs moto's server, with nested executions that work.
//
//go:embed server.py
var server string

const (
	// startTimeout is generous: a first start compiles moto's Python.
	startTimeout = 2 * time.Minute
	pollInterval = 20 * time.Millisecond
	stopGrace    = time.Second

	// configuration makes moto execute state machines; it only records them otherwise:
	// https://docs.getmoto.org/en/latest/docs/services/stepfunctions.html
	configuration = `{"stepfunctions":{"execute_state_machine":true}}`
)

// Options are what moto needs to run.
type Options struct {
	// Python is the interpreter that has moto.
	Python string
	// Logs is the folder of moto.log.
	Logs string
	// Account is moto's AWS account.
	Account string
	// Credentials sign its calls.
	Credentials aws.Credentials
	// FrontPort is the port on localhost at which moto calls Lambda and other services.
	FrontPort int
}

// Engine is a Step Functions endpoint.
type Engine struct {
	URL     *url.URL
	process *child.Process
}

// Start starts moto and returns when it executes state machines.
func Start(ctx context.Context, options Options) (*Engine, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	logName := filepath.Join(options.Logs, "moto.log")
	log, err := os.OpenFile(logName, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open moto's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	//nolint:noctx // it runs until Stop
	cmd := exec.Command(options.Python, "-c", server, "-H", "127.0.0.1", "-p", strconv.Itoa(port))
	cmd.Env = environment(os.Environ(), options)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	e := &Engine{URL: &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, process: process}
	if err := e.ready(ctx); err != nil {
		e.Stop()
		return nil, fmt.Errorf("moto does not start: %w; see %s", err, logName)
	}
	return e, nil
}

// Exited is closed when moto has ended, and Err says how.
func (e *Engine) Exited() <-chan struct{} { return e.process.Exited() }

// Err returns how moto has ended. It is valid after Exited.
func (e *Engine) Err() error { return e.process.Err() }

// Stop ends moto and all executions.
func (e *Engine) Stop() { e.process.Stop(stopGrace) }

// ready waits until moto has taken its configuration.
func (e *Engine) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := e.configure(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-e.process.Exited():
			return fmt.Errorf("it exited: %w", cmp.Or(e.process.Err(), errors.New("exit status 0")))
		case <-ctx.Done():
			return err
		case <-time.After(pollInterval):
		}
	}
}

func (e *Engine) configure(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL.JoinPath("moto-api", "config").String(), strings.NewReader(configuration))
	if err != nil {
		return fmt.Errorf("configure it: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("configure it: %w", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("configure it: it answers %s", response.Status)
	}
	return nil
}

// environment is this process's environment without the AWS configuration (profiles, endpoints, credentials) and the proxies that would send
// moto's calls elsewhere.
func environment(own []string, options Options) []string {
	kept := slices.DeleteFunc(slices.Clone(own), func(variable string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(variable), "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "MOTO_") || strings.HasSuffix(name, "_PROXY")
	})
	return append(kept,
		"MOTO_PORT="+strconv.Itoa(options.FrontPort),
		"MOTO_ACCOUNT_ID="+options.Account,
		"AWS_ACCESS_KEY_ID="+options.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+options.Credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN="+options.Credentials.SessionToken,
		"AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true",
	)
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

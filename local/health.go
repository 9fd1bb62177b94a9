package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// A busy computer may be late once.
	healthTries   = 2
	healthTimeout = 5 * time.Second
	// startTimeout is longer than any start.
	startTimeout = 3 * time.Minute
)

// errStarting is returned for a world that has not said yet that it is ready.
var errStarting = errors.New("it is not ready yet")

// healthy returns nil if the world of the folder does its work: the AWS endpoint, the Step Functions engine behind it, the API server.
func (l local) healthy(ctx context.Context) error {
	variables, err := l.folder.ReadEnv()
	if errors.Is(err, os.ErrNotExist) {
		return errStarting
	}
	if err != nil {
		return err
	}
	for range healthTries {
		if err = answers(ctx, variables); err == nil {
			return nil
		}
	}
	return err
}

func answers(ctx context.Context, variables map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	engine := sfn.New(sfn.Options{
		Region: variables["AWS_REGION"], BaseEndpoint: aws.String(variables["AWS_ENDPOINT_URL"]), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], variables["AWS_SESSION_TOKEN"]),
	})
	if _, err := engine.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(variables["FLEET_ARN"])}); err != nil {
		return fmt.Errorf("the Step Functions engine does not answer: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", variables["KUBECONFIG"])
	if err != nil {
		return fmt.Errorf("read the administrator's kubeconfig: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("make a client of the API server: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask the API server: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the API server is not ready: /readyz answers %s", response.Status)
	}
	return nil
}

// await returns the process of the world that runs, and whether it does its work. It waits for one that is starting.
func (l local) await(ctx context.Context) (pid int, runs bool, unhealthy, err error) {
	said := false
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(100 * time.Millisecond) {
		pid, runs, err = l.folder.Runs()
		if err != nil || !runs {
			return pid, runs, nil, err
		}
		unhealthy = l.healthy(ctx)
		if !errors.Is(unhealthy, errStarting) || time.Now().After(deadline) {
			return pid, true, unhealthy, nil
		}
		if !said {
			said = true
			say("the local world is starting, as process %d", pid)
		}
	}
}

// running returns the process of the world that runs and works. It ends one that does not work, so that it can be started again.
func (l local) running(ctx context.Context) (pid int, runs bool, err error) {
	pid, runs, unhealthy, err := l.await(ctx)
	if err != nil || unhealthy == nil {
		return pid, runs, err
	}
	say("the local world is running, as process %d, but it does not work: %v", pid, unhealthy)
	say("starting it again: what was in it is gone")
	_, err = l.folder.End(stopGrace)
	return 0, false, err
}

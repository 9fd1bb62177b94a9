package world

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/kubestep/kubestep/local/stack"
)

// stacks are what the local CloudFormation deploys.
type stacks struct {
	world *World

	mu       sync.Mutex
	deployed map[string]stack.Stack
}

// Deploy deploys a template as `aws cloudformation package` leaves it.
func (s *stacks) Deploy(ctx context.Context, name, template, address string, parameters map[string]string) (map[string]string, error) {
	text := []byte(template)
	if template == "" {
		parsed, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("the template's URL: %w", err)
		}
		if text, err = s.world.download(ctx, parsed.Path); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "kubestep-template-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the template: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "template.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the template: %w", err)
	}
	deployment := s.world.Stack(name)
	deployment.Parameters = parameters
	if deployment.Template, err = s.world.transform(ctx, file, parameters); err != nil {
		return nil, err
	}
	evaluated, err := deployment.Evaluate()
	if err != nil {
		return nil, err
	}
	if err := s.world.Deploy(ctx, deployment); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deployed == nil {
		s.deployed = map[string]stack.Stack{}
	}
	s.deployed[name] = deployment
	return evaluated.Outputs, nil
}

// Delete deletes a stack that Deploy made.
func (s *stacks) Delete(ctx context.Context, name string) error {
	s.mu.Lock()
	deployment := s.deployed[name]
	delete(s.deployed, name)
	s.mu.Unlock()
	developer, err := s.world.Developer()
	if err != nil {
		return err
	}
	return deployment.Delete(ctx, s.world.Lambda, sfn.NewFromConfig(developer))
}

// emptyHash is the SHA-256 of no body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// download reads an object from the local S3.
func (w *World) download(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Endpoint+path, nil)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", path, err)
	}
	developer, err := w.Developer()
	if err != nil {
		return nil, err
	}
	credentials, err := developer.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", path, err)
	}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, emptyHash, "s3", Region, time.Now()); err != nil {
		return nil, fmt.Errorf("download %s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("download %s: S3 answers %s", path, response.Status)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", path, err)
	}
	return text, nil
}

package world

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/kubestep/kubestep/local/awsfront"
)

// deploy deploys a template that `aws cloudformation package` has written.
func (w *World) deploy(ctx context.Context, name, template, address string, parameters map[string]string) (map[string]string, awsfront.Remove, error) {
	text := []byte(template)
	if template == "" {
		parsed, err := url.Parse(address)
		if err != nil {
			return nil, nil, fmt.Errorf("the template's URL: %w", err)
		}
		bucket, key, _ := strings.Cut(strings.TrimPrefix(parsed.Path, "/"), "/")
		if text, err = w.download(ctx, bucket, key); err != nil {
			return nil, nil, err
		}
	}
	transformed, err := w.transform(ctx, text, parameters)
	if err != nil {
		return nil, nil, err
	}
	deployment := w.Stack(name)
	deployment.Template, deployment.Parameters = transformed, parameters
	evaluated, err := deployment.Evaluate()
	if err != nil {
		return nil, nil, err
	}
	if err := w.Deploy(ctx, deployment); err != nil {
		return nil, nil, err
	}
	return evaluated.Outputs, func(ctx context.Context) error {
		developer, err := w.Developer()
		if err != nil {
			return err
		}
		return deployment.Delete(ctx, w.Lambda, sfn.NewFromConfig(developer))
	}, nil
}

// s3 is a client of the local S3.
func (w *World) s3() (*s3.Client, error) {
	developer, err := w.Developer()
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true }), nil
}

// download reads an object of the local S3.
func (w *World) download(ctx context.Context, bucket, key string) ([]byte, error) {
	client, err := w.s3()
	if err != nil {
		return nil, err
	}
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("download s3://%s/%s: %w", bucket, key, err)
	}
	defer func() { _ = object.Body.Close() }()
	content, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, fmt.Errorf("download s3://%s/%s: %w", bucket, key, err)
	}
	return content, nil
}

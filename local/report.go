package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/store"
)

// savePage copies the report of an execution of fleet from the local S3, which may end with this program, and returns the file. It
// returns "" if there is no report, such as for an input without output.
func (l local) savePage(ctx context.Context, env map[string]string, execution, input string) (string, error) {
	text := []byte(input)
	if file, ok := strings.CutPrefix(input, "@"); ok {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return "", fmt.Errorf("read the input: %w", err)
		}
	}
	var asked struct{ Output contract.Destination }
	if json.Unmarshal(text, &asked) != nil || asked.Output.Bucket == "" {
		return "", nil // kubestep reports what is wrong with the input
	}
	client := s3.New(s3.Options{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_SESSION_TOKEN"]),
	})
	page, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &asked.Output.Bucket, Key: aws.String(store.Prefix(asked.Output) + contract.MachineARN(env["FLEET_ARN"]).Execution(execution).Folder() + "report.html")})
	if _, none := errors.AsType[*types.NoSuchKey](err); none {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the report: %w", err)
	}
	defer func() { _ = page.Body.Close() }()
	name := filepath.Join(string(l.folder), "report.html")
	content, err := io.ReadAll(page.Body)
	if err == nil {
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("save the report: %w", err)
	}
	return name, nil
}

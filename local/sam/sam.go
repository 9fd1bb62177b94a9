// Package sam transforms template.yml into plain CloudFormation with aws-sam-translator, which AWS uses too.
//
// It stays because moto's CloudFormation cannot transform SAM, and aws-sam-translator is a library of Python alone.
package sam

import (
	"bytes"
	"context"
	_ "embed" // of transform.py
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// Bucket is the bucket that the transformed template names for files of the repository: their paths are the keys.
const Bucket = "local"

//go:embed transform.py
var script string

// Transform returns a template as plain CloudFormation, in JSON. The transform needs the parameters for a few values, such as the
// hash that names a function's version. interpreter is a Python with local/requirements.txt.
func Transform(ctx context.Context, interpreter string, template []byte, parameters map[string]string) ([]byte, error) {
	given, err := json.Marshal(parameters)
	if err != nil {
		return nil, fmt.Errorf("encode the parameters: %w", err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, interpreter, "-c", script, string(given))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(template), &stderr
	transformed, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("transform the template (%w): %s", err, lines[len(lines)-1]) // where Python reports an error
	}
	return transformed, nil
}

// Package sam transforms template.yml into plain CloudFormation with aws-sam-translator, which AWS uses too. The transform takes a
// second or two, so its result is cached until the template changes.
//
// It stays because moto's CloudFormation cannot transform SAM, and aws-sam-translator is a library of Python alone.
package sam

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // of transform.py
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Bucket is the bucket that the transformed template names for files of the repository: their paths are the keys.
const Bucket = "local"

//go:embed transform.py
var script []byte

// Transform returns a template as plain CloudFormation, in JSON. The transform needs the parameters for a few values, such as the
// hash that names a function's version. interpreter is a Python with local/requirements.txt, and cache a folder for results.
func Transform(ctx context.Context, interpreter string, text []byte, cache string, parameters map[string]string) ([]byte, error) {
	given, err := json.Marshal(parameters)
	if err != nil {
		return nil, fmt.Errorf("pass the parameters on: %w", err)
	}
	kept := filepath.Join(cache, key(text, given)+".json")
	if transformed, err := os.ReadFile(kept); err == nil {
		return transformed, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the transformed template: %w", err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, interpreter, "-c", string(script), string(given))
	cmd.Stdin = bytes.NewReader(text)
	cmd.Stderr = &stderr
	transformed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("transform the template (%w): %s", err, lastLine(stderr.String()))
	}
	return transformed, keep(kept, transformed)
}

// key is a hash of everything that the result depends on.
func key(text, parameters []byte) string {
	hash := sha256.New()
	for _, part := range [][]byte{text, parameters, script} {
		fmt.Fprintf(hash, "%d\n", len(part))
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// keep writes the file atomically, because another world may read it.
func keep(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("make the folder of transformed templates: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(name), "new-")
	if err != nil {
		return fmt.Errorf("keep the transformed template: %w", err)
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("keep the transformed template: %w", err)
	}
	return nil
}

// lastLine is where Python reports an error.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

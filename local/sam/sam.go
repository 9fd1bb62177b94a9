// Package sam transforms template.yml into plain CloudFormation by aws-sam-translator, which is what AWS transforms it
// by. That takes a second or two, so the result is kept for as long as the template stays as it is.
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

// Bucket stands for the repository: the transformed template has the paths of code and definitions as keys in this bucket.
const Bucket = "local"

//go:embed transform.py
var script []byte

// Transform returns the template in a file as plain CloudFormation, in JSON. The transform resolves the parameters in a
// few places, such as the hash that names a function's version. interpreter is a Python with local/requirements.txt, and cache
// a folder for results.
func Transform(ctx context.Context, interpreter, file, cache string, parameters map[string]string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
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
	cmd := exec.CommandContext(ctx, interpreter, "-c", string(script), file, string(given))
	cmd.Stderr = &stderr
	transformed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("transform %s (%w): %s", file, err, lastLine(stderr.String()))
	}
	return transformed, keep(kept, transformed)
}

// key is a hash of all that the result depends on.
func key(text, parameters []byte) string {
	hash := sha256.New()
	for _, part := range [][]byte{text, parameters, script} {
		fmt.Fprintf(hash, "%d\n", len(part))
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// keep writes the file whole or not at all: another world may read it.
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

// lastLine is where Python says what is wrong.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

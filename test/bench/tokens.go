package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/tools/benchmark/parse"
)

// benchmark runs a benchmark of a package of the main module once more, and returns
// what it says.
func (o options) benchmark(ctx context.Context, pkg, name string) (*parse.Benchmark, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$", "-benchmem", "./"+pkg)
	cmd.Dir = o.root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s of %s: %w: %s", name, pkg, err, out)
	}
	set, err := parse.ParseSet(bytes.NewReader(out))
	if err != nil {
		return nil, fmt.Errorf("read what %s says: %w", name, err)
	}
	for _, benchmarks := range set {
		return benchmarks[0], nil
	}
	return nil, fmt.Errorf("%s has no benchmark %s: %s", pkg, name, out)
}

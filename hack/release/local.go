package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// platform is a system that programs are released for.
type platform struct{ system, architecture string }

var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func (p platform) String() string { return p.system + "_" + p.architecture }

// suffix ends the name of an archive for the platform, as hack/prebuilt.sh asks for it.
func (p platform) suffix(version string) string { return "_" + version + "_" + p.String() + ".tar.gz" }

// local builds and packs, for each platform, what make local builds: the control plane and kubectl, which are of Kubernetes, in
// one archive, and what is of this repository in another, at the paths that they have in build/local.
func (r release) local(ctx context.Context) error {
	license, err := r.license()
	if err != nil {
		return err
	}
	flags, err := r.kubernetesFlags()
	if err != nil {
		return err
	}
	module := filepath.Join(r.root, "local", "controlplane")
	programs, err := filepath.Glob(filepath.Join(r.root, "functions", "*", "main.go"))
	if err != nil {
		return fmt.Errorf("find the functions: %w", err)
	}
	for _, p := range platforms {
		controlPlane, err := r.programs(ctx, module, p, []string{"-ldflags", flags}, map[string]string{"controlplane": ".", "kubectl": "k8s.io/kubernetes/cmd/kubectl"})
		if err != nil {
			return err
		}
		functions := map[string]string{}
		for _, program := range programs {
			name := filepath.Base(filepath.Dir(program))
			functions[name+"/bootstrap"] = "./functions/" + name
		}
		files, err := r.programs(ctx, r.root, p, []string{"-tags", "lambda.norpc", "-ldflags", "-s -w"}, functions)
		if err != nil {
			return err
		}
		worlds, err := r.programs(ctx, r.root, p, []string{"-ldflags", "-s -w"}, map[string]string{"local": "./local"})
		if err != nil {
			return err
		}
		command, err := r.command(ctx, p)
		if err != nil {
			return err
		}
		files = append(append(files, worlds...), file{"kubestep", 0o755, command})
		if err := errors.Join(
			r.write("controlplane"+p.suffix(r.version), packTar(append([]file{license}, controlPlane...)...)),
			r.write("local"+p.suffix(r.version), packTar(files...)),
		); err != nil {
			return err
		}
	}
	return nil
}

// programs builds programs, by their paths in an archive.
func (r release) programs(ctx context.Context, module string, p platform, flags []string, of map[string]string) ([]file, error) {
	var files []file
	for _, name := range slices.Sorted(maps.Keys(of)) {
		binary, err := r.buildIn(ctx, module, of[name], p.system, p.architecture, flags...)
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", name, p, err)
		}
		files = append(files, file{name, 0o755, binary})
	}
	return files, nil
}

// ofKubernetes is the version of Kubernetes in a go.mod.
var ofKubernetes = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)$`)

// kubernetesFlags let the linker set the version that the control plane and kubectl tell, as in the Makefile.
func (r release) kubernetesFlags() (string, error) {
	text, err := os.ReadFile(filepath.Join(r.root, "local", "controlplane", "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read the version of Kubernetes: %w", err)
	}
	version := ofKubernetes.FindSubmatch(text)
	if version == nil {
		return "", errors.New("local/controlplane/go.mod does not require k8s.io/kubernetes")
	}
	const variable = " -X k8s.io/component-base/version.git"
	return strings.Join([]string{"-s -w", "Version=" + string(version[1]), "Major=" + string(version[2]), "Minor=" + string(version[3])}, variable), nil
}

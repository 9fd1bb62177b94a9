// Command release makes the files of a release, in one folder:
//
//	NAME-VERSION.zip                  a Lambda function
//	NAME-VERSION.asl.json             the definition of a state machine
//	template.yml                      the template, which finds these in a bucket
//	member.yml                        the template for the accounts of a fleet's clusters
//	rbac-VERSION.tar.gz               what kubestep needs in a cluster
//	kubestep_VERSION_OS_ARCH.tar.gz   the command, and its manual page
//	controlplane_VERSION_OS_ARCH.tar.gz, local_VERSION_OS_ARCH.tar.gz
//	                                  what make run PREBUILT=1 takes (hack/prebuilt.sh)
//	kubestep-VERSION.cdx.json         the SBOM, in CycloneDX
//	release-notes.md                  what changed, from the git log
//	SHA256SUMS
//
// The same sources make the same bytes, in every folder and at any time: see
// https://reproducible-builds.org/docs/definition/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
)

// semver is https://semver.org with a v, as Go has it, without build metadata.
var semver = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$`)

func main() {
	root := flag.String("root", ".", "the `folder` of the repository")
	out := flag.String("out", filepath.Join("build", "release"), "the `folder` to write to; what it held is removed")
	version := flag.String("version", "", "the `version`, such as v1.2.3")
	cyclonedx := flag.String("cyclonedx", "", "the `program` cyclonedx-gomod; without it there is no SBOM")
	stackOnly := flag.Bool("stack-only", false, "make only what a stack is deployed from")
	local := flag.Bool("local", false, "make the programs of the local world too, for each platform, which builds Kubernetes for each")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	r := release{root: *root, out: *out, version: *version}
	err := r.make(ctx, *cyclonedx, *stackOnly, *local)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
	fmt.Println("made", *out)
}

// release is a release of the sources in root.
type release struct{ root, out, version string }

func (r release) make(ctx context.Context, cyclonedx string, stackOnly, local bool) error {
	if !semver.MatchString(r.version) {
		return fmt.Errorf("%q is not a version such as v1.2.3", r.version)
	}
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o750)); err != nil {
		return fmt.Errorf("empty the folder: %w", err)
	}
	steps := []func(context.Context) error{r.functions, r.template, r.rbac}
	if !stackOnly {
		steps = append(steps, r.commands, r.notes)
	}
	if local {
		steps = append(steps, r.local)
	}
	if cyclonedx != "" {
		steps = append(steps, func(ctx context.Context) error { return r.sbom(ctx, cyclonedx) })
	}
	for _, step := range append(steps, r.sums) {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// functions builds and packs every folder of functions/ that holds a program.
func (r release) functions(ctx context.Context) error {
	programs, err := filepath.Glob(filepath.Join(r.root, "functions", "*", "main.go"))
	if err != nil {
		return fmt.Errorf("find the functions: %w", err)
	}
	if len(programs) == 0 {
		return fmt.Errorf("there are no functions in %s", r.root)
	}
	for _, program := range programs {
		name := filepath.Base(filepath.Dir(program))
		if err := r.function(ctx, name); err != nil {
			return fmt.Errorf("function %s: %w", name, err)
		}
	}
	return nil
}

// function makes the package of one function. Lambda starts the file bootstrap in it:
// https://docs.aws.amazon.com/lambda/latest/dg/golang-package.html
func (r release) function(ctx context.Context, name string) error {
	binary, err := r.build(ctx, "./functions/"+name, "linux", "arm64", "-tags", "lambda.norpc", "-ldflags", "-s -w")
	if err != nil {
		return err
	}
	return r.write(name+"-"+r.version+".zip", packZip(file{"bootstrap", 0o755, binary}))
}

// commands builds and packs the command for each platform.
func (r release) commands(ctx context.Context) error {
	license, err := r.license()
	if err != nil {
		return err
	}
	manual, err := r.manual(ctx)
	if err != nil {
		return err
	}
	for _, p := range platforms {
		binary, err := r.command(ctx, p)
		if err != nil {
			return err
		}
		if err := r.write("kubestep"+p.suffix(r.version), packTar(license, file{"kubestep", 0o755, binary}, file{"kubestep.1", 0o644, manual})); err != nil {
			return err
		}
	}
	return nil
}

// manual is what the command prints of itself, built for this computer.
func (r release) manual(ctx context.Context) ([]byte, error) {
	binary, err := r.command(ctx, platform{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "release-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	program := filepath.Join(folder, "kubestep")
	if err := os.WriteFile(program, binary, 0o700); err != nil { //nolint:gosec // it is run
		return nil, fmt.Errorf("write the command: %w", err)
	}
	page, err := r.output(ctx, program, "man")
	return []byte(page), err
}

func (r release) command(ctx context.Context, p platform) ([]byte, error) {
	binary, err := r.build(ctx, "./cmd/kubestep", p.system, p.architecture, "-ldflags", "-s -w -X main.version="+r.version)
	if err != nil {
		return nil, fmt.Errorf("the command for %s: %w", p, err)
	}
	return binary, nil
}

func (r release) license() (file, error) {
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return file{}, fmt.Errorf("read the license: %w", err)
	}
	return file{"LICENSE", 0o644, license}, nil
}

// rbac packs what kubectl applies.
func (r release) rbac(context.Context) error {
	var files []file
	err := filepath.WalkDir(filepath.Join(r.root, "rbac"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // a file of this repository
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.root, path)
		files = append(files, file{filepath.ToSlash(name), 0o644, content})
		return err
	})
	if err != nil {
		return fmt.Errorf("read rbac: %w", err)
	}
	slices.SortFunc(files, byName)
	return r.write("rbac-"+r.version+".tar.gz", packTar(files...))
}

func (r release) write(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(r.out, name), content, 0o644); err != nil { //nolint:gosec // to be published
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

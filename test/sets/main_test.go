// Package sets proves that what left the manifests of a set goes and nothing else does, whatever happens on the way. It runs the machine's
// definition and the functions' code in this process, in a bubble of testing/synctest whose clock does not wait, against a real
// kube-apiserver; in between is a network on which each request can be lost, be carried out twice, or be the last one of its function.
//
//	go test -v -count=1 -timeout 2h ./sets -every 1
package sets

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/asl"
)

var (
	every = flag.Int("every", 200, "how many-th of all cases is run: with 1 all are, which takes an hour")

	root         string // of the repository
	controlPlane *world.ControlPlane
	machine      asl.Machine
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	root, err = filepath.Abs("../..")
	if err == nil {
		machine, err = readDefinition(root)
	}
	dir := ""
	if err == nil {
		dir, err = os.MkdirTemp("", "kubestep-sets-")
	}
	if err == nil {
		controlPlane, err = world.StartCluster(context.Background(), root, dir, "demo")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "the control plane does not start (make local builds it): %v\n", err)
		return 1
	}
	defer func() {
		controlPlane.Stop()
		_ = os.RemoveAll(dir)
	}()
	return m.Run()
}

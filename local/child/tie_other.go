//go:build !linux

package child

import (
	"os/exec"
	"sync"
)

// startTied starts cmd and names it to a guard, since only Linux kills a child with its parent.
func startTied(cmd *exec.Cmd) (untie func(), err error) {
	g, err := sharedGuard()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g.watch(cmd.Process.Pid)
	return func() { g.forget(cmd.Process.Pid) }, nil
}

var sharedGuard = sync.OnceValues(startGuard)

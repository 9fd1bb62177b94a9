package child

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// guardScript reads process groups until its input ends, which it does when the process that writes it ends, even if that is
// killed. Then it kills the groups that are left.
const guardScript = `
groups=
while read -r change group; do
  case $change in
    watch) groups="$groups $group" ;;
    forget)
      left=
      for g in $groups; do [ "$g" = "$group" ] || left="$left $g"; done
      groups=$left ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g"; done
`

// guard kills process groups when this process ends.
type guard struct {
	mu    sync.Mutex
	input io.WriteCloser
}

// sharedGuard is the guard of all children.
var sharedGuard = sync.OnceValues(startGuard)

func startGuard() (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript) //nolint:noctx // it outlives this process on purpose
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("guard child processes: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard child processes: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	return &guard{input: input}, nil
}

func (g *guard) watch(group int)  { g.write("watch", group) }
func (g *guard) forget(group int) { g.write("forget", group) }

func (g *guard) write(change string, group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _ = fmt.Fprintln(g.input, change, group) // a child runs without its guard too
}

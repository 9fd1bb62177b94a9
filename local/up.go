package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kubestep/kubestep/internal/shell"
	"github.com/kubestep/kubestep/local/session"
)

const (
	// reportFD is the file descriptor to which serve reports its start.
	reportFD = 3
	// isReady is the last line of that report.
	isReady = "ready"
)

// up starts a world in a process of its own, which keeps running, and returns when the world is ready.
func (l local) up(ctx context.Context) error {
	if pid, runs, err := l.running(ctx); err != nil {
		return err
	} else if runs {
		say("the local world is already running, as process %d", pid)
		return l.hint()
	}
	if err := os.MkdirAll(filepath.Join(string(l.folder), "logs"), 0o700); err != nil {
		return fmt.Errorf("make the folder of logs: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(string(l.folder), "logs", "world.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the world's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	report, reporter, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe to the world: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	serve := exec.Command(program, "serve", "--state", string(l.folder)) //nolint:noctx // it outlives this process
	serve.Dir, serve.Stdout, serve.Stderr, serve.ExtraFiles = l.root, log, log, []*os.File{reporter}
	serve.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it survives the terminal
	err = serve.Start()
	_ = reporter.Close()
	if err != nil {
		return fmt.Errorf("start the local world: %w", err)
	}
	last := ""
	for lines := bufio.NewScanner(report); lines.Scan(); last = lines.Text() {
		if last != "" {
			say("%s", last)
		}
	}
	if last != isReady {
		_ = serve.Wait()
		return fmt.Errorf("the local world did not start: %s", strings.TrimPrefix(last, "error: "))
	}
	return l.hint()
}

// hint suggests commands for a running world: a make run for each workflow with an input in local/inputs.
func (l local) hint() error {
	if err := l.lend(); err != nil {
		return err
	}
	env := l.folder.EnvFile()
	if here, err := filepath.Rel(l.root, env); err == nil && filepath.IsLocal(here) {
		env = here
	}
	inputs, err := filepath.Glob(filepath.Join(l.root, "local", "inputs", "*.json"))
	if err != nil {
		return fmt.Errorf("find the inputs: %w", err)
	}
	fmt.Fprintf(os.Stderr, "\nNow let this shell reach it, with aws, kubectl and kubestep (deactivate_kubestep leaves it, make down ends it):\n\n  source %s\n\n", shell.Quote(env))
	fmt.Fprint(os.Stderr, "Try next:\n\n  kubestep inventory demo -n shop\n")
	for _, input := range inputs {
		workflow := strings.TrimSuffix(filepath.Base(input), ".json")
		text, err := os.ReadFile(filepath.Join(l.root, "statemachine", workflow+".asl.json"))
		var definition struct{ Comment string }
		if err == nil {
			err = json.Unmarshal(text, &definition)
		}
		if err != nil {
			return fmt.Errorf("read the definition of %s: %w", workflow, err)
		}
		does, _, _ := strings.Cut(definition.Comment, ":")
		fmt.Fprintf(os.Stderr, "  make run WORKFLOW=%-16s # %s\n", workflow, does)
	}
	return nil
}

// serve runs a world until it gets a signal. up starts it.
func (l local) serve(ctx context.Context) error {
	// The processes that this one starts must not inherit the report, which up reads to its end.
	syscall.CloseOnExec(reportFD)
	var report io.WriteCloser = os.NewFile(reportFD, "report")
	tell := func(format string, args ...any) { fmt.Fprintf(report, format+"\n", args...) }
	lock, err := l.folder.Lock()
	if errors.Is(err, session.ErrRuns) {
		tell("error: another one was started at the same time")
		return err
	}
	if err != nil {
		tell("error: %v", err)
		return err
	}
	defer lock.Release()
	w, err := l.start(ctx, tell)
	if err != nil {
		tell("error: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		return err
	}
	defer w.Stop()
	tell(isReady)
	_ = report.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-w.Lost(ctx):
		return fmt.Errorf("the local world ends: %w", err) // make up starts another
	}
}

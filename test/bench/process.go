package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// child runs a client to its end.
func child(ctx context.Context, name string, args ...string) (sample, error) {
	var stderr bytes.Buffer
	var out head
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	peak := make(chan float64)
	ended := make(chan struct{})
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	wall := time.Since(began)
	close(ended)
	s := sample{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memoryMB: <-peak}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, stderr.String())
	}
	var told struct{ Seconds float64 }
	if json.Unmarshal(out.text, &told) == nil {
		s.request = time.Duration(told.Seconds * float64(time.Second))
	}
	return s, nil
}

// watch reads the most memory that a process has had, until it ends. What wait
// tells of a child is at least what its parent had when it was started.
func watch(pid int, ended <-chan struct{}) float64 {
	most := 0.0
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, _ := strings.Cut(string(status), "VmHWM:")
		if fields := strings.Fields(after); len(fields) > 0 {
			if kb, err := strconv.ParseFloat(fields[0], 64); err == nil {
				most = max(most, kb/1024)
			}
		}
		select {
		case <-ended:
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// head keeps the beginning of what is written.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), 1024-len(h.text))]...)
	return len(p), nil
}

// processTime is the CPU time so far of the function's process: fields 14 and 15 of
// /proc/PID/stat, in hundredths of a second.
func processTime(function string) time.Duration {
	processes, _ := filepath.Glob("/proc/[0-9]*/exe")
	var total time.Duration
	for _, exe := range processes {
		target, err := os.Readlink(exe)
		if err != nil || !strings.HasSuffix(target, "/"+function+"/bootstrap") {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(exe), "stat"))
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		if len(fields) < 13 || fields[1] != strconv.Itoa(os.Getpid()) { // its parent
			continue
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		total += time.Duration(user+system) * 10 * time.Millisecond
	}
	return total
}

// commitOf is the commit of the repository, before the run writes its pages into it.
func commitOf(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--exclude=*", "--dirty= and changes")
	cmd.Dir = root
	said, err := cmd.Output()
	if err != nil {
		return "an unknown commit"
	}
	return "commit " + strings.TrimSpace(string(said))
}

// written says of which commit, when and where a page is written.
func (o options) written() string {
	return fmt.Sprintf("Written by `make bench` at %s on %s, on %s", o.commit, time.Now().UTC().Format("2 January 2006"), machine())
}

// machine says what this computer is, and nothing of which one it is.
func machine() string {
	model := "an unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(info), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	memory, _ := os.ReadFile("/proc/meminfo")
	_, after, _ := strings.Cut(string(memory), "MemTotal:")
	kb, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d cores of %s, %d GiB of memory, %s/%s, %s; load average %s when the run began",
		runtime.NumCPU(), model, (kb+1<<19)>>20, runtime.GOOS, runtime.GOARCH, runtime.Version(), strings.Join(strings.Fields(string(load) + " ?")[:1], ""))
}

package lambdahost

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// peakMemoryMB is the most memory that the process has had resident: VmHWM of proc(5).
func peakMemoryMB(pid int) (int, bool) {
	kb, ok := status(pid, "VmHWM")
	return (kb + 1023) >> 10, ok
}

// residentKB is the memory that the process has resident now: VmRSS of proc(5).
func residentKB(pid int) (int, bool) { return status(pid, "VmRSS") }

// status reads a field of the process's status that is an amount of memory, in KiB.
func status(pid int, field string) (int, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	_, after, found := bytes.Cut(text, []byte("\n"+field+":"))
	value, _, unit := bytes.Cut(after, []byte(" kB\n"))
	if !found || !unit {
		return 0, false
	}
	kb, err := strconv.Atoi(string(bytes.TrimSpace(value)))
	return kb, err == nil
}

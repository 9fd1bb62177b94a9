package lambdahost

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc, USER_HZ, which is the same on all that Go runs on.
const tick = 10 * time.Millisecond

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

// cpuTime is the CPU time of the process so far: utime and stime of proc(5).
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may have any characters. After it comes field 3.
	const user, system = 14 - 3, 15 - 3
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= system {
		return 0
	}
	var ticks int
	for _, field := range [][]byte{fields[user], fields[system]} {
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}

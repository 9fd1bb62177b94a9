package lambdahost

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// peakMemoryMB is the most memory that the process has had resident: VmHWM of proc(5).
func peakMemoryMB(pid int) (int, bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	_, after, found := bytes.Cut(status, []byte("\nVmHWM:"))
	value, _, unit := bytes.Cut(after, []byte(" kB\n"))
	if !found || !unit {
		return 0, false
	}
	kb, err := strconv.Atoi(string(bytes.TrimSpace(value)))
	return (kb + 1023) >> 10, err == nil
}

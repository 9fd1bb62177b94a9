//go:build !linux

package lambdahost

import "time"

// peakMemoryMB is known on Linux only: elsewhere a function's memory is not limited.
func peakMemoryMB(int) (int, bool) { return 0, false }

// residentKB is known on Linux only.
func residentKB(int) (int, bool) { return 0, false }

// cpuTime is known on Linux only.
func cpuTime(int) time.Duration { return 0 }

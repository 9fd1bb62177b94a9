//go:build !linux

package lambdahost

// peakMemoryMB is known on Linux only: elsewhere a function's memory is not limited.
func peakMemoryMB(int) (int, bool) { return 0, false }

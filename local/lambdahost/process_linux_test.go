package lambdahost

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAFunctionThatTakesTooMuchMemoryIsKilled(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]request{
		"while it runs":                          {Do: "grow", MB: 300, MS: 60_000},
		"even when it ends before that is noted": {Do: "grow", MB: 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put(func(f *Function) { f.MemoryMB = 256 })

			result := w.invoke(r)

			assert.Equal(t, `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: `+result.RequestID+` Error: Runtime exited with error: signal: killed"}`,
				string(result.Payload))
			assert.Greater(t, result.MaxMemoryMB, 256)
			assert.True(t, w.invoke(request{}).ColdStart)
		})
	}
}

func TestPeakMemoryIsThatOfTheProcess(t *testing.T) {
	mb, ok := peakMemoryMB(os.Getpid())
	assert.True(t, ok)
	assert.Positive(t, mb)

	_, ok = peakMemoryMB(-1)
	assert.False(t, ok)
}

func TestTheResidentMemoryIsThatOfEachEnvironmentThatRuns(t *testing.T) {
	w := newWorld(t)
	w.put(nil)
	assert.Empty(t, w.ResidentKB("f"))

	w.invoke(request{})
	before := w.ResidentKB("f")
	assert.Len(t, before, 1)
	w.invoke(request{Do: "grow", MB: 64})
	after := w.ResidentKB("f")
	assert.Len(t, after, 1)
	assert.Greater(t, after[0], before[0]+16<<10)
}

func TestCPUTimeIsThatOfAllEnvironmentsOfAFunction(t *testing.T) {
	w := newWorld(t)
	w.put(nil)
	assert.Zero(t, w.CPU("f"))

	w.invoke(request{Do: "sleep", MS: 300})
	idle := w.CPU("f")
	assert.Less(t, idle, 200*time.Millisecond, "what it waits does not count")
	w.invoke(request{Do: "compute", MS: 400})
	assert.Greater(t, w.CPU("f"), idle+100*time.Millisecond, "of an environment that runs")

	w.put(nil)
	assert.Greater(t, w.CPU("f"), idle+100*time.Millisecond, "and of one that has ended")
	assert.Zero(t, w.CPU("g"))
}

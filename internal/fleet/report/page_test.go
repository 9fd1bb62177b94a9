package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract/fleet"
)

func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	for name, test := range map[string]func(*testing.T, *browser){
		"the table sorts and filters":         sortsAndFilters,
		"hostile names and causes do nothing": hostileTextsDoNothing,
		"the page fits a phone and the dark":  fitsAPhoneAndTheDark,
		"a command can be copied":             commandsCanBeCopied,
		"a thousand clusters":                 aThousandClusters,
		"a rollout that waits":                aRolloutThatWaits,
	} {
		t.Run(name, func(t *testing.T) { test(t, b) })
	}
}

func sortsAndFilters(t *testing.T, in *browser) {
	t.Helper()
	small, slow := well("small"), well("slow")
	small.Totals = map[string]int{"pods": 999}
	slow.Seconds = 125
	late := failed("late", "")
	late.Status, late.Error = fleet.StatusTimedOut, "States.Timeout"
	b := in.open(t, page(t, of(well("big"), small, slow, failed("broken", "No answer."), late)), 1280, 900)

	assert.Equal(t, "broken late big small slow", b.names(), "those that failed come first")
	b.click("thead th:nth-child(3) button") // pods
	assert.Equal(t, "big slow small broken late", b.names(), "the most first, as numbers")
	b.click("thead th:nth-child(3) button")
	assert.Equal(t, "broken late small big slow", b.names(), "and the other way around")
	b.click("thead th:nth-child(1) button")
	assert.Equal(t, "big broken late slow small", b.names())
	b.click("thead th:nth-child(7) button") // time
	assert.Equal(t, "slow broken late big small", b.names(), "minutes are more than seconds")

	b.click(`[data-status="TIMED_OUT"]`)
	assert.Equal(t, "late", b.names())
	assert.Equal(t, "1 of 5", evaluate[string](b, `document.getElementById("shown").value`))
	b.click(`[data-error="ClusterUnreachable"]`)
	assert.Equal(t, "broken", b.names(), "an error takes the place of a status")
	b.click(`[data-error="ClusterUnreachable"]`)
	assert.Equal(t, "slow broken late big small", b.names(), "and gives it back")

	search := `(() => { const filter = document.getElementById("filter"); filter.value = %q; filter.dispatchEvent(new Event("input")) })()`
	evaluate[any](b, search, "us-east NO answer")
	assert.Equal(t, "broken", b.names(), "each word is looked for, in any column")
	evaluate[any](b, search, "nothing")
	assert.Empty(t, b.names())
	assert.True(t, evaluate[bool](b, `document.getElementById("none").checkVisibility()`), "it says that none matches")
	b.click("#clear")
	assert.Equal(t, "slow broken late big small", b.names())
}

func hostileTextsDoNothing(t *testing.T, in *browser) {
	t.Helper()
	var all []fleet.Outcome
	for _, evil := range hostile {
		bad := failed(evil, evil)
		bad.Error, bad.Region = evil, evil
		all = append(all, bad, well(evil))
	}
	r := of(all...)
	r.Summary.Fleet, r.Summary.Workflow = hostile[0], hostile[1]
	b := in.open(t, page(t, r), 1280, 900)

	assert.Len(t, b.seen("Network.requestWillBeSent"), 1, "nothing is loaded but the page")
	assert.Empty(t, b.seen("Page.javascriptDialogOpening"))
	assert.Empty(t, b.seen("Log.entryAdded"), "the policy has nothing to refuse")
	assert.Empty(t, b.seen("Runtime.exceptionThrown"))
	assert.Equal(t, 1, evaluate[int](b, `document.scripts.length`))
	assert.Equal(t, hostile[0], evaluate[string](b, `[...document.querySelectorAll("tbody th")].find((th) => th.textContent.startsWith("<script>")).textContent`))
	b.click(fmt.Sprintf(`[data-error=%q]`, hostile[1]))
	assert.Equal(t, hostile[1], b.names(), "its own script works with them")

	evaluate[any](b, `(() => { const script = document.createElement("script"); script.textContent = "window.ran = true"; document.body.append(script) })()`)
	assert.False(t, evaluate[bool](b, `window.ran === true`), "and the policy refuses any other")
}

func fitsAPhoneAndTheDark(t *testing.T, in *browser) {
	t.Helper()
	long := failed(strings.Repeat("x", 100), strings.Repeat("y", 250))
	b := in.open(t, page(t, of(append(many(20, well), long)...)), 1280, 900)
	for _, width := range []int{1920, 1280, 1024, 768, 390, 320} {
		b.resize(width, 800)
		assert.LessOrEqual(t, evaluate[int](b, `document.documentElement.scrollWidth`), width, "nothing is wider than the screen")
	}
	ground := func() string { return evaluate[string](b, `getComputedStyle(document.body).backgroundColor`) }
	light := ground()
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	assert.NotEqual(t, light, ground())
}

func commandsCanBeCopied(t *testing.T, in *browser) {
	t.Helper()
	b := in.open(t, page(t, of(well("a"), failed("checkout-7", "no"))), 1280, 900)
	copied := evaluate[string](b, `new Promise((done) => { Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => done(text) } }); document.querySelector("td .copy").click() })`)
	assert.Contains(t, copied, "kubestep follow arn:aws:states:", "the whole command, though the line shows its beginning")
	assert.Contains(t, evaluate[string](b, `document.querySelector(".failures").textContent`), "checkout-7", "a card names its clusters")
}

func aThousandClusters(t *testing.T, in *browser) {
	t.Helper()
	b := in.open(t, page(t, of(many(1000, well)...)), 1280, 900)
	assert.Equal(t, 1000, evaluate[int](b, `document.querySelectorAll("tbody tr").length`))
	drawn := evaluate[float64](b, `new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))`)
	sorted := evaluate[float64](b, `(() => { const from = performance.now(); document.querySelector("thead th:nth-child(3) button").click(); document.body.offsetHeight; return performance.now() - from })()`)
	t.Logf("drawn after %.0f ms, sorted in %.0f ms", drawn, sorted)
}

func aRolloutThatWaits(t *testing.T, in *browser) {
	t.Helper()
	r := waiting()
	r.Waiting.Wave = hostile[0]
	r.Waiting.Next = fleet.WaveNext{Name: hostile[1], Clusters: 9, Names: hostile[2:4]}
	b := in.open(t, page(t, r), 1280, 900)
	assert.Empty(t, b.seen("Runtime.exceptionThrown"))
	assert.Equal(t, "Waits for the approval of wave "+hostile[0], evaluate[string](b, `document.querySelector("h1").textContent`))
	for _, width := range []int{1280, 390, 320} {
		b.resize(width, 800)
		assert.LessOrEqual(t, evaluate[int](b, `document.documentElement.scrollWidth`), width, "nothing is wider than the screen")
	}
	copied := evaluate[string](b, `new Promise((done) => { Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => done(text) } }); document.querySelector(".again .copy").click() })`)
	assert.Equal(t, "kubestep approve arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly --digest q83vEjRWeJq83vEjRWeJq83v", copied)
}

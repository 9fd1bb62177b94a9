package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/shell"
)

var (
	//go:embed page.html
	page string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// parsed is the page. A template is safe for concurrent use.
var parsed = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": count, "duration": duration, "words": words, "title": title, "class": class, "figure": figure, "lower": lower, "figures": Figures, "appeared": Appeared, "rollback": Rollback, "gate": Gate, "approved": Approved, "gateless": Gateless, "explain": explain, "gateClass": gateClass,
	"segmentsOf": func(w fleet.WaveSummary) []segment { return segments(w.ByStatus, w.Clusters) },
}).Parse(page))

// view is what the page shows.
type view struct {
	Style  template.CSS
	Script template.JS
	// Policy lets nothing run or load but what is in the page, told by its hash.
	Policy   string
	Summary  fleet.Summary
	Headline string
	// Verdict is a class: well, tolerable or bad.
	Verdict string
	URL     string
	Request string
	Started time.Time
	Took    float64
	// Tolerated is how many clusters may fail.
	Tolerated int
	Figures   []string
	Segments  []segment
	// Same says how many clusters get the same change; empty if nobody knows.
	Same string
	Rows iter.Seq[Row]
	// Failing are the first clusters of each error, by name.
	Failing map[string]string
	// Waiting says what the rollout waits for; nil if it is done.
	Waiting *waiting
}

// waiting is an approval that a rollout waits for.
type waiting struct {
	Since, Until time.Time
	// Next says what begins then, and Command approves that.
	Next, Command string
}

// segment is a part of the bar of outcomes, in thousandths of it.
type segment struct {
	Status      fleet.Status
	Clusters    int
	From, Width float64
}

// HTML writes the page: one file that loads nothing.
func (r Report) HTML(w io.Writer) error {
	notStarted := r.Summary.ByStatus[fleet.StatusNotStarted]
	failed, leftOut := r.Summary.Failed(), r.Summary.ByStatus[fleet.StatusLeftOut]
	v := view{
		Style:     template.CSS(style), //nolint:gosec // the file page.css
		Script:    template.JS(script), //nolint:gosec // the file page.js
		Policy:    fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", hash(style), hash(script)),
		Summary:   r.Summary,
		Headline:  headline(r.Summary.Clusters, failed, notStarted, leftOut),
		Verdict:   "bad",
		URL:       ConsoleURL(r.Fleet.Execution),
		Tolerated: r.Fleet.Tolerated,
		Request:   clip(r.Request),
		Started:   r.Fleet.StartedAt.UTC(),
		Took:      r.FinishedAt.Sub(r.Fleet.StartedAt).Seconds(),
		Figures:   r.figures(),
		Segments:  segments(r.Summary.ByStatus, r.Summary.Clusters),
		Same:      Same(r.Summary),
		Rows:      r.rows(),
		Failing:   r.failing(),
	}
	switch {
	case failed == 0:
		v.Verdict = "well"
	case failed <= r.Fleet.Tolerated:
		v.Verdict = "tolerable"
	}
	switch {
	case r.Waiting != nil:
		v.Headline, v.Verdict, v.Waiting = waitsFor(*r.Waiting), "waits", r.waiting()
	case notStarted > 0: // whatever stopped it
		v.Verdict = "bad"
	}
	if err := parsed.Execute(w, v); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// waitsFor is the headline of a rollout that waits.
func waitsFor(rollout fleet.Rollout) string {
	if rollout.Wave == "" {
		return "Waits for approval: nothing has begun"
	}
	return "Waits for the approval of wave " + rollout.Wave
}

// waiting is what the rollout waits for.
func (r Report) waiting() *waiting {
	w := waiting{
		Since: r.FinishedAt.UTC(), Until: r.FinishedAt.UTC().Add(time.Duration(r.Waiting.TimeoutSeconds) * time.Second),
		Command: fmt.Sprintf("kubestep approve %s --digest %s", shell.Quote(r.Fleet.Execution), r.Waiting.Digest),
	}
	next := r.Waiting.Next
	names := strings.Join(next.Names, ", ")
	if more := next.Clusters - len(next.Names); more > 0 {
		names += fmt.Sprintf(", and %s more", count(more))
	}
	switch {
	case next.Clusters == 0:
		w.Next = "No wave is left: the rollout ends with the approval."
	case next.Name == "":
		w.Next = fmt.Sprintf("Next are %s: %s.", many(next.Clusters), names)
	default:
		w.Next = fmt.Sprintf("Next is wave %s with %s: %s.", next.Name, many(next.Clusters), names)
	}
	if r.Waiting.Later > 0 {
		w.Next += fmt.Sprintf(" Later waves have %s.", many(r.Waiting.Later))
	}
	return &w
}

// maxNamed is how many clusters the card of an error names.
const maxNamed = 3

// failing returns the first clusters of each error, as a card names them.
func (r Report) failing() map[string]string {
	names, of := map[string][]string{}, map[string]int{}
	for _, o := range r.Outcomes {
		if !o.Failed() || o.ClusterName == "" {
			continue
		}
		of[o.Error]++
		if len(names[o.Error]) < maxNamed {
			names[o.Error] = append(names[o.Error], o.ClusterName)
		}
	}
	all := map[string]string{}
	for name, first := range names {
		all[name] = strings.Join(first, ", ")
		if more := of[name] - len(first); more > 0 {
			all[name] += fmt.Sprintf(", … and %s more", count(more))
		}
	}
	return all
}

// explain says what a figure counts, if its name does not.
func explain(figure string) string {
	switch figure {
	case "unhealthy":
		return "Pods that neither run with every container ready, nor have succeeded"
	case "drift":
		return "Clusters that are not as the manifests say"
	default:
		return ""
	}
}

// clip shortens a request, which may hold manifests.
func clip(text string) string {
	if len(text) <= maxRequest {
		return text
	}
	return strings.ToValidUTF8(text[:maxRequest], "") + "…"
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func headline(all, failed, notStarted, leftOut int) string {
	text := fmt.Sprintf("%s of %s failed", count(failed), many(all))
	switch {
	case failed == 0 && leftOut > 0 && notStarted == 0:
		return fmt.Sprintf("%s of %s succeeded, %s left out", count(all-leftOut), many(all), count(leftOut))
	case failed == 0 && notStarted > 0:
		text = fmt.Sprintf("%s of %s succeeded", count(all-notStarted-leftOut), many(all))
		if leftOut > 0 {
			text += fmt.Sprintf(", %s left out", count(leftOut))
		}
		return text + fmt.Sprintf(", %s not started", count(notStarted))
	case failed == 0 && all == 1:
		return "The cluster succeeded"
	case failed == 0:
		return fmt.Sprintf("All %s clusters succeeded", count(all))
	case notStarted == 1:
		return text + ", 1 was not started"
	case notStarted > 0:
		return fmt.Sprintf("%s, %s were not started", text, count(notStarted))
	default:
		return text
	}
}

// Same says how many clusters get the same change, and how many get another one. It is empty if
// no cluster tells.
func Same(s fleet.Summary) string {
	if len(s.Effects) == 0 {
		return ""
	}
	told := s.ByStatus[fleet.StatusSucceeded]
	most := s.Effects[0].Clusters
	switch differ := told - most; {
	case told == 1:
		return "One cluster, one change."
	case differ == 0:
		return fmt.Sprintf("All %s clusters get the same change.", count(told))
	case differ == 1:
		return fmt.Sprintf("%s of %s clusters get the same change; 1 differs.", count(most), count(told))
	default:
		return fmt.Sprintf("%s of %s clusters get the same change; %s differ.", count(most), count(told), count(differ))
	}
}

// Rollback says how many clusters were rolled back, and which are still changed; it is empty if
// none was to be.
func Rollback(s fleet.Summary) string {
	if s.Rollback == nil {
		return ""
	}
	left := s.Rollback.Clusters - s.Rollback.RolledBack
	if left == 0 {
		return fmt.Sprintf("Rolled back: %s. None of them is changed any more.", many(s.Rollback.Clusters))
	}
	names := strings.Join(s.Rollback.Changed, ", ")
	if more := left - len(s.Rollback.Changed); more > 0 {
		names += fmt.Sprintf(", and %s more", count(more))
	}
	return fmt.Sprintf("Rolled back: %s of %s. Still changed, or may be: %s", count(s.Rollback.RolledBack), many(s.Rollback.Clusters), names)
}

// many is a number of clusters.
func many(n int) string {
	if n == 1 {
		return "1 cluster"
	}
	return count(n) + " clusters"
}

// Approved says who approved, and when; it is empty if nobody did.
func Approved(a fleet.Approved) string {
	if a == (fleet.Approved{}) {
		return ""
	}
	text := "approved"
	if a.By != "" {
		text += " by " + a.By
	}
	return text + ", " + a.At.UTC().Format("2 January 2006, 15:04 MST")
}

// Gate says more of the gate of a wave than whether it was passed; it is empty if there is no more.
func Gate(w fleet.WaveSummary) string {
	var parts []string
	if w.Jobs > 0 {
		parts = append(parts, "its job succeeded in "+many(w.Jobs))
	}
	if text := Approved(w.Approved); text != "" {
		parts = append(parts, text)
	}
	if w.Why != "" {
		parts = append(parts, w.Why)
	}
	return strings.Join(parts, "; ")
}

// Gateless says that those who go on with what was not started pass by the gate that stopped the
// rollout, which belongs to a wave that has ended; it is empty if no gate did.
func Gateless(s fleet.Summary) string {
	for _, w := range s.Waves {
		if w.Gate == fleet.GateFailed {
			return fmt.Sprintf(" (without the gate of wave %s, which was not passed)", w.Name)
		}
	}
	return ""
}

// Appeared says which clusters were not there when the fleet began; it is empty if none is known.
func Appeared(s fleet.Summary) string {
	switch {
	case s.Appeared == nil:
		return ""
	case s.Appeared.Failure != "":
		return "Whether clusters have appeared since the fleet began is not known: " + s.Appeared.Failure
	case s.Appeared.Clusters == 0:
		return ""
	}
	names := strings.Join(s.Appeared.Names, ", ")
	if more := s.Appeared.Clusters - len(s.Appeared.Names); more > 0 {
		names += fmt.Sprintf(", and %s more", count(more))
	}
	if s.Appeared.Clusters == 1 {
		return "1 cluster has appeared since the fleet began, and was not changed: " + names
	}
	return fmt.Sprintf("%s clusters have appeared since the fleet began, and were not changed: %s", count(s.Appeared.Clusters), names)
}

// Figures writes a cluster's figures that are not 0, in the order of their names.
func Figures(totals map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		if totals[name] != 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(totals[name]), name))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// segments share the bar. One cluster of thousands is still to be seen.
func segments(byStatus map[fleet.Status]int, clusters int) []segment {
	const whole, least = 1000.0, 4.0
	var all []segment
	sum := 0.0
	for _, status := range fleet.Statuses() {
		if n := byStatus[status]; n > 0 {
			width := max(least, whole*float64(n)/float64(clusters))
			all = append(all, segment{Status: status, Clusters: n, Width: width})
			sum += width
		}
	}
	from := 0.0
	for i := range all {
		all[i].From, all[i].Width = math.Round(from), math.Round(all[i].Width*whole/sum)
		from += all[i].Width
	}
	return all
}

// count writes a number with commas.
func count(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// duration writes seconds as a person reads them.
func duration(seconds float64) string {
	switch whole := int(math.Round(seconds)); {
	case seconds < 10:
		return strconv.FormatFloat(math.Round(seconds*10)/10, 'f', -1, 64) + " s"
	case whole < 60:
		return fmt.Sprintf("%d s", whole)
	case whole < 3600:
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	default:
		return fmt.Sprintf("%d h %d min", whole/3600, whole/60%60)
	}
}

// words are the status as a person reads it, and title is a figure's name as a heading.
func words(status fleet.Status) string {
	return title(lower(status))
}

func lower(status fleet.Status) string {
	return strings.ReplaceAll(strings.ToLower(string(status)), "_", " ")
}

func title(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// class is the status as a class of the style.
func class(status fleet.Status) string {
	switch status {
	case fleet.StatusSucceeded:
		return "ok"
	case fleet.StatusTimedOut:
		return "late"
	case fleet.StatusAborted, fleet.StatusNotStarted, fleet.StatusLeftOut:
		return "off"
	default:
		return "bad"
	}
}

// gateClass is what became of a gate as a class of the style.
func gateClass(gate fleet.GateResult) string {
	switch gate {
	case fleet.GatePassed:
		return "ok"
	case fleet.GateWaiting:
		return "late"
	default:
		return "bad"
	}
}

// figure is one of a cluster's totals; empty if it has none of that name.
func figure(totals map[string]int, name string) string {
	n, ok := totals[name]
	if !ok {
		return ""
	}
	return count(n)
}

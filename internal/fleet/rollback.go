package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/store"
)

// A rollback is more rounds of the same fleet: its clusters are asked to apply the former version,
// the last wave first. It has a list of its own in S3, and so have its outcomes, since the state
// could not hold two for each cluster.

// maxManifests bounds the former version, as apply-manifests does.
const maxManifests = 10 << 20

// readOnFailure reads what happens once a wave has failed.
func (r *request) readOnFailure(f *input.Fields) {
	r.onFailure = contractfleet.OnFailureStop
	f.String("onFailure", (*string)(&r.onFailure))
	if !slices.Contains(contractfleet.OnFailures(), r.onFailure) {
		f.Problem("onFailure", "%s: expected stop, continue or rollback", input.Quote(string(r.onFailure)))
	}
	nested, given := f.Object("rollback", `{"versionId": "the former version of the request's source"}`)
	former, another := r.readFormer(nested)
	rollsBack := r.onFailure == contractfleet.OnFailureRollback
	switch {
	case f.Raw("onFailure") != nil && f.Raw("waves") == nil:
		f.Problem("onFailure", `is there without waves: expected at least one, such as [{"name": "all", "percentage": 100}]`)
	case given && !rollsBack:
		f.Problem("rollback", "is there without onFailure: expected %q", contractfleet.OnFailureRollback)
	case !rollsBack:
	case !given:
		f.Problem("rollback", `missing: expected the former version of the manifests, such as {"versionId": "…"} or {"source": {"bucket": "name", "key": "former.yaml"}}`)
	case !r.applies:
		f.Problem("onFailure", "only what apply-manifests applies is rolled back: expected a request with mode apply, or plan")
	default:
		r.checkFormer(nested, former, another)
	}
	if !rollsBack || f.HasProblems() {
		return
	}
	if r.output.Bucket == "" {
		f.Problem("output", `missing: a rollout that is rolled back keeps its outcomes in an S3 bucket: expected an object such as {"bucket": "name"}`)
	}
	asked, err := reversed(r.asked, former)
	if err != nil {
		nested.Problem("source", "%v", err)
	}
	r.former, r.formerSource = asked, former
}

// readFormer reads where the former version is, and whether that is another source than the
// request's.
func (r *request) readFormer(f *input.Fields) (read applymanifests.Source, given bool) {
	source, given := f.Object("source", `{"bucket": "name", "key": "former.yaml"}`)
	source.String("bucket", &read.Bucket)
	source.String("key", &read.Key)
	source.String("versionId", &read.VersionID)
	if given {
		input.CheckBucket(source, "bucket", read.Bucket)
		if read.Key == "" || len(read.Key) > maxSourceKey {
			source.Problem("key", "%d bytes: expected 1 to %d", len(read.Key), maxSourceKey)
		}
	}
	version := ""
	f.String("versionId", &version)
	switch {
	case given && version != "":
		f.Problem("versionId", "give only one of these: versionId, source")
	case given || version == "":
	default:
		read = applymanifests.Source{Bucket: r.manifests.Bucket, Key: r.manifests.Key, VersionID: version}
	}
	return read, given
}

// checkFormer finds the problems of a former version beside the request.
func (r *request) checkFormer(f *input.Fields, former applymanifests.Source, another bool) {
	same := former
	same.VersionID = r.manifests.VersionID
	switch {
	case !another && r.manifests.Bucket == "":
		f.Problem("source", "missing: the request has no source, so expected where the former version is, such as %s", `{"bucket": "name", "key": "former.yaml"}`)
	case !another && former.VersionID == "":
		f.Problem("versionId", "missing: expected the version of the request's source that a rollback applies, or another source")
	case former == r.manifests, same == r.manifests && former.VersionID == "":
		f.Problem("source", "is what the request applies: expected another version, or another key")
	case r.approves:
		f.Problem("", "the request has approve: a rollback would wait for somebody in each cluster. Leave one of them out")
	}
}

// reversed is the request that rolls back another one.
func reversed(request json.RawMessage, former applymanifests.Source) (json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(request, &members); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	delete(members, "manifests")
	delete(members, "effect") // is of what is rolled back
	text, err := contract.Encode(former)
	if err != nil {
		return nil, fmt.Errorf("encode the former version: %w", err)
	}
	members["source"] = text
	return contract.Encode(members)
}

// checkReadable returns an error if the former version cannot be read: that is found out before
// anything is changed.
func (d Finder) checkReadable(ctx context.Context, r request, execution string) error {
	if r.formerSource.Bucket == "" || !r.changes {
		return nil
	}
	at := store.Object{Field: "rollback.source", Bucket: r.formerSource.Bucket, Key: r.formerSource.Key, VersionID: r.formerSource.VersionID}
	_, version, err := store.New(d.Store.S3, execution).Get(ctx, at, maxManifests)
	if err != nil {
		return err
	}
	former := r.formerSource
	former.VersionID = version
	if version != "" && former == r.manifests {
		return contract.Errorf(contract.InvalidInput, "rollback: version %s is what the request applies: expected a former one", version)
	}
	return nil
}

// rolling is the fleet while it is rolled back: its executions have other names, which no other
// fleet has. One that shares the name may have rolled a cluster back before this one changed it.
func rolling(fleet contractfleet.Fleet) contractfleet.Fleet {
	fleet.Digest = fleet.FormerDigest + " " + fleet.Own
	return fleet
}

// rollbackKey is the key of the list of clusters that are rolled back.
func rollbackKey(fleet contractfleet.Fleet) string { return folder(fleet) + "rollback.json" }

// isChanged reports whether the cluster is changed, or may be: it began, and did not find that
// there is nothing to change. A second try finds that too where the first one has changed all.
func isChanged(o contractfleet.Outcome) bool {
	applied, told := o.Totals["applied"]
	switch {
	case o.Status == contractfleet.StatusNotStarted, o.Status == contractfleet.StatusLeftOut:
		return false
	case o.Error == string(contract.ClusterNotFound): // so there is nothing to roll back
		return false
	case o.Attempt > 1:
		return true
	case o.Error == contractfleet.NameTakenError:
		return false
	}
	return o.Status != contractfleet.StatusSucceeded || o.Attempt > 1 || !told || applied+o.Totals["pruned"] > 0
}

// fail ends a rollout of which a wave has failed, after a round with those outcomes: at once, or
// once it is rolled back.
func (s Summarizer) fail(ctx context.Context, in contractfleet.Summarize, outcomes []contractfleet.Outcome, why string) (contractfleet.Run, error) {
	if in.Fleet.OnFailure != contractfleet.OnFailureRollback || in.Run.Wave == 0 {
		return s.finish(ctx, in, outcomes, why)
	}
	all, err := s.all(ctx, in, outcomes, why)
	if err != nil {
		return contractfleet.Run{}, err
	}
	of, changed := rolling(in.Fleet), []contractfleet.Cluster{}
	for _, o := range all {
		if isChanged(o) && o.ClusterName != "" {
			changed = append(changed, contractfleet.Cluster{Target: o.Target, Attempt: 1, Execution: ExecutionName(of, o.Target, 1), Wave: o.Wave})
		}
	}
	if len(changed) == 0 {
		return s.finish(ctx, in, outcomes, why)
	}
	slices.SortStableFunc(changed, func(a, b contractfleet.Cluster) int { return b.Wave - a.Wave })
	if err := writeList(ctx, s.Store, in.Fleet, rollbackKey(in.Fleet), changed); err != nil {
		return contractfleet.Run{}, err
	}
	digest, err := digestOf(changed)
	if err != nil {
		return contractfleet.Run{}, err
	}
	next := after(in, in.Run.Failed, nil)
	next.Gate, next.Rollback = in.Run.Gate, contractfleet.RollingBack{Begun: true, Why: why, Clusters: len(changed), Digest: digest}
	next.Verdict = contractfleet.VerdictRollBack
	return s.rollBackNext(ctx, in, next, changed)
}

// rollBack goes on with a rollback after a round of it. That a cluster fails stops nothing.
// It stops if the lock is taken.
func (s Summarizer) rollBack(ctx context.Context, in contractfleet.Summarize, taken string) (contractfleet.Run, error) {
	if taken != "" {
		return s.finish(ctx, in, nil, taken)
	}
	outcomes, err := s.round(ctx, in)
	if err != nil {
		return contractfleet.Run{}, err
	}
	next := after(in, in.Run.Failed, nil)
	next.Gate, next.Rollback, next.Verdict = in.Run.Gate, in.Run.Rollback, contractfleet.VerdictGoOn
	of := in
	of.Fleet = rolling(in.Fleet)
	if _, again := settle(of, outcomes); len(again) > 0 && len(again) <= inTime(s.Now().Sub(in.Fleet.StartedAt), concurrencyOf(in, again[0])) {
		next.Attempt, next.Verdict = in.Run.Attempt+1, contractfleet.VerdictTryAgain
		return layWith(ctx, s.Store, in, next, again)
	}
	if in.Run.Rollback.Laid >= in.Run.Rollback.Clusters {
		return s.finish(ctx, in, nil, in.Run.Rollback.Why)
	}
	all, err := s.written(ctx, in.Fleet, rollbackKey(in.Fleet), in.Run.Rollback.Digest)
	if err != nil {
		return contractfleet.Run{}, err
	}
	return s.rollBackNext(ctx, in, next, all)
}

// rollBackNext lays down the next clusters to roll back: of one wave, and as many as there is time for.
func (s Summarizer) rollBackNext(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, all []contractfleet.Cluster) (contractfleet.Run, error) {
	rest := all[next.Rollback.Laid:]
	size := 1
	for size < len(rest) && rest[size].Wave == rest[0].Wave {
		size++
	}
	size = min(size, inTime(s.Now().Sub(in.Fleet.StartedAt), concurrencyOf(in, rest[0])))
	if size == 0 {
		if !in.Run.Rollback.Begun { // what the state RollBack does, which is not entered
			in.Request, in.Former = in.Former, in.Request
		}
		in.Run.Rollback, in.Run.Gate = next.Rollback, next.Gate
		return s.finish(ctx, in, nil, in.Run.Rollback.Why)
	}
	next.Rollback.Laid += size
	return layWith(ctx, s.Store, in, next, rest[:size])
}

// layWith lays down a round of a rollback, in which as many run at once as did in their wave.
func layWith(ctx context.Context, objects Store, in contractfleet.Summarize, next contractfleet.Run, clusters []contractfleet.Cluster) (contractfleet.Run, error) {
	run, err := lay(ctx, objects, in.Fleet, next, clusters)
	run.Concurrency = concurrencyOf(in, clusters[0])
	return run, err
}

func concurrencyOf(in contractfleet.Summarize, cluster contractfleet.Cluster) int {
	return waveOf(in.Fleet, in.Run.Waves, cluster.Wave).Concurrency
}

// rolledBack adds to the outcomes what became of rolling back the clusters, given why it ended.
func (s Summarizer) rolledBack(ctx context.Context, in contractfleet.Summarize, outcomes []contractfleet.Outcome, why string) error {
	if !in.Run.Rollback.Begun {
		return nil
	}
	clusters, err := s.written(ctx, in.Fleet, rollbackKey(in.Fleet), in.Run.Rollback.Digest)
	if err != nil {
		return err
	}
	laid := clusters[:min(in.Run.Rollback.Laid, len(clusters))]
	found, err := s.read(ctx, laid, func(ctx context.Context, cluster contractfleet.Cluster) (contractfleet.Outcome, error) {
		return s.ofBoth(ctx, in, rolling(in.Fleet), cluster)
	})
	if err != nil {
		return err
	}
	stopped := noTime
	if why != in.Run.Rollback.Why {
		stopped = why
	}
	by := make(map[contract.Target]*contractfleet.RolledBack, len(clusters))
	for _, cluster := range clusters {
		by[cluster.Target] = &contractfleet.RolledBack{Status: contractfleet.StatusNotStarted, Error: contractfleet.NotStartedError, Cause: "It was not rolled back, because " + stopped + "."}
	}
	for _, o := range found {
		by[o.Target] = &contractfleet.RolledBack{Status: o.Status, Error: o.Error, Cause: o.Cause}
	}
	for i := range outcomes {
		outcomes[i].Rollback = by[outcomes[i].Target]
	}
	return nil
}

// addRollback adds up the rollback; nil if there was none.
func addRollback(in contractfleet.Summarize, outcomes []contractfleet.Outcome) *contractfleet.RollbackSummary {
	if !in.Run.Rollback.Begun {
		return nil
	}
	summary := &contractfleet.RollbackSummary{Changed: []string{}}
	for _, o := range outcomes {
		if o.Rollback == nil {
			continue
		}
		summary.Clusters++
		switch {
		case o.Rollback.Status == contractfleet.StatusSucceeded:
			summary.RolledBack++
		case len(summary.Changed) < maxNames:
			summary.Changed = append(summary.Changed, o.ClusterName)
		}
	}
	return summary
}

// stays says what a rollback leaves in place; it is empty if that is nothing.
func stays(request json.RawMessage, outcomes []contractfleet.Outcome) string {
	if !slices.ContainsFunc(outcomes, mayHaveCreated) {
		return ""
	}
	asked := applymanifests.Request{}
	fields := input.Read(request, example)
	fields.String("set", &asked.Set)
	if raw := fields.Raw("prune"); len(raw) > 0 && raw[0] == '{' {
		asked.Prune.Enabled = true
		prune, _ := fields.Object("prune", "")
		prune.Bool("enabled", &asked.Prune.Enabled)
	} else {
		fields.Bool("prune", &asked.Prune.Enabled)
	}
	if asked.Set != "" && asked.Prune.Enabled {
		return ""
	}
	return ", but for objects that only the new version has: they stay, because the request has no set and prune"
}

// mayHaveCreated reports whether a cluster that is rolled back may have got objects that were not
// there before. One attempt that succeeded tells; who failed, or tried again, does not.
func mayHaveCreated(o contractfleet.Outcome) bool {
	if o.Rollback == nil {
		return false
	}
	created, told := o.Totals["created"]
	return o.Status != contractfleet.StatusSucceeded || o.Attempt > 1 || !told || created > 0
}

// afterRollback says what is changed once a rollout was rolled back.
func afterRollback(in contractfleet.Summarize, summary contractfleet.Summary, outcomes []contractfleet.Outcome) string {
	rolled := summary.Rollback
	left := rolled.Clusters - rolled.RolledBack
	if left == 0 {
		return fmt.Sprintf("Nothing is changed any more%s: %s rolled back.", stays(in.Request, outcomes), were(rolled.Clusters))
	}
	var names []string
	for _, o := range outcomes {
		if o.Rollback != nil && o.Rollback.Status != contractfleet.StatusSucceeded && len(names) < maxNames {
			names = append(names, fmt.Sprintf("%s (%s)", o.ClusterName, o.Rollback.Error))
		}
	}
	if more := left - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	where := ""
	if summary.Report != nil {
		where = fmt.Sprintf(" s3://%s/%s lists them.", summary.Report.Bucket, summary.Report.Changed)
	}
	return fmt.Sprintf("These clusters are changed, or may be: %s.%s %d of %d were rolled back.", strings.Join(names, ", "), where, rolled.RolledBack, rolled.Clusters)
}

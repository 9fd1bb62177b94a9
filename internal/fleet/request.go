package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
)

const (
	// maxPlaces bounds the Regions, times the roles, whose clusters are listed.
	maxPlaces = 1000
	// maxRequest bounds what each cluster is asked: it travels with the outcomes.
	maxRequest = 32 << 10
	// maxTarget bounds a cluster that travels in state: with it, its outcome has room
	// for what went wrong.
	maxTarget = 260
	// maxSourceKey is the longest key in S3.
	maxSourceKey = 1024

	example        = `{"workflow": "pod-inventory", "clusters": ["demo"]}`
	clusterExample = `a name, an ARN, or an object such as {"clusterName": "demo", "region": "eu-west-1", "roleArn": "arn:aws:iam::111122223333:role/name"}`
)

// fleetName is what an input may call a fleet: it begins names and keys.
var fleetName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`)

// request is the execution input, read and checked.
type request struct {
	name     string
	workflow string
	asked    json.RawMessage // of each cluster; nil for nothing
	changes  bool            // each cluster
	// Of a request to apply-manifests: whether it applies, or plans to; what; and whether it
	// waits for an approval.
	applies, approves bool
	effect            string
	namespace, set    string
	samePlan          bool
	manifests         applymanifests.Source
	// former is what rolls back a cluster, from formerSource; nil if nothing is rolled back.
	former       json.RawMessage
	formerSource applymanifests.Source
	onFailure    contractfleet.OnFailure
	places       []place
	tags         map[string]string
	source       contract.Destination // its prefix is the key
	clusters     []contract.Target
	tolerated    tolerated
	// concurrency is how many clusters run at once.
	concurrency int
	output      contract.Destination
	// waves are in their order, and unmatched says what becomes of clusters in none.
	waves     []wave
	unmatched string
	// approve is what is waited for before the first cluster begins.
	approve contractfleet.Approve
	// jobs are what the gates of the waves ask of run-job.
	jobs []json.RawMessage
}

// place is where clusters are listed: a Region, as a role.
type place struct{ region, roleARN string }

// tolerated is a number of clusters, or a share of them. The other is negative.
type tolerated struct{ count, percentage int }

// of is how many of that many clusters may fail.
func (t tolerated) of(clusters int) int {
	if t.percentage >= 0 {
		return clusters * t.percentage / 100
	}
	return max(0, min(t.count, contractfleet.MaxClusters))
}

// read reads the execution input. Every problem is in f.
func (d Finder) read(f *input.Fields, in contractfleet.FindClusters) request {
	r := request{name: contract.ExecutionARN(in.Execution).Name(), concurrency: contractfleet.DefaultConcurrency, tolerated: tolerated{-1, -1}}
	if f.String("name", &r.name); f.Raw("name") != nil && !fleetName.MatchString(r.name) {
		f.Problem("name", "%s is not a valid name: expected 1 to 80 letters, digits, - and _", input.Quote(r.name))
	}
	readConcurrency(f, &r.concurrency)
	r.tolerated = readTolerated(f, r.tolerated)
	r.output = input.Destination(f, "output")
	d.readWorkflow(f, &r)
	r.approve = d.readApproval(f, "approve")
	if r.approve.TimeoutSeconds > 0 && !r.changes && !f.HasProblems() {
		f.Problem("approve", "nothing is changed by what is asked, so there is nothing to approve")
	}
	d.readWhich(f, &r, homeOf(in.Execution))
	return r
}

func readConcurrency(f *input.Fields, into *int) {
	f.Int("concurrency", into)
	if *into < 1 || *into > contractfleet.MaxConcurrency {
		f.Problem("concurrency", "%d: expected 1 to %d", *into, contractfleet.MaxConcurrency)
	}
}

// readTolerated reads how many clusters may fail, which is otherwise if the member is missing.
func readTolerated(f *input.Fields, otherwise tolerated) tolerated {
	nested, given := f.Object("toleratedFailures", `{"percentage": 5}`)
	if !given {
		return otherwise
	}
	read := tolerated{-1, -1}
	nested.Int("percentage", &read.percentage)
	nested.Int("count", &read.count)
	percentage, count := nested.Raw("percentage") != nil, nested.Raw("count") != nil
	switch {
	case percentage && count:
		nested.Problem("count", "expected percentage or count, not both")
	case percentage && (read.percentage < 0 || read.percentage > 100):
		nested.Problem("percentage", "%d: expected 0 to 100", read.percentage)
	case count && read.count < 0:
		nested.Problem("count", "%d: expected 0 or more", read.count)
	}
	return read
}

// readWorkflow reads which workflow, and what each cluster is asked, which the
// workflow's own reader checks.
func (d Finder) readWorkflow(f *input.Fields, r *request) {
	f.String("workflow", &r.workflow)
	workflow, known := d.Workflows[r.workflow]
	switch names := strings.Join(slices.Sorted(maps.Keys(d.Workflows)), " or "); {
	case known && workflow.StateMachineARN == "":
		f.Problem("workflow", "the fleets of this stack may not start %s: deploy the stack with %s", r.workflow, workflow.FleetParameters)
		f.Raw("request") // which nobody reads
	case known:
		nested, _ := f.Object("request", `{"namespaces": ["default"]}`)
		// Only to check it: an execution reads it again, and a completed one may not be valid.
		read, _ := workflow.Read(nested)
		if check := d.Checks[r.workflow]; check != nil {
			check(nested, read)
		}
		r.changes = workflow.Changes != nil && workflow.Changes(read)
		if asked, ok := read.(applymanifests.Request); ok {
			r.applies, r.approves, r.manifests = asked.Mode.HasManifests(), asked.Approve.TimeoutSeconds > 0, asked.Source
			r.effect, r.namespace, r.set = asked.Effect, asked.Namespace, asked.Set
		}
		r.asked = f.Raw("request")
	case r.workflow == "":
		f.Problem("workflow", "missing: expected %s", names)
	default:
		f.Problem("workflow", "%s: expected %s", input.Quote(r.workflow), names)
	}
	if size := len(f.Raw("request")); size > maxRequest {
		f.Problem("request", "%d bytes: expected at most %d", size, maxRequest)
	}
}

// readWhich reads which clusters: one of clusters, source, and regions with roleArns and tags.
func (d Finder) readWhich(f *input.Fields, r *request, own home) {
	given := func(key string) bool { return f.Raw(key) != nil }
	clusters := f.Elements("clusters", "an array of clusters: each "+clusterExample)
	regions, roles := d.readPlaces(f, own)
	r.tags = readTags(f)
	r.readSource(f)
	d.readWaves(f, r, own)
	r.readOnFailure(f)
	if f.Bool("requireSamePlan", &r.samePlan); r.samePlan && r.effect == "" && !f.HasProblem("request") {
		f.Problem("requireSamePlan", "the request has no effect: expected the digest of the plan that may be applied, as a fleet of plans tells it, such as %s", `"request": {"mode": "apply", "effect": "q83vEjRWeJq8"}`)
	}

	var ways []string
	for _, way := range []struct {
		name string
		keys []string
	}{{"clusters", []string{"clusters"}}, {"source", []string{"source"}}, {"regions and roleArns", []string{"regions", "roleArns", "tags"}}} {
		if slices.ContainsFunc(way.keys, given) {
			ways = append(ways, way.name)
		}
	}
	switch {
	case len(ways) == 0:
		f.Problem("clusters", "missing: expected clusters, source, or regions (and, if you like, roleArns and tags)")
	case len(ways) > 1:
		f.Problem("clusters", "give only one of these: %s", strings.Join(ways, ", or "))
	case ways[0] == "clusters":
		r.clusters = d.readClusters(f, clusters, own)
		if len(r.clusters) == 0 {
			f.Problem("clusters", "empty: expected at least one cluster")
		}
		if r.needsTags() || f.HasProblems() {
			r.checkSize(f, r.clusters, nil)
			break
		}
		members := make([]member, len(r.clusters))
		for i, target := range r.clusters {
			members[i].Target = target
		}
		targets, waves := r.assign(f, members, own)
		r.checkSize(f, targets, waves)
	case ways[0] == "source":
	default:
		for _, region := range regions {
			for _, role := range roles {
				r.places = append(r.places, place{region, role})
			}
		}
		if len(r.places) > maxPlaces {
			f.Problem("regions", "%d Regions times %d roles: expected at most %d", len(regions), len(roles), maxPlaces)
		}
	}
}

// checkSize holds the number of clusters to what the state, or S3, can take.
func (r *request) checkSize(f *input.Fields, clusters []contract.Target, waves []contractfleet.Wave) {
	if len(clusters) > contractfleet.MaxClusters {
		f.Problem("clusters", "%d clusters: expected at most %d", len(clusters), contractfleet.MaxClusters)
	}
	if len(r.waves) > 0 {
		r.checkRounds(f, clusters, waves)
	} else if tolerated := r.tolerated.of(len(clusters)); r.changes && !f.HasProblem("concurrency") && rounds(len(clusters), tolerated, r.concurrency) > maxRounds {
		f.Problem("concurrency", "%d: %d clusters, begun few at a time so that failures stop the fleet, are more rounds than an execution can have: expected at least %d", r.concurrency, len(clusters), enough(len(clusters), tolerated))
	}
	if r.inS3(clusters, len(r.waves)) && r.output.Bucket == "" && !f.HasProblem("output") {
		why := "their roles have longer ARNs than an execution can carry"
		if len(clusters) > maxInState(len(r.waves)) {
			why = fmt.Sprintf("%d clusters are more than an execution can carry", len(clusters))
		}
		f.Problem("output", "missing: %s, so their outcomes need an S3 bucket: expected an object such as {\"bucket\": \"name\"}", why)
	}
}

// inS3 reports whether the clusters, and their outcomes, are too many or too long for the state,
// or may have two outcomes each.
func (r *request) inS3(clusters []contract.Target, waves int) bool {
	return r.former != nil || len(clusters) > maxInState(waves) || slices.ContainsFunc(clusters, func(t contract.Target) bool { return encoded(t) > maxTarget })
}

// maxInState is how many clusters, and then outcomes, pass between states, beside that many waves.
func maxInState(waves int) int {
	if waves > 0 {
		return contractfleet.MaxInStateOfWaves
	}
	return contractfleet.MaxInState
}

// readPlaces reads Regions and roles; by default the function's own.
func (d Finder) readPlaces(f *input.Fields, own home) (regions, roles []string) {
	regions, roles = []string{d.Defaults.Region}, []string{""}
	f.Strings("regions", &regions)
	f.Strings("roleArns", &roles)
	if len(regions) == 0 {
		f.Problem("regions", "empty: expected at least one AWS Region")
	}
	if len(roles) == 0 {
		f.Problem("roleArns", "empty: expected at least one role")
	}
	for i, region := range regions {
		input.CheckRegion(f, fmt.Sprintf("regions[%d]", i), region)
	}
	first := map[string]int{} // by account
	for i, role := range roles {
		field := fmt.Sprintf("roleArns[%d]", i)
		input.CheckRole(f, field, role)
		checkPartition(f, field, role, own)
		account := homeOf(role).account
		if earlier, again := first[account]; again && account != "" {
			f.Problem(field, "is in the account of roleArns[%d]: expected one role for each account, because each lists the same clusters", earlier)
			continue
		}
		first[account] = i
	}
	return regions, roles
}

func readTags(f *input.Fields) map[string]string {
	raw := f.Raw("tags")
	if raw == nil {
		return nil
	}
	var read map[string]*string // encoding/json reads null as the empty string
	ok := json.Unmarshal(raw, &read) == nil
	tags := make(map[string]string, len(read))
	for key, value := range read {
		if value == nil {
			ok = false
			continue
		}
		tags[key] = *value
	}
	if !ok {
		f.Problem("tags", `expected an object of strings, such as {"environment": "production"}`)
	}
	return tags
}

func (r *request) readSource(f *input.Fields) {
	nested, given := f.Object("source", `{"bucket": "name", "key": "clusters.csv"}`)
	if !given {
		return
	}
	nested.String("bucket", &r.source.Bucket)
	nested.String("key", &r.source.Prefix)
	input.CheckBucket(nested, "bucket", r.source.Bucket)
	if r.source.Prefix == "" || len(r.source.Prefix) > maxSourceKey {
		nested.Problem("key", "%s is not a valid key: expected 1 to %d bytes, such as clusters.csv or clusters.jsonl", input.Quote(r.source.Prefix), maxSourceKey)
	}
}

// readClusters reads a list, each once.
func (d Finder) readClusters(f *input.Fields, elements []json.RawMessage, own home) []contract.Target {
	targets := make([]contract.Target, 0, len(elements))
	first := map[identity]int{}
	for i, element := range elements {
		field := fmt.Sprintf("clusters[%d]", i)
		target, isText := d.readText(f, field, element, own)
		if !isText {
			target = input.Target(f.Element(field, element, clusterExample), contract.Target{Region: d.Defaults.Region})
			checkPartition(f, field, target.RoleARN, own)
		}
		if earlier, again := first[own.identity(target)]; again && target.ClusterName != "" {
			f.Problem(field, "repeats clusters[%d]", earlier)
			continue
		}
		first[own.identity(target)] = i
		targets = append(targets, target)
	}
	return targets
}

// readText reads a name or an ARN, and reports whether the element is a string.
func (d Finder) readText(f *input.Fields, field string, element json.RawMessage, own home) (target contract.Target, isText bool) {
	var text string
	if err := json.Unmarshal(element, &text); err != nil || string(element) == "null" {
		return contract.Target{}, false
	}
	if strings.HasPrefix(text, arnPrefix) {
		return d.readARN(f, field, text, own), true
	}
	input.CheckClusterName(f, field, text)
	return contract.Target{ClusterName: text, Region: d.Defaults.Region}, true
}

const arnPrefix = "arn:"

// readARN reads the ARN of a cluster in that account.
func (d Finder) readARN(f *input.Fields, field, text string, own home) contract.Target {
	parsed := contract.ARN(text)
	name, found := strings.CutPrefix(parsed.Resource(), "cluster/")
	if parsed.Service() != "eks" || !found {
		f.Problem(field, "%s is not a valid ARN of an EKS cluster: expected one such as arn:aws:eks:eu-west-1:111122223333:cluster/demo", f.Quote(text))
		return contract.Target{}
	}
	switch {
	case parsed.Partition() != own.partition:
		f.Problem(field, "%s is in another partition than this stack, which is in %s", f.Quote(text), own.partition)
	case parsed.Account() != own.account:
		f.Problem(field, "%s is in account %s and this stack in %s: expected an object with the roleArn to assume there", f.Quote(text), f.Quote(parsed.Account()), own.account)
	}
	input.CheckRegion(f, field, parsed.Region())
	input.CheckClusterName(f, field, name)
	return contract.Target{ClusterName: name, Region: parsed.Region()}
}

// home is where the stack is.
type home struct{ partition, account string }

func homeOf(arn string) home {
	return home{contract.ARN(arn).Partition(), contract.ARN(arn).Account()}
}

// identity is what a cluster is known by, as whichever role it is called.
type identity struct{ account, region, name string }

// identity returns a cluster's: a role sees the clusters of its own account.
func (h home) identity(target contract.Target) identity {
	account := h.account
	if target.RoleARN != "" {
		account = homeOf(target.RoleARN).account
	}
	return identity{account, target.Region, target.ClusterName}
}

// checkPartition adds a problem if a role is in another partition, whose STS does not
// take the credentials of this one.
func checkPartition(f *input.Fields, field, role string, own home) {
	if partition := homeOf(role).partition; partition != "" && partition != own.partition {
		f.Problem(field, "%s is in another partition than this stack, which is in %s: expected a role of that partition", f.Quote(role), own.partition)
	}
}

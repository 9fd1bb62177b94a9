package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

// maxConcurrentCalls is how many calls of EKS are made at once.
const maxConcurrentCalls = 16

// EKS is what is called of the EKS API.
type EKS interface {
	ListClusters(context.Context, *eks.ListClustersInput, ...func(*eks.Options)) (*eks.ListClustersOutput, error)
	DescribeCluster(context.Context, *eks.DescribeClusterInput, ...func(*eks.Options)) (*eks.DescribeClusterOutput, error)
}

// Workflow is what may be run on a fleet.
type Workflow struct {
	workflow.Workflow
	Read workflow.Read
	// StateMachineARN is what runs it; it may be an alias. It is empty if the
	// fleets of the stack may not start it.
	StateMachineARN string
}

// Workflows are those that work on one cluster, by name, as the environment of
// find-clusters says.
func Workflows(all []workflow.Workflow, getenv func(string) string) map[string]Workflow {
	readers := workflow.Readers(all, getenv)
	runnable := map[string]Workflow{}
	for _, w := range all {
		if w.OnOneCluster() {
			runnable[w.Name] = Workflow{Workflow: w, Read: readers[w.Name], StateMachineARN: getenv("KUBESTEP_" + w.Variable())}
		}
	}
	return runnable
}

// Finder finds the clusters of a fleet.
type Finder struct {
	// EKS returns the API of a Region, called as a role for an execution; an empty
	// ARN is the function's own role.
	EKS   func(region, roleARN, execution string) EKS
	Store Store
	// Executions tells whether a rollout has ended that has the lock of a set. Locks is where the
	// locks are; its bucket is empty if nowhere.
	Executions Executions
	Locks      contract.Destination
	Now        func() time.Time
	// Defaults complete a cluster that names no Region.
	Defaults contract.Target
	// Workflows are those that may be run, by name.
	Workflows map[string]Workflow
	// Approves reports whether the stack has the function approve.
	Approves bool
	// Checks find problems of a request that its reader leaves to a later state of the
	// workflow: here it is one request for many executions.
	Checks map[string]func(f *input.Fields, request any)
}

// API makes clients for Finder.EKS out of a configuration and the credentials of roles.
func API(cfg aws.Config, credentials func(roleARN, execution string) aws.CredentialsProvider) func(region, roleARN, execution string) EKS {
	return func(region, roleARN, execution string) EKS {
		return eks.NewFromConfig(cfg, func(o *eks.Options) {
			o.Region = region
			o.Credentials = credentials(roleARN, execution)
			o.APIOptions = append(o.APIOptions, awsapi.UserAgent(execution))
		})
	}
}

// Find reads the execution input and finds its clusters, each with the name of its
// execution. The list is in S3 if it is too large for the state.
//
// Errors: InvalidInput, SetInUse, AccessDenied, Throttled, AWSUnreachable, Unexpected.
func (d Finder) Find(ctx context.Context, in contractfleet.FindClusters) (contractfleet.FoundClusters, error) {
	fields := input.Read(in.Input, example)
	r := d.read(fields, in)
	if err := fields.Err(); err != nil {
		return contractfleet.FoundClusters{}, err
	}
	if in.Run.Ending.Begun {
		return d.findAppeared(ctx, r, in)
	}
	targets, waves, err := d.targets(ctx, r, in.Execution)
	if err != nil {
		return contractfleet.FoundClusters{}, err
	}
	version := ""
	if len(waves) > 0 {
		if version, err = d.newest(ctx, r, in.Execution); err != nil {
			return contractfleet.FoundClusters{}, err
		}
	}
	if err := r.pin(version); err != nil {
		return contractfleet.FoundClusters{}, err
	}
	if err := d.checkReadable(ctx, r, in.Execution); err != nil {
		return contractfleet.FoundClusters{}, err
	}
	asked, former, jobs, err := r.asks(in.Execution)
	if err != nil {
		return contractfleet.FoundClusters{}, err
	}
	digest, err := Digest(r.workflow, r.asked)
	if err != nil {
		return contractfleet.FoundClusters{}, err
	}
	frozen, err := frozenDigest(targets)
	if err != nil {
		return contractfleet.FoundClusters{}, err
	}
	machine := d.Workflows[r.workflow].StateMachineARN
	fleet := contractfleet.Fleet{
		Name: r.name, Execution: in.Execution, StartedAt: in.StartedAt, Workflow: r.workflow, StateMachineARN: machine, Executions: contract.MachineARN(machine).Executions(),
		Digest: digest, Frozen: frozen, Own: hash("%q", in.Execution), Changes: r.changes,
		Clusters: len(targets), Concurrency: r.concurrency, Tolerated: r.tolerated.of(len(targets)), Waves: len(waves), Lists: len(r.places) > 0 && len(waves) > 0 && r.changes && r.output.Bucket != "", InS3: r.inS3(targets, len(waves)), Output: r.output,
		OnFailure: r.onFailure, Approve: r.approve, SamePlan: r.samePlan, ManifestsVersion: version,
	}
	if r.former != nil {
		// No execution that applies the former version for another reason has its name.
		if fleet.FormerDigest, err = Digest("rollback of "+r.workflow+" "+digest, r.former); err != nil {
			return contractfleet.FoundClusters{}, err
		}
		// Nor is what another fleet of this name applies this one's: that one may roll it back at any time.
		fleet.Digest += " " + fleet.Own
	}
	if len(r.jobs) > 0 {
		runs := d.Workflows[runjob.Name].StateMachineARN
		fleet.Jobs = contractfleet.Task{Workflow: runjob.Name, StateMachineARN: runs, Executions: contract.MachineARN(runs).Executions()}
	}
	if len(waves) > 0 {
		fleet.Tolerated = 0
		for _, w := range waves {
			fleet.Tolerated += w.Tolerated
		}
	}
	fleet.Lock = d.lockOf(r, waves, in.Execution)
	if err := d.hold(ctx, fleet.Lock, in.Execution); err != nil {
		return contractfleet.FoundClusters{}, err
	}
	found := contractfleet.FoundClusters{Fleet: fleet, Request: asked, Former: former, Jobs: jobs}
	found.Run, err = begin(ctx, d.Store, fleet, waves, targets)
	if err == nil && r.approve.TimeoutSeconds > 0 {
		found.Run, err = beginLater(ctx, d.Store, fleet, found.Run, targets, asked, r.approve)
	}
	return found, err
}

// startedBy is the member that Step Functions reads as the parent of an execution.
const startedBy = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"

// asks is what each cluster is asked, what rolls it back, and what the gates of waves ask: an empty
// object for nothing.
func (r *request) asks(execution string) (asked, former json.RawMessage, jobs []json.RawMessage, err error) {
	former, jobs = json.RawMessage("{}"), []json.RawMessage{json.RawMessage("{}")}
	if asked, err = ask(r.asked, execution); err != nil {
		return nil, nil, nil, err
	}
	if r.former != nil {
		if former, err = ask(r.former, execution); err != nil {
			return nil, nil, nil, err
		}
	}
	for _, job := range r.jobs {
		one, err := ask(job, execution)
		if err != nil {
			return nil, nil, nil, err
		}
		jobs = append(jobs, one)
	}
	return asked, former, jobs, nil
}

// ask is the input of a cluster's execution, but for the target. The console links
// an execution to the one that its input names so.
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html
func ask(request json.RawMessage, execution string) (json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if request != nil {
		if err := json.Unmarshal(request, &members); err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
	}
	var err error
	if members[startedBy], err = json.Marshal(execution); err != nil {
		return nil, fmt.Errorf("encode the execution: %w", err)
	}
	return contract.Encode(members)
}

// targets are the clusters that the input names, or that there are, in the order of the waves.
func (d Finder) targets(ctx context.Context, r request, execution string) ([]contract.Target, []contractfleet.Wave, error) {
	fields := input.Read(nil, example)
	members, err := d.members(ctx, fields, r, execution)
	if err != nil {
		return nil, nil, err
	}
	if len(members) == 0 && !fields.HasProblems() {
		fields.Problem("clusters", "none was found: %s", describeSearch(r))
	}
	if err := fields.Err(); err != nil {
		return nil, nil, err
	}
	targets, waves := r.assign(fields, members, homeOf(execution))
	r.checkSize(fields, targets, waves)
	return targets, waves, fields.Err()
}

// members are the clusters in the order in which they were given, or of their names.
func (d Finder) members(ctx context.Context, f *input.Fields, r request, execution string) ([]member, error) {
	var members []member
	var err error
	switch {
	case len(r.clusters) > 0:
		members = make([]member, len(r.clusters))
		for i, target := range r.clusters {
			members[i].Target = target
		}
	case r.source.Bucket != "":
		members, err = d.fromSource(ctx, f, r.source, execution)
	default:
		members, err = d.list(ctx, r, execution)
	}
	if err != nil || len(r.tags) == 0 && !r.needsTags() {
		return members, err
	}
	if err := d.readTagsOf(ctx, members, execution); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(members, func(m member) bool { return !hasAll(m.tags, r.tags) }), nil
}

// describeSearch says where.
func describeSearch(r request) string {
	if r.source.Bucket != "" {
		return fmt.Sprintf("s3://%s/%s names none", r.source.Bucket, r.source.Prefix)
	}
	regions := []string{}
	for _, p := range r.places {
		if !slices.Contains(regions, p.region) {
			regions = append(regions, p.region)
		}
	}
	text := "EKS has none in " + strings.Join(regions, ", ")
	if len(r.tags) > 0 {
		text += " with those tags"
	}
	return text
}

// list asks EKS, Region by Region and role by role.
func (d Finder) list(ctx context.Context, r request, execution string) ([]member, error) {
	found := make([][]member, len(r.places))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentCalls)
	for i, p := range r.places {
		group.Go(func() (err error) {
			found[i], err = listPlace(groupCtx, d.EKS(p.region, p.roleARN, execution), p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	members := slices.Concat(found...)
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.ClusterName, b.ClusterName), cmp.Compare(a.Region, b.Region), cmp.Compare(a.RoleARN, b.RoleARN))
	})
	return slices.CompactFunc(members, func(a, b member) bool { return a.Target == b.Target }), nil
}

func listPlace(ctx context.Context, api EKS, p place) ([]member, error) {
	var members []member
	for pages := eks.NewListClustersPaginator(api, &eks.ListClustersInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, awsapi.Explain(err, "eks:ListClusters in "+p.region+awsapi.AsRole(p.roleARN))
		}
		for _, name := range page.Clusters {
			members = append(members, member{Target: contract.Target{ClusterName: name, Region: p.region, RoleARN: p.roleARN}})
		}
	}
	return members, nil
}

// readTagsOf reads the clusters' tags. A cluster that is gone has none.
func (d Finder) readTagsOf(ctx context.Context, members []member, execution string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentCalls)
	for i, m := range members {
		group.Go(func() error {
			out, err := d.EKS(m.Region, m.RoleARN, execution).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &m.ClusterName})
			if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
				return nil // since it was listed
			}
			if err != nil {
				return awsapi.Explain(err, fmt.Sprintf("eks:DescribeCluster of cluster %s in %s%s", m.ClusterName, m.Region, awsapi.AsRole(m.RoleARN)))
			}
			if out.Cluster != nil {
				members[i].tags = out.Cluster.Tags
			}
			return nil
		})
	}
	return group.Wait()
}

func hasAll(tags, wanted map[string]string) bool {
	for key, value := range wanted {
		if had, ok := tags[key]; !ok || had != value {
			return false
		}
	}
	return true
}

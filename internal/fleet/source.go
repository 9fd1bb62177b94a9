package fleet

import (
	"context"
	"fmt"

	"github.com/kubestep/kubestep/internal/clusterlist"
	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/store"
)

// fromSource reads clusters from S3: CSV if the key ends in .csv, and else JSON lines. Names without
// quotes are none, since any text has lines of words: a fleet would tell each of them as the name of a
// cluster that does not exist.
// Every problem is in f, with its line and without its text: whoever may start a fleet
// may not be allowed to read every object that find-clusters may read.
func (d Finder) fromSource(ctx context.Context, f *input.Fields, source contract.Destination, execution string) ([]member, error) {
	content, _, err := store.New(d.Store.S3, execution).Get(ctx, store.Object{Field: "source", Bucket: source.Bucket, Key: source.Prefix}, clusterlist.MaxBytes)
	if err != nil {
		return nil, err
	}
	f.Withhold()
	text, wrong := clusterlist.Text(content)
	if wrong != nil {
		f.Problem(at(wrong.Line), "%s", wrong.Text)
		return nil, nil //nolint:nilerr // f has the problem
	}
	clusters := &list{f: f, own: homeOf(execution), first: map[identity]int{}}
	for cluster, wrong := range (clusterlist.Format{CSV: clusterlist.IsCSV(source.Prefix)}).Clusters(text) {
		switch {
		case wrong != nil:
			f.Problem(at(wrong.Line), "%s", wrong.Text)
		case !clusters.full(cluster):
			target, wave := d.readCluster(f, cluster, clusters.own)
			clusters.add(cluster.Line, target, wave)
		}
	}
	return clusters.all(), nil
}

// readCluster reads a cluster of a list, and the wave that it is in.
func (d Finder) readCluster(f *input.Fields, c clusterlist.Cluster, own home) (contract.Target, string) {
	target, isText := d.readText(f, at(c.Line), c.JSON, own)
	if isText {
		return target, c.Wave
	}
	wave := c.Wave
	nested := f.Line(at(c.Line), c.JSON, clusterExample)
	target = input.Target(nested, contract.Target{Region: d.Defaults.Region})
	nested.String(clusterlist.Wave, &wave)
	checkPartition(f, at(c.Line), target.RoleARN, own)
	return target, wave
}

// list collects the clusters of a source, each once.
type list struct {
	f       *input.Fields
	own     home
	members []member
	first   map[identity]int // line
	rest    int              // those that are only counted
}

// full counts a cluster if it is one too many: it is not read then.
func (l *list) full(c clusterlist.Cluster) bool {
	if c.JSON != nil && len(l.members) < contractfleet.MaxClusters {
		return false
	}
	l.rest++
	return true
}

// all is the clusters, if they are not too many.
func (l *list) all() []member {
	if l.rest > 0 {
		l.f.Problem("clusters", "%d clusters: expected at most %d", len(l.members)+l.rest, contractfleet.MaxClusters)
	}
	return l.members
}

func (l *list) add(line int, target contract.Target, wave string) {
	is := l.own.identity(target)
	if earlier, again := l.first[is]; again && target.ClusterName != "" {
		l.f.Problem(at(line), "repeats the cluster of line %d", earlier)
		return
	}
	l.first[is] = line
	l.members = append(l.members, member{Target: target, wave: wave, line: line})
}

// at is where a problem is: in a line, or in all of the source.
func at(line int) string {
	if line == 0 {
		return "source"
	}
	return fmt.Sprintf("source line %d", line)
}

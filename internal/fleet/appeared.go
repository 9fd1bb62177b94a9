package fleet

import (
	"context"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
)

// maxLooking is how long the clusters may be listed at the end. A fleet that is done does not
// fail because nobody knows what else there is.
const maxLooking = 2 * time.Minute

// findAppeared finds the clusters that were not there when the fleet began: those that it would
// find now, and that its list does not have. What goes wrong is told in their place.
func (d Finder) findAppeared(ctx context.Context, r request, in contractfleet.FindClusters) (contractfleet.FoundClusters, error) {
	if err := r.pin(in.Fleet.ManifestsVersion); err != nil {
		return contractfleet.FoundClusters{}, err
	}
	asked, former, jobs, err := r.asks(in.Execution)
	if err != nil {
		return contractfleet.FoundClusters{}, err
	}
	if in.Run.Rollback.Begun {
		asked, former = former, asked
	}
	found := contractfleet.FoundClusters{Fleet: in.Fleet, Request: asked, Former: former, Jobs: jobs, Run: in.Run}
	ctx, cancel := context.WithTimeout(ctx, maxLooking)
	defer cancel()
	found.Run.Ending.Appeared, err = d.appeared(ctx, r, in)
	if err != nil {
		found.Run.Ending.Appeared = contractfleet.Appeared{Names: []string{}, Failure: abbreviate(err.Error(), maxBesideTarget)}
	}
	return found, nil
}

func (d Finder) appeared(ctx context.Context, r request, in contractfleet.FindClusters) (contractfleet.Appeared, error) {
	members, err := d.members(ctx, input.Read(nil, example), r, in.Execution)
	if err != nil {
		return contractfleet.Appeared{}, err
	}
	clusters, err := frozen(ctx, d.Store, in.Fleet, in.Run.Waves)
	if err != nil {
		return contractfleet.Appeared{}, err
	}
	known := make(map[contract.Target]bool, len(clusters))
	for _, c := range clusters {
		known[c.Target] = true
	}
	appeared := contractfleet.Appeared{Names: []string{}}
	for _, m := range members {
		if known[m.Target] {
			continue
		}
		if appeared.Clusters++; len(appeared.Names) < maxNames {
			appeared.Names = append(appeared.Names, m.ClusterName)
		}
	}
	return appeared, nil
}

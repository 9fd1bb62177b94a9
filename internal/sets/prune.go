package sets

import (
	"context"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/objects"
)

// maxTries is how often a member is deleted that changes meanwhile.
const maxTries = 3

// Left is what is left of the members that were not in the manifests.
type Left struct {
	// Members are still there: each says why.
	Members []Leaving
	// More is set if the time ended before all were deleted, or if those of a stage are
	// waited for.
	More bool
}

// Prune deletes members stage by stage, the last one first, and returns those that are
// left. Each is deleted as it was listed: if it has changed, it is looked at again. If wait
// is set, a stage begins once the objects of the one before it are gone.
//
// Errors: Forbidden, WebhookFailed, InvalidInput, Unauthorized, Throttled,
// CertificateNotTrusted, ClusterUnreachable.
func (c *Change) Prune(ctx context.Context, round *batch.Round, leaving []Leaving, rules Rules, wait bool) (Left, error) {
	p := &pruner{Change: c, rules: rules}
	for len(leaving) > 0 {
		stage := leaving[0].Stage()
		end := slices.IndexFunc(leaving, func(l Leaving) bool { return l.Stage() != stage })
		if end < 0 {
			end = len(leaving)
		}
		var todo []Leaving
		for _, l := range leaving[:end] {
			if l.Spared == nil {
				todo = append(todo, l)
			} else {
				p.add(l.Member, l.Spared)
			}
		}
		done, err := batch.Each(ctx, round, todo, p.delete)
		if err != nil {
			return p.left, err
		}
		if done < len(todo) || wait && p.waits && end < len(leaving) {
			p.left.More = true
			p.left.Members = slices.Concat(p.left.Members, todo[done:], leaving[end:])
			return p.left, nil
		}
		leaving = leaving[end:]
	}
	return p.left, nil
}

// pruner deletes members.
type pruner struct {
	*Change
	rules Rules

	mu    sync.Mutex // guards what follows
	left  Left
	waits bool // for a member that is being deleted
}

func (p *pruner) add(m Member, spared Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left.Members = append(p.left.Members, Leaving{m, spared})
	if _, deleted := spared.(IsBeingDeleted); deleted {
		p.waits = true
	}
}

// delete deletes a member, unless it is another one than was listed.
func (p *pruner) delete(ctx context.Context, l Leaving) error {
	ctx, end := p.client.Conn.Turn(ctx)
	defer end()
	m := l.Member
	for try := 1; ; try++ {
		gone, err := p.client.Delete(ctx, m.Target, m.UID(), m.ResourceVersion)
		switch {
		case apierrors.IsNotFound(err), err == nil && gone:
			return nil
		case err != nil && !apierrors.IsConflict(err):
			return p.explain(err, m)
		}
		now, err := readMetadata(ctx, p.client, m.Target)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return p.explain(err, m)
		}
		isMember := now.Labels[LabelPartOf] == p.rules.Set.ID()
		is := p.rules.Set.member(m.Target, now)
		switch spared := p.rules.spare(is); {
		case !isMember:
			return nil // it has left the set, and is nothing of ours
		case is.UID() != m.UID():
			p.add(is, ChangedSincePlan{"another object has its name since the plan"})
			return nil
		case spared != nil:
			p.add(is, spared)
			return nil
		case try == maxTries:
			p.add(is, ChangedSincePlan{"it changed while it was to be deleted, several times"})
			return nil
		}
		m = is
	}
}

// explain names an error about a member, but leaves a 429 to the round.
func (p *pruner) explain(err error, m Member) error {
	if apierrors.IsTooManyRequests(err) {
		return err
	}
	return p.client.Explain(err, "delete", m.Target)
}

// ScopeOfMembers is the scope of members, and of objects.
func ScopeOfMembers(left []Leaving, kept []objects.Target) Scope {
	targets := slices.Clone(kept)
	for _, l := range left {
		targets = append(targets, l.Target)
	}
	return ScopeOf(targets)
}

package cluster

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/kubestep/kubestep/internal/contract"
)

// MaxCached bounds the descriptions that a function keeps; each takes about 3 KB.
const MaxCached = 256

// Key identifies a description: the same name is another cluster in
// another Region, and in the account of another role.
type Key struct{ Region, RoleARN, Name string }

// flight is the key as a string, for singleflight: no field holds a newline, so
// this is as unambiguous as the struct.
func (k Key) flight() string { return k.Region + "\n" + k.RoleARN + "\n" + k.Name }

// Cache keeps descriptions in memory, which in Lambda is the execution
// environment. It holds no errors. It is safe for concurrent use.
type Cache struct {
	ttl  time.Duration
	size int
	now  func() time.Time

	flights singleflight.Group
	mu      sync.Mutex
	entries map[Key]entry
}

type entry struct {
	cluster contract.Cluster
	expires time.Time
}

// NewCache keeps at most size descriptions, each for ttl.
func NewCache(ttl time.Duration, size int, now func() time.Time) *Cache {
	return &Cache{ttl: ttl, size: size, now: now, entries: map[Key]entry{}}
}

// Get returns what the cache holds, and otherwise asks. Callers that want the same
// cluster at the same time share one call, which ends when the first one's
// context does.
func (c *Cache) Get(ctx context.Context, key Key, ask func(context.Context) (contract.Cluster, error)) (contract.Cluster, error) {
	if cluster, ok := c.held(key); ok {
		return cluster, nil
	}
	flight := c.flights.DoChan(key.flight(), func() (any, error) {
		if cluster, ok := c.held(key); ok {
			return cluster, nil
		}
		cluster, err := ask(ctx)
		if err == nil {
			c.keep(key, cluster)
		}
		return cluster, err
	})
	select {
	case <-ctx.Done():
		return contract.Cluster{}, contract.Errorf(contract.AWSUnreachable, "EKS did not answer for cluster %s in %s in time: %w", key.Name, key.Region, ctx.Err())
	case result := <-flight:
		return result.Val.(contract.Cluster), result.Err
	}
}

// Forget drops what the cache holds of a cluster, and what is being asked: an
// answer under way may be the stale one.
func (c *Cache) Forget(key Key) {
	c.flights.Forget(key.flight())
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, key)
}

func (c *Cache) held(key Key) (contract.Cluster, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	return e.cluster, ok && c.now().Before(e.expires)
}

func (c *Cache) keep(key Key, cluster contract.Cluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, held := c.entries[key]; !held && len(c.entries) >= c.size {
		c.evict()
	}
	c.entries[key] = entry{cluster, c.now().Add(c.ttl)}
}

// evict drops the entry that expires first.
func (c *Cache) evict() {
	var oldest Key
	var expires time.Time
	for key, e := range c.entries {
		if expires.IsZero() || e.expires.Before(expires) {
			oldest, expires = key, e.expires
		}
	}
	delete(c.entries, oldest)
}

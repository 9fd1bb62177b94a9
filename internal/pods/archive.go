package pods

import (
	"context"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/store"
)

// archive writes every pod to S3.
type archive struct{ *store.Parts }

// NewArchive returns the Writer of a request that names a place in S3. It continues after the earlier rounds.
func NewArchive(of store.Store, in podinventory.ListPods) Writer {
	var earlier *store.Manifest
	if was := in.Pods.Archive; was != nil {
		earlier = &store.Manifest{Bucket: was.Bucket, Prefix: was.Prefix, Key: was.Manifest, Items: was.Pods}
		for _, part := range was.Parts {
			earlier.Parts = append(earlier.Parts, store.Part{Name: part.Name, Items: part.Pods, Bytes: part.Bytes, SHA256: part.SHA256})
		}
	}
	return archive{of.Parts(in.Output, earlier, func(m store.Manifest) any { return ofPods(m) })}
}

// Finish ends a round; complete reports whether it was the last.
func (a archive) Finish(ctx context.Context, complete bool) (*podinventory.Archive, error) {
	m, err := a.Parts.Finish(ctx, complete)
	if err != nil {
		return nil, err
	}
	return ofPods(m), nil
}

func ofPods(m store.Manifest) *podinventory.Archive {
	at := &podinventory.Archive{Bucket: m.Bucket, Prefix: m.Prefix, Manifest: m.Key, Pods: m.Items, Parts: []podinventory.Part{}}
	for _, part := range m.Parts {
		at.Parts = append(at.Parts, podinventory.Part{Name: part.Name, Pods: part.Items, Bytes: part.Bytes, SHA256: part.SHA256})
	}
	return at
}

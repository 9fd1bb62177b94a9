package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// partBytes is about the size of a part, compressed: some 40,000 pods.
	partBytes = 1 << 20
	manifest  = "manifest.json"
)

// Manifest names the parts of a list, which is complete once its object is there. Read the parts that it names, and no
// others: an attempt that failed may have left parts of its own.
type Manifest struct {
	Bucket string
	// Prefix begins the keys of the parts.
	Prefix string
	// Key is the manifest's key. The manifest is written last: it is empty before.
	Key   string
	Items int
	Parts []Part
}

// Part is an object that holds items of a list.
type Part struct {
	// Name follows the manifest's prefix in the key.
	Name  string
	Items int
	// Bytes is its size as it is stored, and SHA256 the hash of that, in hex.
	Bytes  int
	SHA256 string
}

// Parts writes a list of any items: gzipped NDJSON in parts, while the list arrives, and a manifest once it is complete.
// Several attempts at the same round are harmless: each writes parts of its own, and the manifest names the parts of the one
// that succeeded. Its methods are not safe for concurrent use.
type Parts struct {
	store   Store
	attempt string // makes the names of this writer's parts unique
	encode  func(Manifest) any
	at      Manifest
	pending bytes.Buffer
	items   int // in pending
}

// Parts continues after the parts that earlier rounds wrote, if there were any. What encode returns is the manifest in JSON.
func (s Store) Parts(to contract.Destination, earlier *Manifest, encode func(Manifest) any) *Parts {
	p := &Parts{store: s, attempt: rand.Text(), encode: encode}
	if earlier != nil {
		p.at = *earlier
		p.at.Parts = append([]Part{}, earlier.Parts...)
		return p
	}
	p.at = Manifest{Bucket: to.Bucket, Prefix: s.Folder(to), Parts: []Part{}}
	return p
}

// Add takes a page of that many items, gzipped: gzip lets such pieces follow each other in one file.
func (p *Parts) Add(ctx context.Context, page []byte, items int) error {
	_, _ = p.pending.Write(page) // memory does not fail
	if p.items += items; p.pending.Len() < partBytes {
		return nil
	}
	return p.flush(ctx)
}

// Flush writes what is pending, for whoever reads the list while it arrives.
func (p *Parts) Flush(ctx context.Context) error {
	if p.items == 0 {
		return nil
	}
	return p.flush(ctx)
}

// Manifest names the parts that are written.
func (p *Parts) Manifest() Manifest { return p.at }

// Finish writes what is pending and, if the list is complete, the manifest. What it returns belongs in the state, for the
// next round.
func (p *Parts) Finish(ctx context.Context, complete bool) (Manifest, error) {
	if err := p.Flush(ctx); err != nil {
		return Manifest{}, err
	}
	if !complete {
		return p.at, nil
	}
	p.at.Key = p.at.Prefix + manifest
	text, err := json.MarshalIndent(p.encode(p.at), "", "  ")
	if err != nil {
		return Manifest{}, fmt.Errorf("encode the manifest: %w", err)
	}
	// The manifest is replaced by a later attempt's: each names complete parts.
	return p.at, p.store.Put(ctx, p.object(p.at.Key), "application/json", bytes.NewReader(text))
}

func (p *Parts) flush(ctx context.Context) error {
	hash := sha256.Sum256(p.pending.Bytes())
	part := Part{
		Name:  fmt.Sprintf("part-%05d-%s.ndjson.gz", len(p.at.Parts)+1, p.attempt),
		Items: p.items, Bytes: p.pending.Len(), SHA256: hex.EncodeToString(hash[:]),
	}
	if err := p.store.Create(ctx, p.object(p.at.Prefix+part.Name), "application/gzip", bytes.NewReader(p.pending.Bytes())); err != nil {
		return err
	}
	p.at.Parts = append(p.at.Parts, part)
	p.at.Items += part.Items
	p.items = 0
	p.pending.Reset()
	return nil
}

func (p *Parts) object(key string) Object {
	return Object{Field: "output", Bucket: p.at.Bucket, Key: key}
}

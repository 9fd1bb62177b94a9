// Package archive writes a list of pods to S3: gzipped NDJSON in parts, while the
// list arrives, and a manifest once it is complete. Several attempts at the same
// round are harmless: each writes parts of its own, and the manifest names those of
// the one that succeeded.
package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/store"
)

const (
	// partBytes is about the size of a part, compressed: some 40,000 pods.
	partBytes = 1 << 20
	manifest  = "manifest.json"
)

// Store writes the objects of the execution.
type Store interface {
	// Folder begins the keys of the execution's objects.
	Folder(to contract.Destination) string
	// Put writes an object, or replaces it.
	Put(ctx context.Context, to store.Object, contentType string, body io.ReadSeeker) error
	// Create writes an object whose key nobody else writes.
	Create(ctx context.Context, to store.Object, contentType string, body io.ReadSeeker) error
}

// Writer writes the parts of one round. Its methods are not safe for concurrent use.
type Writer struct {
	store   Store
	attempt string // makes the names of this writer's parts unique
	at      contract.Archive
	pending bytes.Buffer
	pods    int // in pending
}

// NewWriter continues after the parts that earlier rounds wrote.
func NewWriter(of Store, to contract.Destination, earlier *contract.Archive) *Writer {
	w := &Writer{store: of, attempt: rand.Text()}
	if earlier != nil {
		w.at = *earlier
		w.at.Parts = append([]contract.Part{}, earlier.Parts...)
		return w
	}
	w.at = contract.Archive{Bucket: to.Bucket, Prefix: of.Folder(to), Parts: []contract.Part{}}
	return w
}

// Add takes a page of that many pods, gzipped: gzip lets such pieces follow each
// other in one file.
func (w *Writer) Add(ctx context.Context, page []byte, pods int) error {
	_, _ = w.pending.Write(page) // memory does not fail
	if w.pods += pods; w.pending.Len() < partBytes {
		return nil
	}
	return w.flush(ctx)
}

// Finish writes what is pending and, if the list is complete, the manifest. What it
// returns is in the state, and in the end in the output.
func (w *Writer) Finish(ctx context.Context, complete bool) (*contract.Archive, error) {
	if w.pods > 0 {
		if err := w.flush(ctx); err != nil {
			return nil, err
		}
	}
	if !complete {
		return &w.at, nil
	}
	w.at.Manifest = w.at.Prefix + manifest
	text, err := json.MarshalIndent(w.at, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	// The manifest is replaced by a later attempt's: each names complete parts.
	return &w.at, w.store.Put(ctx, w.object(w.at.Manifest), "application/json", bytes.NewReader(text))
}

func (w *Writer) flush(ctx context.Context) error {
	hash := sha256.Sum256(w.pending.Bytes())
	part := contract.Part{
		Name: fmt.Sprintf("part-%05d-%s.ndjson.gz", len(w.at.Parts)+1, w.attempt),
		Pods: w.pods, Bytes: w.pending.Len(), SHA256: hex.EncodeToString(hash[:]),
	}
	if err := w.store.Create(ctx, w.object(w.at.Prefix+part.Name), "application/gzip", bytes.NewReader(w.pending.Bytes())); err != nil {
		return err
	}
	w.at.Parts = append(w.at.Parts, part)
	w.at.Pods += part.Pods
	w.pods = 0
	w.pending.Reset()
	return nil
}

func (w *Writer) object(key string) store.Object {
	return store.Object{Field: "output", Bucket: w.at.Bucket, Key: key}
}

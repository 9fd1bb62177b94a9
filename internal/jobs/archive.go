package jobs

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/store"
)

const (
	// maxParts bounds the parts of a log: they are in the state. With a part of each megabyte,
	// compressed, that is some gigabytes of log.
	maxParts = 400
	// firstFlush is after how long a line is written that no others follow. For a Job that has
	// run for long it is a fortieth of that, so that a day has no more parts than fit.
	firstFlush = time.Second
	flushShare = 40
	// pieceBytes is how much is compressed at once.
	pieceBytes = 512 << 10
)

// archive writes the lines of a log to S3.
type archive struct {
	store   store.Store
	to      contract.Destination
	parts   *store.Parts
	begun   time.Time
	packed  bytes.Buffer
	gzip    *gzip.Writer // into packed
	raw     int          // how many bytes went into it
	lines   int          // in packed
	pending bool         // there are lines that are in no part
	since   time.Time    // of the first of them
	// told is when the live manifest was written last, and untold is set if it does not name
	// all parts: those of a log that is read fast come faster than anybody would look.
	told   time.Time
	untold bool
	// full is true once there are as many parts as fit, and truncated if anything is missing.
	full, truncated bool
}

func newArchive(s store.Store, in runjob.WatchJob) *archive {
	a := &archive{store: s, to: in.Output, full: len(in.Run.Log.Parts) >= maxParts, truncated: in.Run.Log.Truncated, begun: in.Run.Cursor.Until.Add(-endGrace - time.Duration(in.Timeout)*time.Second)}
	var earlier *store.Manifest
	if in.Run.Log.Bucket != "" {
		earlier = new(asManifest(in.Run.Log))
	}
	a.parts = s.Parts(in.Output, earlier, func(m store.Manifest) any { return a.log(m) })
	a.gzip, _ = gzip.NewWriterLevel(&a.packed, gzip.BestSpeed) // the level is valid
	return a
}

func asManifest(l runjob.Log) store.Manifest {
	m := store.Manifest{Bucket: l.Bucket, Prefix: l.Prefix, Key: l.Manifest, Items: l.Lines, Parts: []store.Part{}}
	for _, p := range l.Parts {
		m.Parts = append(m.Parts, store.Part{Name: p.Name, Items: p.Lines, Bytes: p.Bytes})
	}
	return m
}

func (a *archive) log(m store.Manifest) runjob.Log {
	l := runjob.Log{Bucket: m.Bucket, Prefix: m.Prefix, Manifest: m.Key, Lines: m.Items, Truncated: a.truncated, Parts: []runjob.Part{}}
	for _, p := range m.Parts {
		l.Parts = append(l.Parts, runjob.Part{Name: p.Name, Lines: p.Items, Bytes: p.Bytes})
	}
	return l
}

// add takes lines as NDJSON.
func (a *archive) add(ctx context.Context, text []byte, lines int) error {
	if lines == 0 {
		return nil
	}
	if a.full {
		a.truncated = true
		return nil
	}
	if !a.pending {
		a.pending, a.since = true, time.Now()
	}
	if a.lines == 0 {
		a.packed.Reset()
		a.gzip.Reset(&a.packed)
	}
	_, _ = a.gzip.Write(text) // memory does not fail
	a.raw += len(text)
	a.lines += lines
	if a.raw < pieceBytes {
		return nil
	}
	return a.pack(ctx)
}

// pack ends the piece that is being compressed.
func (a *archive) pack(ctx context.Context) error {
	if a.lines == 0 {
		return nil
	}
	if err := a.gzip.Close(); err != nil {
		return fmt.Errorf("compress the log: %w", err)
	}
	before := len(a.parts.Manifest().Parts)
	err := a.parts.Add(ctx, a.packed.Bytes(), a.lines)
	a.raw, a.lines = 0, 0
	if after := a.parts.Manifest(); err == nil && len(after.Parts) > before {
		return a.wrote(ctx, after)
	}
	return err
}

// flushBy is when what is pending has to be written, or told.
func (a *archive) flushBy(now time.Time) (time.Time, bool) {
	by := a.packBy(now)
	if tell := a.told.Add(firstFlush); a.untold && (!a.pending || tell.Before(by)) {
		by = tell
	}
	return by, a.pending || a.untold
}

// packBy is when what is pending has to be written.
func (a *archive) packBy(now time.Time) time.Time {
	return a.since.Add(max(firstFlush, now.Sub(a.begun)/flushShare))
}

// flush writes what is pending, if it is time, and tells of all parts.
func (a *archive) flush(ctx context.Context) error {
	if now := time.Now(); a.pending && !now.Before(a.packBy(now)) {
		if err := a.pack(ctx); err != nil {
			return err
		}
		if a.pending { // packing may have written all
			if err := a.parts.Flush(ctx); err != nil {
				return err
			}
			if err := a.wrote(ctx, a.parts.Manifest()); err != nil {
				return err
			}
		}
	}
	if !a.untold {
		return nil
	}
	return a.tell(ctx, a.parts.Manifest())
}

// wrote notes that there is another part, and tells of it unless that was done just before.
func (a *archive) wrote(ctx context.Context, m store.Manifest) error {
	a.pending = a.lines > 0
	a.since = time.Now()
	a.full = len(m.Parts) >= maxParts
	a.untold = true
	if a.since.Before(a.told.Add(firstFlush)) {
		return nil
	}
	return a.tell(ctx, m)
}

// tell tells whoever follows the log which parts there are.
func (a *archive) tell(ctx context.Context, m store.Manifest) error {
	a.told, a.untold = time.Now(), false
	text, err := json.Marshal(a.log(m))
	if err != nil {
		return fmt.Errorf("encode the parts of the log: %w", err)
	}
	return a.store.Put(ctx, store.Object{Field: "output", Bucket: m.Bucket, Key: m.Prefix + runjob.LiveManifest}, "application/json", bytes.NewReader(text))
}

// finish writes what is pending and, if the log is complete, its manifest.
func (a *archive) finish(ctx context.Context, complete bool) (runjob.Log, error) {
	changed := a.pending
	if err := a.pack(ctx); err != nil {
		return runjob.Log{}, err
	}
	m, err := a.parts.Finish(ctx, complete)
	if err == nil && (changed || complete || a.untold) {
		err = a.tell(ctx, m)
	}
	return a.log(m), err
}

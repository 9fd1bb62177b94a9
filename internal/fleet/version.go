package fleet

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/store"
)

// newest returns the version of the manifests that a rollout is to apply, if the request names none:
// whoever replaces the object meanwhile would have later waves apply what the first has not seen.
// It is empty if the bucket keeps no versions.
func (d Finder) newest(ctx context.Context, r request, execution string) (string, error) {
	if !r.changes || r.manifests.Bucket == "" || r.manifests.VersionID != "" {
		return "", nil
	}
	at := store.Object{Field: "request.source", Bucket: r.manifests.Bucket, Key: r.manifests.Key}
	_, version, err := store.New(d.Store.S3, execution).Get(ctx, at, maxManifests)
	return version, err
}

// pin lets the request name a version of its manifests; an empty one changes nothing.
func (r *request) pin(version string) error {
	if version == "" {
		return nil
	}
	r.manifests.VersionID = version
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(r.asked, &members); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	source, err := contract.Encode(r.manifests)
	if err != nil {
		return fmt.Errorf("encode the source: %w", err)
	}
	members["source"] = source
	r.asked, err = contract.Encode(members)
	return err
}

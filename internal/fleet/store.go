package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/store"
)

// Store keeps the objects of a fleet.
type Store struct{ S3 store.S3 }

// NewStore makes a Store.
func NewStore(cfg aws.Config) Store { return Store{s3.NewFromConfig(cfg)} }

// put writes an object to the output of the fleet.
func (s Store) put(ctx context.Context, fleet contractfleet.Fleet, key, contentType string, body io.ReadSeeker) error {
	return store.New(s.S3, fleet.Execution).Put(ctx, store.Object{Field: "output", Bucket: fleet.Output.Bucket, Key: key}, contentType, body)
}

// get reads an object of at most that many bytes from the output of the fleet.
func (s Store) get(ctx context.Context, fleet contractfleet.Fleet, key string, limit int64) ([]byte, error) {
	body, _, err := store.New(s.S3, fleet.Execution).Get(ctx, store.Object{Field: "output", Bucket: fleet.Output.Bucket, Key: key}, limit)
	return body, err
}

// list reads a list of clusters.
func (s Store) list(ctx context.Context, fleet contractfleet.Fleet, key string) ([]contractfleet.Cluster, error) {
	text, err := s.get(ctx, fleet, key, maxList)
	if err != nil {
		return nil, err
	}
	var clusters []contractfleet.Cluster
	// One by one: of an array of anything else there may be more than there is memory for.
	decoder := json.NewDecoder(bytes.NewReader(text))
	_, err = decoder.Token()
	for err == nil && decoder.More() && len(clusters) <= contractfleet.MaxClusters {
		var cluster contractfleet.Cluster
		err = decoder.Decode(&cluster)
		clusters = append(clusters, cluster)
	}
	if err != nil || len(clusters) > contractfleet.MaxClusters {
		return nil, changed(fleet, key, "list of clusters")
	}
	return clusters, nil
}

package manifests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/store"
)

// Source reads manifests, wherever they are.
type Source struct {
	S3 store.S3
	// AllowedKinds are the RBAC and admission kinds that are accepted.
	AllowedKinds []string
	// Prunes is set if the stack deletes anything.
	Prunes bool
}

// mayPrune refuses what the stack does not delete.
func (s Source) mayPrune(r applymanifests.Request) error {
	if r.Prune.Enabled && r.Mode.Changes() && !s.Prunes {
		return contract.Errorf(contract.InvalidInput, "prune: this stack deletes nothing from clusters: to let it, set its parameter EnablePrune to true, and let its Kubernetes group delete with kubectl apply -k rbac/apply/prune")
	}
	return nil
}

// Load reads and checks the manifests, and returns what identifies them.
//
// Errors: InvalidInput, AccessDenied, AWSUnreachable, Throttled.
func (s Source) Load(ctx context.Context, in applymanifests.LoadManifests) (applymanifests.LoadedManifests, error) {
	if err := s.mayPrune(in.Request); err != nil {
		return applymanifests.LoadedManifests{}, err
	}
	sha, applied, _ := strings.Cut(in.Progress, ":")
	objects, loaded, err := s.read(ctx, in.Execution, in.Request)
	if err == nil && batch.Ledger(applied).Has(batch.IsChanged) && sha != loaded.SHA256 {
		err = changed(in.Request)
	}
	if err != nil {
		return applymanifests.LoadedManifests{}, tell(batch.Ledger(applied), err, nil)
	}
	loaded.Objects = len(objects)
	return loaded, nil
}

func changed(request applymanifests.Request) error {
	return contract.Errorf(contract.InvalidInput, "source: %s changed while the execution ran. Start another one, and enable versioning in the bucket, so that an execution reads one version", sourceObject(request.Source))
}

// again reads what load-manifests read.
func (s Source) again(ctx context.Context, in applymanifests.Session) ([]objects.Object, error) {
	request, before := in.Request, in.Manifests
	if before.VersionID != "" {
		request.Source.VersionID = before.VersionID
	}
	objects, loaded, err := s.read(ctx, in.Execution, request)
	if err == nil && request.Source.Bucket != "" && loaded.SHA256 != before.SHA256 {
		return nil, changed(request)
	}
	return objects, err
}

func (s Source) read(ctx context.Context, execution string, request applymanifests.Request) ([]objects.Object, applymanifests.LoadedManifests, error) {
	if !request.Mode.HasManifests() {
		return nil, applymanifests.LoadedManifests{SHA256: hash(nil)}, nil
	}
	rules := Rules{Namespace: request.Namespace, AllowedKinds: s.AllowedKinds}
	if hasSet(request) {
		rules.Set = setOf(request)
	}
	if request.Source.Bucket == "" {
		objects, err := ReadInline(request.Manifests, rules)
		if err == nil {
			err = checkGates(objects, request)
		}
		return objects, applymanifests.LoadedManifests{SHA256: hash(canonical(request.Manifests))}, err
	}
	text, version, err := store.New(s.S3, execution).Get(ctx, sourceObject(request.Source), MaxBytes)
	if err != nil {
		return nil, applymanifests.LoadedManifests{}, err
	}
	objects, err := Read(text, rules)
	if err == nil {
		err = checkGates(objects, request)
	}
	return objects, applymanifests.LoadedManifests{VersionID: version, SHA256: hash(text)}, err
}

// canonical is JSON without the differences that passing it on may make.
func canonical(value json.RawMessage) []byte {
	var decoded any
	if json.Unmarshal(value, &decoded) != nil {
		return value
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		return value
	}
	return text
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// sourceObject is the place of the manifests in S3.
func sourceObject(from applymanifests.Source) store.Object {
	return store.Object{Field: "source", Bucket: from.Bucket, Key: from.Key, VersionID: from.VersionID}
}

// writeDiff writes a part of the difference. The same part of the same execution
// has the same key, so that a retry replaces it.
func (s Source) writeDiff(ctx context.Context, to contract.Destination, execution string, part int, text string) (string, error) {
	of := store.New(s.S3, execution)
	key := fmt.Sprintf("%sdiff-%05d.txt", of.Folder(to), part)
	return key, of.Put(ctx, store.Object{Field: "output", Bucket: to.Bucket, Key: key}, "text/plain; charset=utf-8", strings.NewReader(text))
}

package manifests

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/diff"
	"github.com/kubestep/kubestep/internal/objects"
)

// Effects hashes what applying does, so that two plans can be compared without their values.
// The hash has a key: without one, whoever sees it could try the values of a Secret.
type Effects struct{ key []byte }

// NewEffects derives the key (by HKDF-SHA256) from a secret that the functions share.
func NewEffects(secret string) (Effects, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "kubestep/plan/effects/v1", sha256.Size)
	if err != nil {
		return Effects{}, fmt.Errorf("derive the key of effects: %w", err)
	}
	return Effects{key}, nil
}

// effect is what applying does to one object.
type effect struct {
	objects.Target
	action     applymanifests.Action
	live, next map[string]any // nil if they are not known
	rules      diff.Rules
	changes    []diff.Change
}

// sum hashes an effect. here is the same only for the same object in the same cluster, and
// everywhere also for another cluster's. Of a Secret, neither depends on values: here, its
// version says whether it is as it was.
//
// What is made anew is hashed as it is sent: what a dry run returns of it has names and
// addresses that are other ones each time.
func (e Effects) sum(of effect) (here, everywhere []byte, err error) {
	mac := hmac.New(sha256.New, e.key)
	_, _ = fmt.Fprintf(mac, "%q %q %q %q %q\n", of.GroupVersion(), of.Kind, of.Namespace, of.Name, of.action) // a hash takes everything
	switch {
	case of.action == applymanifests.ActionUnchanged:
	case of.IsSecret():
		for _, c := range of.changes {
			_, _ = fmt.Fprintf(mac, "%q\n", c)
		}
		everywhere = mac.Sum(nil)
		metadata, _ := of.live["metadata"].(map[string]any)
		_, _ = fmt.Fprintf(mac, "%q %q", metadata["uid"], metadata["resourceVersion"])
		return mac.Sum(nil), everywhere, nil
	case of.live == nil || of.next == nil:
		_, _ = mac.Write(of.JSON)
	default:
		if err := diff.Sum(mac, of.live, of.next, of.rules); err != nil {
			return nil, nil, fmt.Errorf("hash the changes of %s: %w", of.Target, err)
		}
	}
	here = mac.Sum(nil)
	return here, here, nil
}

// member is the effect on a member of a set that is not in the manifests.
func (e Effects) member(o applymanifests.PlannedObject) []byte {
	mac := hmac.New(sha256.New, e.key)
	_, _ = fmt.Fprintf(mac, "%q %q %q %q %q", o.APIVersion, o.Kind, o.Namespace, o.Name, o.Action)
	return mac.Sum(nil)
}

// digest is the sum of effects, in whichever order they come: 144 bits.
type digest [18]byte

// newDigest goes on with the sum of earlier rounds.
func newDigest(earlier string) digest {
	var d digest
	if decoded, err := base64.RawURLEncoding.DecodeString(earlier); err == nil {
		copy(d[:], decoded)
	}
	return d
}

func (d *digest) add(sum []byte) {
	for i := range d {
		d[i] ^= sum[i]
	}
}

func (d digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// effects are the effects of a plan in the order of the manifests, as they pass between
// rounds.
type effects []string

func newEffects(earlier string, objects int) effects {
	all := make(effects, objects)
	for i := range all {
		all[i] = strings.Repeat(string(rune(batch.Pending)), applymanifests.EffectLength)
		if at := i * applymanifests.EffectLength; at+applymanifests.EffectLength <= len(earlier) {
			all[i] = earlier[at : at+applymanifests.EffectLength]
		}
	}
	return all
}

func (e effects) set(i int, sum []byte) {
	e[i] = base64.RawURLEncoding.EncodeToString(sum)[:applymanifests.EffectLength]
}

func (e effects) String() string { return strings.Join(e, "") }

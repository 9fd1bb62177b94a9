// Package proof proves that the plan which is applied is the one that somebody approved. It
// is apart from internal/approval, because the functions that apply call no other service.
package proof

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/kubestep/kubestep/internal/contract"
)

// minSecret is how many characters the secret has at least.
const minSecret = 32

// Sealer seals decisions, and verifies seals: HMAC-SHA256 with a key that only the functions
// approve and those that apply share. A task token is in the history of the execution, and
// IAM cannot say for which execution somebody may send one, so a token alone must not do.
type Sealer struct{ key []byte }

// NewSealer derives the key (by HKDF-SHA256) from a secret of at least 32 characters.
func NewSealer(secret string) (Sealer, error) {
	if len(secret) < minSecret {
		return Sealer{}, fmt.Errorf("the key has %d characters: expected at least %d", len(secret), minSecret)
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "kubestep/approval/v1", sha256.Size)
	if err != nil {
		return Sealer{}, fmt.Errorf("derive the key of approvals: %w", err)
	}
	return Sealer{key}, nil
}

// Seal returns the decision with its seal, for one execution.
func (s Sealer) Seal(execution string, d contract.Decision) (contract.Decision, error) {
	mac, err := s.mac(execution, d)
	d.Seal = base64.RawURLEncoding.EncodeToString(mac)
	return d, err
}

// Verify returns an error unless approve sealed the decision for the execution.
func (s Sealer) Verify(execution string, d contract.Decision) error {
	given, err := base64.RawURLEncoding.Strict().DecodeString(d.Seal)
	if err != nil {
		given = nil // which equals no HMAC
	}
	mac, err := s.mac(execution, d)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac, given) {
		return contract.Errorf(contract.NotApproved, "The approval that the execution was resumed with does not come from the function approve, so nothing is applied. Somebody sent it with the task token: see who, in CloudTrail")
	}
	return nil
}

func (s Sealer) mac(execution string, d contract.Decision) ([]byte, error) {
	text, err := json.Marshal([]string{execution, d.Digest, d.At.UTC().Format("2006-01-02T15:04:05Z"), d.By, strconv.FormatBool(d.Approved), d.Reason})
	if err != nil { // text alone cannot fail
		return nil, fmt.Errorf("encode the approval: %w", err)
	}
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write(text)
	return mac.Sum(nil), nil
}

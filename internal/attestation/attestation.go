// Package attestation lets describe-cluster vouch for what EKS said of a cluster,
// and mint-token verify it. Without it, whoever may invoke mint-token and
// verify-rbac could name an endpoint of their own, and receive a token there.
package attestation

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	minSecret = 32 // characters
	// purpose separates this key from any other that is derived from the same secret.
	purpose = "kubestep/cluster/attestation/v1"
)

// Attester attests clusters and verifies attestations: HMAC-SHA256 with a key that
// the functions share. It is safe for concurrent use.
type Attester struct{ key []byte }

// New derives the key (by HKDF-SHA256) from a secret of at least 32 characters.
func New(secret string) (Attester, error) {
	if len(secret) < minSecret {
		return Attester{}, fmt.Errorf("the attestation key has %d characters: expected at least %d", len(secret), minSecret)
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, purpose, sha256.Size)
	if err != nil {
		return Attester{}, fmt.Errorf("derive the attestation key: %w", err)
	}
	return Attester{key}, nil
}

// Attest returns the cluster with its attestation, for one execution and for the
// role that EKS was asked as.
func (a Attester) Attest(execution, roleARN string, cluster contract.Cluster) (contract.Cluster, error) {
	mac, err := a.mac(execution, roleARN, cluster)
	if err != nil {
		return contract.Cluster{}, err
	}
	cluster.Attestation = base64.RawURLEncoding.EncodeToString(mac)
	return cluster, nil
}

// Verify returns an error unless the cluster is the one that was attested, for the
// same execution and role.
func (a Attester) Verify(execution, roleARN string, cluster contract.Cluster) error {
	given, err := base64.RawURLEncoding.Strict().DecodeString(cluster.Attestation)
	if err != nil {
		given = nil // which equals no HMAC
	}
	mac, err := a.mac(execution, roleARN, cluster)
	if err != nil {
		return err
	}
	if !hmac.Equal(given, mac) {
		return contract.Errorf(contract.AccessDenied,
			"describe-cluster did not attest this endpoint and certificate authority of cluster %s for this execution and role, so no token is minted for them. Start an execution of the state machine instead of invoking its functions; if this is one, deploy the whole stack, so that its functions have the same KUBESTEP_ATTESTATION_KEY", cluster.Name)
	}
	return nil
}

// mac covers every field: JSON keeps them apart.
func (a Attester) mac(execution, roleARN string, cluster contract.Cluster) ([]byte, error) {
	cluster.Attestation = ""
	message, err := json.Marshal([]any{execution, roleARN, cluster})
	if err != nil {
		return nil, fmt.Errorf("encode the cluster to attest: %w", err)
	}
	h := hmac.New(sha256.New, a.key)
	_, _ = h.Write(message) // a hash does not fail
	return h.Sum(nil), nil
}

package bearer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	minSecret = 32 // characters
	// purpose separates this key from any other that is derived from the same secret.
	purpose = "kubestep/token/seal/v1"
	// maxSealedLenBytes bounds what Open reads: the largest token, its nonce and tag,
	// in base64.
	maxSealedLenBytes = 2 * maxTokenLenBytes
)

// Binding is where a sealed token opens, and nowhere else: in its own execution,
// and for the endpoint and the authority that EKS named.
type Binding struct{ Execution, Endpoint, CertificateAuthority string }

// BindingFor is the binding of a token that an execution uses for a cluster.
func BindingFor(execution string, cluster contract.Cluster) Binding {
	return Binding{Execution: execution, Endpoint: cluster.Endpoint, CertificateAuthority: cluster.CertificateAuthority}
}

// Sealer seals tokens before they pass through state, which everybody who may read
// the execution history can read, and opens them. It is safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives the key (AES-256-GCM, by HKDF-SHA256) from a secret of at
// least 32 characters that the functions share.
func NewSealer(secret string) (Sealer, error) {
	if len(secret) < minSecret {
		return Sealer{}, fmt.Errorf("the seal key has %d characters: expected at least %d", len(secret), minSecret)
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, purpose, 32)
	if err != nil {
		return Sealer{}, fmt.Errorf("derive the seal key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Sealer{}, fmt.Errorf("make the seal's cipher: %w", err)
	}
	// A random nonce of 96 bits is good for 2^32 tokens of one key (NIST SP 800-38D, 8.3).
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Sealer{}, fmt.Errorf("make the seal: %w", err)
	}
	return Sealer{aead}, nil
}

// Seal encrypts a token. Open decrypts it with the same key and binding only.
func (s Sealer) Seal(token Token, binding Binding) (string, error) {
	data, err := binding.data()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(token.Reveal()), data)), nil //nolint:gosec // this AEAD makes its own nonce
}

// Open returns the token. The error is Unauthorized, so that the machine mints
// again: that heals a key that a deployment changed.
func (s Sealer) Open(sealed string, binding Binding) (Token, error) {
	data, err := binding.data()
	if err != nil {
		return Token{}, err
	}
	if len(sealed) > maxSealedLenBytes {
		return Token{}, unopened(fmt.Errorf("it has %d bytes, and a sealed token has at most %d", len(sealed), maxSealedLenBytes))
	}
	// Strict refuses trailing bits that are not zero, but still skips line breaks.
	if strings.ContainsAny(sealed, "\r\n") {
		return Token{}, unopened(errors.New("it holds a line break"))
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return Token{}, unopened(err)
	}
	opened, err := s.aead.Open(nil, nil, raw, data)
	if err != nil {
		return Token{}, unopened(err)
	}
	return New(string(opened)), nil
}

func unopened(err error) error {
	return contract.Errorf(contract.Unauthorized,
		"The sealed token does not open here (%w). It opens only in the execution that minted it, for the endpoint it was minted for, with the key it was sealed with. If a deployment has just changed the key, the next attempt mints a new token; if the error stays, deploy the whole stack, so that its functions have the same KUBESTEP_SEAL_KEY", err)
}

// data is the binding as the seal's associated data. JSON keeps the fields apart.
func (b Binding) data() ([]byte, error) {
	data, err := json.Marshal([]string{b.Execution, b.Endpoint, b.CertificateAuthority})
	if err != nil {
		return nil, fmt.Errorf("encode the seal's binding: %w", err)
	}
	return data, nil
}

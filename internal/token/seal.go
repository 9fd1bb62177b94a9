package token

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

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// minSecret is the least length of the secret that the key is derived from.
	minSecret = 32
	// purpose separates this key from any other that the same secret may serve.
	purpose = "kubestep/token/seal/v1"
	// maxSealed bounds what Open reads: a token of maxBytes with its nonce and tag.
	maxSealed = 2 * maxBytes
)

// Binding is where a sealed token opens, and nowhere else: in its own execution,
// and for the endpoint that EKS named, with the authority that EKS named.
type Binding struct{ Execution, Endpoint, CertificateAuthority string }

// Sealer seals tokens for their way through state, where everybody who may read
// the execution history reads them, and opens them.
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

// Seal makes a token unreadable but to Open with the same key and binding.
func (s Sealer) Seal(token bearer.Token, binding Binding) (string, error) {
	data, err := binding.data()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(token.Reveal()), data)), nil //nolint:gosec // no constant: this AEAD makes its own nonce
}

// Open returns the token. Whatever does not open is Unauthorized, so that the
// machine mints again: after a key has changed by deployment, that heals.
func (s Sealer) Open(sealed string, binding Binding) (bearer.Token, error) {
	data, err := binding.data()
	if err != nil {
		return bearer.Token{}, err
	}
	if len(sealed) > maxSealed {
		return bearer.Token{}, unopened(fmt.Errorf("%d bytes, and no sealed token has more than %d", len(sealed), maxSealed))
	}
	// Strict: bits that the last character does not need must be zero too. Line
	// breaks it would still pass over.
	if strings.ContainsAny(sealed, "\r\n") {
		return bearer.Token{}, unopened(errors.New("it holds a line break"))
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return bearer.Token{}, unopened(err)
	}
	opened, err := s.aead.Open(nil, nil, raw, data)
	if err != nil {
		return bearer.Token{}, unopened(err)
	}
	return bearer.New(string(opened)), nil
}

func unopened(err error) error {
	return contract.Errorf(contract.Unauthorized,
		"The sealed token does not open here (%w). It opens only in the execution that minted it, for the endpoint it was minted for, and with the key it was sealed with. A key that was just changed by a deployment heals by minting again; where it stays so, deploy the whole stack, so that all its functions have one KUBESTEP_SEAL_KEY", err)
}

// data is the binding as the seal's associated data. JSON keeps the fields apart.
func (b Binding) data() ([]byte, error) {
	data, err := json.Marshal([]string{b.Execution, b.Endpoint, b.CertificateAuthority})
	if err != nil {
		return nil, fmt.Errorf("encode the seal's binding: %w", err)
	}
	return data, nil
}

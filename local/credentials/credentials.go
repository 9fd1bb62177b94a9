// Package credentials issues the temporary AWS credentials of the local world, recognizes them, and verifies signatures.
//
// One process issues them (the Lambda host, or AssumeRole on the local AWS endpoint), and another verifies them (the STS stand-in of
// the control plane). So the session token contains everything about them, under a MAC: the processes share a key and no state.
//
// It stays because moto's STS issues credentials that nothing verifies, and the SDK can sign requests, but not verify signatures.
package credentials

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// The reasons why credentials are refused.
var (
	// ErrUnknownKey means that the access key ID was not issued by an Authority, or does not belong to the session token.
	ErrUnknownKey = errors.New("the access key ID was not issued here")
	// ErrForgedToken means that the session token was made or changed without the key.
	ErrForgedToken = errors.New("the session token was not issued here")
	// ErrExpired means that the credentials have expired.
	ErrExpired = errors.New("the credentials have expired")
)

const (
	// temporary access key IDs begin with keyPrefix, the unique IDs of roles with rolePrefix:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
	keyPrefix  = "ASIA"
	rolePrefix = "AROA"

	// tokenSize is the size of a session token before base64, which makes it 900 characters. Real ones are about that long, and are
	// the largest part of a bearer token, whose size the cluster limits.
	tokenSize = 675

	// minKeySize is the minimum size of a key.
	minKeySize = 32
)

// sessionName is the pattern of a session's name:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// Authority issues and recognizes credentials. Authorities with the same key recognize each other's.
type Authority struct {
	key []byte
}

// Identity is the holder of credentials, as in sts:GetCallerIdentity, and the role.
type Identity struct {
	// ARN is arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION, without the role's path.
	ARN string
	// UserID is the role's unique ID, a colon and the session's name.
	UserID string
	// Account is the account of the role.
	Account string
	// RoleARN is the role's ARN in IAM, with its path.
	RoleARN string
}

// claims are the content of a session token. The rest of its size is random.
type claims struct {
	AccessKeyID string   `json:"key"`
	RoleARN     string   `json:"role"`
	Session     string   `json:"session"`
	Expires     int64    `json:"expires"`
	Tags        []string `json:"tags,omitempty"`
}

// New returns an Authority with a key, which should be at least 32 random bytes.
func New(key []byte) Authority {
	return Authority{key: bytes.Clone(key)}
}

// FromFile returns an Authority whose key is the bytes of a file.
func FromFile(name string) (Authority, error) {
	key, err := os.ReadFile(name)
	if err != nil {
		return Authority{}, fmt.Errorf("read the credentials key: %w", err)
	}
	if len(key) < minKeySize {
		return Authority{}, fmt.Errorf("the credentials key in %s has %d bytes, and should have at least %d", name, len(key), minKeySize)
	}
	return New(key), nil
}

// Issue issues credentials for a session of the role that expire at that second. Session tags make the session token larger, as on
// AWS.
func (a Authority) Issue(roleARN, session string, expires time.Time, tags ...string) (aws.Credentials, error) {
	role, err := parseRole(roleARN)
	if err != nil {
		return aws.Credentials{}, err
	}
	if !sessionName.MatchString(session) {
		return aws.Credentials{}, fmt.Errorf("%q is not a valid session name: 2 to 64 letters, digits or any of _+=,.@-", session)
	}
	expires = expires.Truncate(time.Second).UTC()
	accessKeyID := keyPrefix + base32.StdEncoding.EncodeToString(random(10))
	token, err := a.seal(claims{AccessKeyID: accessKeyID, RoleARN: roleARN, Session: session, Expires: expires.Unix(), Tags: tags})
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{
		AccessKeyID:     accessKeyID,
		SecretAccessKey: a.secret(accessKeyID),
		SessionToken:    token,
		Source:          "kubestep local",
		CanExpire:       true,
		Expires:         expires,
		AccountID:       role.AccountID,
	}, nil
}

// Recognize returns whose credentials these are, and the secret that their holder must have signed with. The caller must check
// that the holder knows it: see Verify.
func (a Authority) Recognize(accessKeyID, sessionToken string, now time.Time) (Identity, string, error) {
	if !strings.HasPrefix(accessKeyID, keyPrefix) || sessionToken == "" {
		return Identity{}, "", ErrUnknownKey
	}
	c, err := a.open(sessionToken)
	if err != nil {
		return Identity{}, "", err
	}
	if c.AccessKeyID != accessKeyID {
		return Identity{}, "", ErrUnknownKey
	}
	if !now.Before(time.Unix(c.Expires, 0)) {
		return Identity{}, "", ErrExpired
	}
	role, err := parseRole(c.RoleARN)
	if err != nil {
		return Identity{}, "", err
	}
	return Identity{
		ARN:     fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", role.Partition, role.AccountID, roleName(role), c.Session),
		UserID:  a.roleID(c.RoleARN) + ":" + c.Session,
		Account: role.AccountID,
		RoleARN: c.RoleARN,
	}, a.secret(accessKeyID), nil
}

// seal returns a session token: a MAC, the claims, and random bytes up to a real token's size.
func (a Authority) seal(c claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("write the session token: %w", err)
	}
	if padding := tokenSize - sha256.Size - len(body); padding > 0 {
		// A line break separates the claims from the random bytes.
		body = append(append(body, '\n'), random(padding-1)...)
	}
	return base64.StdEncoding.EncodeToString(append(a.mac("session token", body), body...)), nil
}

// open returns a session token's claims if its MAC, which covers the random bytes too, is correct.
func (a Authority) open(token string) (claims, error) {
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(sealed) < sha256.Size {
		return claims{}, ErrForgedToken
	}
	mac, body := sealed[:sha256.Size], sealed[sha256.Size:]
	if !hmac.Equal(mac, a.mac("session token", body)) {
		return claims{}, ErrForgedToken
	}
	var c claims
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&c); err != nil {
		return claims{}, fmt.Errorf("read the session token: %w", err)
	}
	return c, nil
}

// secret returns the secret access key of an access key ID: 40 characters, as on AWS.
func (a Authority) secret(accessKeyID string) string {
	return base64.StdEncoding.EncodeToString(a.mac("secret", []byte(accessKeyID))[:30])
}

// roleID returns the unique ID of a role: 21 characters, the same for all its sessions.
func (a Authority) roleID(roleARN string) string {
	return rolePrefix + base32.StdEncoding.EncodeToString(a.mac("role id", []byte(roleARN)))[:17]
}

// mac returns the MAC of a message for one purpose. It is not valid for another purpose.
func (a Authority) mac(purpose string, message []byte) []byte {
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(purpose + "\x00"))
	h.Write(message)
	return h.Sum(nil)
}

// parseRole reads the ARN of an IAM role, of any partition.
func parseRole(roleARN string) (arn.ARN, error) {
	role, err := arn.Parse(roleARN)
	if err != nil || role.Service != "iam" || role.AccountID == "" ||
		!strings.HasPrefix(role.Resource, "role/") || roleName(role) == "" {
		return arn.ARN{}, fmt.Errorf("%q is not the ARN of a role (arn:PARTITION:iam::ACCOUNT:role/NAME)", roleARN)
	}
	return role, nil
}

// roleName returns the last part of a role's resource, without the path, as STS does.
func roleName(role arn.ARN) string {
	return role.Resource[strings.LastIndex(role.Resource, "/")+1:]
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: https://pkg.go.dev/crypto/rand#Read
	return b
}

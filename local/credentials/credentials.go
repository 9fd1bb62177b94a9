// Package credentials issues the temporary AWS credentials of the local world, and recognises them again.
//
// On AWS a role's temporary credentials are known to STS because STS made them. Here they are made by one process (the
// Lambda host, or AssumeRole on the local AWS endpoint) and presented to another (the STS stand-in of the control plane).
// So everything there is to know about them is in the session token, under a MAC: the two processes share a key
// and no state.
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

// What can be wrong with credentials that are presented.
var (
	// ErrUnknownKey says that the access key id is not one of an Authority's, or not the one of this session token.
	ErrUnknownKey = errors.New("the access key id is not known here")
	// ErrForgedToken says that the session token was made or changed by somebody without the key.
	ErrForgedToken = errors.New("the session token was not issued here")
	// ErrExpired says that the credentials were good until their expiry.
	ErrExpired = errors.New("the credentials have expired")
)

const (
	// keyPrefix begins every temporary access key id, rolePrefix the unique id of every role:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
	keyPrefix  = "ASIA"
	rolePrefix = "AROA"

	// tokenSize is the size of a session token before it is written in base64, where it becomes 900 characters.
	// Real ones are about that long, and they make up most of a bearer token, whose size the cluster limits.
	tokenSize = 675

	// minKeySize is the least that a key is worth being called one.
	minKeySize = 32
)

// sessionName is what AssumeRole accepts as one:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// Authority issues and recognises credentials. Two of the same key recognise each other's.
type Authority struct {
	key []byte
}

// Identity is who presents the credentials, in the words of sts:GetCallerIdentity, and the role behind it.
type Identity struct {
	// ARN is arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION; the role's path is not in it.
	ARN string
	// UserID is the role's unique id, a colon and the session's name.
	UserID string
	// Account is the account of the role.
	Account string
	// RoleARN is the role as IAM names it, with its path.
	RoleARN string
}

// claims is what a session token says. Names are short because what is left of its size is random.
type claims struct {
	AccessKeyID string   `json:"key"`
	RoleARN     string   `json:"role"`
	Session     string   `json:"session"`
	Expires     int64    `json:"expires"`
	Tags        []string `json:"tags,omitempty"`
}

// New makes an Authority of a key, which should be at least 32 random bytes.
func New(key []byte) Authority {
	return Authority{key: bytes.Clone(key)}
}

// FromFile makes an Authority of the key that a file holds: its bytes, as they are.
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

// Issue makes credentials for a session of the role that end at expires, to the second. Session tags make the session token larger, as
// they do those of AWS.
func (a Authority) Issue(roleARN, session string, expires time.Time, tags ...string) (aws.Credentials, error) {
	role, err := parseRole(roleARN)
	if err != nil {
		return aws.Credentials{}, err
	}
	if !sessionName.MatchString(session) {
		return aws.Credentials{}, fmt.Errorf("%q is no session name: 2 to 64 letters, digits or any of _+=,.@-", session)
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

// Recognise tells whose credentials these are, and the secret that their holder must have signed with. Whether the
// holder knows that secret is for the caller to find out.
func (a Authority) Recognise(accessKeyID, sessionToken string, now time.Time) (Identity, string, error) {
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

// seal writes claims as a session token: a MAC, the claims, and random bytes up to a real token's size.
func (a Authority) seal(c claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("write the session token: %w", err)
	}
	if padding := tokenSize - sha256.Size - len(body); padding > 0 {
		// A line break ends the claims, so that they cannot run on into what follows them.
		body = append(append(body, '\n'), random(padding-1)...)
	}
	return base64.StdEncoding.EncodeToString(append(a.mac("session token", body), body...)), nil
}

// open reads a session token's claims if its MAC, which covers the padding too, is right.
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

// secret is the secret access key that belongs to an access key id: 40 characters, as AWS's are.
func (a Authority) secret(accessKeyID string) string {
	return base64.StdEncoding.EncodeToString(a.mac("secret", []byte(accessKeyID))[:30])
}

// roleID is the unique id of a role: 21 characters, the same for all its sessions.
func (a Authority) roleID(roleARN string) string {
	return rolePrefix + base32.StdEncoding.EncodeToString(a.mac("role id", []byte(roleARN)))[:17]
}

// mac authenticates a message for one purpose, so that what was made for one never serves another.
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
		return arn.ARN{}, fmt.Errorf("%q is no ARN of a role (arn:PARTITION:iam::ACCOUNT:role/NAME)", roleARN)
	}
	return role, nil
}

// roleName is the last part of a role's resource: the path before it is dropped, as STS does.
func roleName(role arn.ARN) string {
	return role.Resource[strings.LastIndex(role.Resource, "/")+1:]
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: https://pkg.go.dev/crypto/rand#Read
	return b
}

package credentials_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/credentials"
)

const roleARN = "arn:aws:iam::111122223333:role/kubestep/mint-token"

var (
	key     = []byte("a key of at least thirty-two bytes")
	now     = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	expires = now.Add(time.Hour)
)

func TestIssuedCredentialsLookLikeThoseOfAWS(t *testing.T) {
	issued, err := credentials.New(key).Issue(roleARN, "function", expires)
	require.NoError(t, err)

	assert.Regexp(t, `^ASIA[A-Z2-7]{16}$`, issued.AccessKeyID)
	assert.Len(t, issued.SecretAccessKey, 40)
	assert.Len(t, issued.SessionToken, 900)
	assert.Equal(t, "111122223333", issued.AccountID)
	assert.True(t, issued.CanExpire)
	assert.Equal(t, expires, issued.Expires)
}

func TestNoTwoCredentialsAreTheSame(t *testing.T) {
	authority := credentials.New(key)
	first, err := authority.Issue(roleARN, "function", expires)
	require.NoError(t, err)
	second, err := authority.Issue(roleARN, "function", expires)
	require.NoError(t, err)

	assert.NotEqual(t, first.AccessKeyID, second.AccessKeyID)
	assert.NotEqual(t, first.SecretAccessKey, second.SecretAccessKey)
	assert.NotEqual(t, first.SessionToken, second.SessionToken)
}

func TestIssuedCredentialsAreRecognizedByAnotherProcess(t *testing.T) {
	tests := map[string]struct {
		role, session string
		arn           string
	}{
		"a role": {
			role: "arn:aws:iam::111122223333:role/reader", session: "function",
			arn: "arn:aws:sts::111122223333:assumed-role/reader/function",
		},
		"a role with a path, which STS drops": {
			role: "arn:aws:iam::111122223333:role/a/long/path/reader", session: "function",
			arn: "arn:aws:sts::111122223333:assumed-role/reader/function",
		},
		"a role in China": {
			role: "arn:aws-cn:iam::111122223333:role/reader", session: "function",
			arn: "arn:aws-cn:sts::111122223333:assumed-role/reader/function",
		},
		"a session with all its odd characters": {
			role: "arn:aws:iam::111122223333:role/reader", session: "a_b+c=d,e.f@g-h",
			arn: "arn:aws:sts::111122223333:assumed-role/reader/a_b+c=d,e.f@g-h",
		},
		"a role whose path leaves no room for padding": {
			role: "arn:aws:iam::111122223333:role/" + strings.Repeat("path/", 120) + "reader", session: "function",
			arn: "arn:aws:sts::111122223333:assumed-role/reader/function",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			issued, err := credentials.New(key).Issue(test.role, test.session, expires)
			require.NoError(t, err)

			identity, secret, err := credentials.New(key).Recognize(issued.AccessKeyID, issued.SessionToken, now)
			require.NoError(t, err)

			assert.Equal(t, issued.SecretAccessKey, secret)
			assert.Equal(t, test.arn, identity.ARN)
			assert.Equal(t, test.role, identity.RoleARN)
			assert.Equal(t, "111122223333", identity.Account)
			assert.Regexp(t, `^AROA[A-Z2-7]{17}:`, identity.UserID)
			assert.True(t, strings.HasSuffix(identity.UserID, ":"+test.session), identity.UserID)
		})
	}
}

func TestAllSessionsOfARoleHaveItsUniqueID(t *testing.T) {
	authority := credentials.New(key)
	userID := func(role, session string) string {
		issued, err := authority.Issue(role, session, expires)
		require.NoError(t, err)
		identity, _, err := authority.Recognize(issued.AccessKeyID, issued.SessionToken, now)
		require.NoError(t, err)
		id, _, _ := strings.Cut(identity.UserID, ":")
		return id
	}

	assert.Equal(t, userID(roleARN, "one"), userID(roleARN, "two"))
	assert.NotEqual(t, userID(roleARN, "one"), userID("arn:aws:iam::111122223333:role/other", "one"))
}

func TestInvalidCredentialsAreNotRecognized(t *testing.T) {
	authority := credentials.New(key)
	issued, err := authority.Issue(roleARN, "function", expires)
	require.NoError(t, err)
	other, err := authority.Issue(roleARN, "function", expires)
	require.NoError(t, err)
	foreign, err := credentials.New([]byte("another key, as long as the first one")).Issue(roleARN, "function", expires)
	require.NoError(t, err)

	flip := func(token string, at int) string {
		b, err := base64.StdEncoding.DecodeString(token)
		require.NoError(t, err)
		b[at] ^= 1
		return base64.StdEncoding.EncodeToString(b)
	}

	tests := map[string]struct {
		accessKeyID, sessionToken string
		now                       time.Time
		want                      error
	}{
		"a long-lived key, which has no session token": {"AKIAIOSFODNN7EXAMPLE", "", now, credentials.ErrUnknownKey},
		"a temporary key without its session token":    {issued.AccessKeyID, "", now, credentials.ErrUnknownKey},
		"no key at all":                      {"", "", now, credentials.ErrUnknownKey},
		"the session token of another key":   {issued.AccessKeyID, other.SessionToken, now, credentials.ErrUnknownKey},
		"credentials of another authority":   {foreign.AccessKeyID, foreign.SessionToken, now, credentials.ErrForgedToken},
		"a session token that is not base64": {issued.AccessKeyID, "!", now, credentials.ErrForgedToken},
		"a session token cut short":          {issued.AccessKeyID, issued.SessionToken[:400], now, credentials.ErrForgedToken},
		"a session token shorter than a MAC": {issued.AccessKeyID, "AAAA", now, credentials.ErrForgedToken},
		"a bit flipped in the MAC":           {issued.AccessKeyID, flip(issued.SessionToken, 0), now, credentials.ErrForgedToken},
		"a bit flipped in the claims":        {issued.AccessKeyID, flip(issued.SessionToken, 60), now, credentials.ErrForgedToken},
		"a bit flipped in the padding":       {issued.AccessKeyID, flip(issued.SessionToken, 670), now, credentials.ErrForgedToken},
		"the moment of the expiry":           {issued.AccessKeyID, issued.SessionToken, expires, credentials.ErrExpired},
		"a day after the expiry":             {issued.AccessKeyID, issued.SessionToken, expires.Add(24 * time.Hour), credentials.ErrExpired},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, secret, err := authority.Recognize(test.accessKeyID, test.sessionToken, test.now)

			assert.ErrorIs(t, err, test.want)
			assert.Empty(t, secret)
		})
	}
}

func TestCredentialsAreValidUntilTheirExpiry(t *testing.T) {
	authority := credentials.New(key)
	issued, err := authority.Issue(roleARN, "function", expires)
	require.NoError(t, err)

	_, _, err = authority.Recognize(issued.AccessKeyID, issued.SessionToken, expires.Add(-time.Nanosecond))

	assert.NoError(t, err)
}

func TestInvalidRequestsAreNotIssuedCredentials(t *testing.T) {
	tests := map[string]struct{ role, session string }{
		"no ARN":                             {"reader", "function"},
		"a user":                             {"arn:aws:iam::111122223333:user/somebody", "function"},
		"a role of another service":          {"arn:aws:sts::111122223333:role/reader", "function"},
		"an assumed role":                    {"arn:aws:sts::111122223333:assumed-role/reader/function", "function"},
		"a role without an account":          {"arn:aws:iam:::role/reader", "function"},
		"a role without a name":              {"arn:aws:iam::111122223333:role/", "function"},
		"a session of one character":         {roleARN, "f"},
		"a session of 65 characters":         {roleARN, strings.Repeat("f", 65)},
		"a session that would split the ARN": {roleARN, "function/other"},
		"a session that would split the id":  {roleARN, "function:other"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := credentials.New(key).Issue(test.role, test.session, expires)

			assert.Error(t, err)
		})
	}
}

func TestFromFile(t *testing.T) {
	write := func(t *testing.T, content []byte) string {
		name := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(name, content, 0o600))
		return name
	}

	t.Run("the key is the file's bytes as they are", func(t *testing.T) {
		binary := append([]byte(" \n"), key...)
		authority, err := credentials.FromFile(write(t, binary))
		require.NoError(t, err)
		issued, err := credentials.New(binary).Issue(roleARN, "function", expires)
		require.NoError(t, err)

		_, _, err = authority.Recognize(issued.AccessKeyID, issued.SessionToken, now)

		assert.NoError(t, err)
	})
	t.Run("a key that is too short is refused", func(t *testing.T) {
		_, err := credentials.FromFile(write(t, []byte("short")))

		assert.ErrorContains(t, err, "at least 32")
	})
	t.Run("a file that is not there is named", func(t *testing.T) {
		_, err := credentials.FromFile(filepath.Join(t.TempDir(), "absent"))

		assert.ErrorIs(t, err, os.ErrNotExist)
	})
}

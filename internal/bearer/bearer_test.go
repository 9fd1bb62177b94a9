package bearer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/bearer"
)

func TestATokenIsReadableOnlyByReveal(t *testing.T) {
	const secret = "k8s-aws-v1.c2VjcmV0"
	token := bearer.New(secret)
	type holder struct {
		Public  bearer.Token
		private bearer.Token
		pointer *bearer.Token
	}
	held := holder{Public: token, private: token, pointer: &token}

	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("token", "token", token, "held", held)
	marshalled, err := json.Marshal(held)
	require.NoError(t, err)

	printed := map[string]string{
		"slog": logged.String(), "json": string(marshalled), "Sprint": fmt.Sprint(token, held), "error": fmt.Errorf("%v %w", held, fmt.Errorf("%s", token)).Error(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		printed[verb] = fmt.Sprintf(verb, token) + fmt.Sprintf(verb, held) + fmt.Sprintf(verb, []bearer.Token{token})
	}
	for how, text := range printed {
		assert.NotContains(t, text, "k8s-aws-v1.", how)
		assert.NotContains(t, text, fmt.Sprintf("%x", secret), how)
	}
	assert.Equal(t, secret, token.Reveal())
	assert.Empty(t, bearer.Token{}.Reveal(), "the zero token is empty")
}

func TestATokenIsRedactedInWhatSomebodyElseWrote(t *testing.T) {
	const refusal = "403: Authorization: Bearer k8s-aws-v1.aHR0cHM6Ly9zdHM_-x\r\nand again k8s-aws-v1."
	assert.Equal(t, "403: Authorization: Bearer [REDACTED]\r\nand again [REDACTED]", bearer.Redact(refusal))
	assert.Equal(t, "no token", bearer.Redact("no token"))
	assert.Equal(t, []byte("403: Authorization: Bearer [REDACTED]\r\nand again [REDACTED]"), bearer.RedactBytes([]byte(refusal)))
	assert.Equal(t, []byte("no token"), bearer.RedactBytes([]byte("no token")))
}

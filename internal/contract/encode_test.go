package contract_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestWhatIsEncodedIsAsLongAsItWasWritten(t *testing.T) {
	const page = `{"page":"<p>a & b</p>"}`
	for sentence, value := range map[string]any{
		"a text":                 map[string]string{"page": "<p>a & b</p>"},
		"JSON that is passed on": json.RawMessage(page),
		"JSON inside that is passed on": struct {
			Page json.RawMessage `json:"page"`
		}{json.RawMessage(`"<p>a & b</p>"`)},
	} {
		t.Run(sentence, func(t *testing.T) {
			text, err := contract.Encode(value)
			require.NoError(t, err)
			assert.Equal(t, page, string(text), "no escapes, and no line break at the end")
		})
	}
}

func TestWhatIsNoJSONIsAnError(t *testing.T) {
	_, err := contract.Encode(math.NaN())
	assert.Error(t, err)
}

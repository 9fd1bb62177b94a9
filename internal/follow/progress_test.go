package follow

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFirstSentence(t *testing.T) {
	for name, test := range map[string]struct{ message, want string }{
		"one of several": {"The group may not list pods in shop. Apply the role.", "The group may not list pods in shop."},
		"one of a line":  {"It failed\nat line 3", "It failed"},
		"one that fits":  {"It failed (at line 3)", "It failed (at line 3)"},
		"without the parts in parentheses if it is long": {strings.Repeat("x", 100) + " (IAM principal " + strings.Repeat("y", 60) + ") list pods.", strings.Repeat("x", 100) + " list pods."},
		"without its middle if it is still long":         {strings.Repeat("x", 100) + strings.Repeat("é", 100), strings.Repeat("x", 80) + "…" + strings.Repeat("é", 79)},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, firstSentence(test.message)) })
	}
}

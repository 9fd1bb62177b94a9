package readiness

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentationNamesEveryKindThatIsReadByARuleOfItsOwn(t *testing.T) {
	page, err := os.ReadFile("../../docs/apply.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(page), "\n## Wait until all is ready\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(section, -1) {
		for _, kind := range strings.Split(strings.TrimSuffix(row[1], " of Argo"), ", ") {
			documented[kind] = true
		}
	}
	for key := range readers {
		kind := key[strings.LastIndex(key, "/")+1:]
		assert.True(t, documented[kind], kind)
	}
	for _, name := range decisive {
		assert.Contains(t, section, name)
	}
	assert.Contains(t, section, "until "+strings.TrimSuffix(observing.String(), "s")+" seconds after the first look")
}

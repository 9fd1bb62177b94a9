package documents_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/documents"
)

func TestManyDocumentsComeInTheirOrderWhicheverIsReadFirst(t *testing.T) {
	var text strings.Builder
	var want []string
	line := 1
	for i := 1; i <= 2000; i++ {
		body := fmt.Sprintf("a: %d\n", i)
		switch {
		case i%97 == 0: // it takes longest
			body = fmt.Sprintf("a: %d\nb: [%s1]\n", i, strings.Repeat("1,", 40<<10))
		case i%31 == 0:
			body = fmt.Sprintf("a: &x %d\nb: *x\n", i)
		case i%17 == 0:
			body = "a: [\n"
		case i%13 == 0:
			body = "# nothing\n"
		}
		_, _ = fmt.Fprint(&text, "---\n", body)
		switch {
		case i%97 != 0 && i%31 != 0 && i%17 == 0:
			want = append(want, fmt.Sprintf("%d is wrong", i))
		case i%97 == 0 || i%31 == 0 || i%13 != 0:
			want = append(want, fmt.Sprintf("%d in line %d", i, line+1))
		}
		line += 1 + strings.Count(body, "\n")
	}
	var got []string
	for document, err := range documents.All([]byte(text.String())) {
		if err != nil {
			var problem *documents.Problem
			require.ErrorAs(t, err, &problem)
			got = append(got, fmt.Sprintf("%d is wrong", problem.Number))
			continue
		}
		assert.True(t, strings.HasPrefix(string(document.JSON), fmt.Sprintf(`{"a":%d`, document.Number)), "%.20s", document.JSON)
		got = append(got, fmt.Sprintf("%d in line %d", document.Number, document.Line))
	}
	assert.Equal(t, want, got)
}

func TestReadingEndsWhereItsReaderDoes(t *testing.T) {
	count := 0
	for range documents.All([]byte(strings.Repeat("---\na: 1\n", 1000))) {
		if count++; count == 7 {
			break
		}
	}
	assert.Equal(t, 7, count)
}

func TestTheAliasesOfAllDocumentsTogetherAreBounded(t *testing.T) {
	// Each adds 2.5 MiB, which one document may.
	one := "---\na: &a " + strings.Repeat("x", 512<<10) + "\nb: [*a, *a, *a, *a, *a]\n"
	var read []int
	var problems []string
	for document, err := range documents.All([]byte(strings.Repeat(one, 6))) {
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		read = append(read, document.Number)
	}
	assert.Equal(t, []int{1, 2, 3}, read)
	assert.Equal(t, slices.Repeat([]string{"the aliases of the documents until here expand to more than 10485760 bytes"}, 3), problems)
}

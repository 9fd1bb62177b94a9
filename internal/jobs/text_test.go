package jobs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/bearer"
)

func TestEightBytesAtOnceAreAsPlainAsEachOfThem(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	plain := []byte("a line of some program that is plain")
	for place := range plain {
		for c := range 256 {
			text := bytes.Clone(plain)
			text[place] = byte(c)
			assert.Equal(t, eachPlain(text), isPlain(text), "%q", text)
		}
	}
	for range 10_000 {
		text := make([]byte, r.IntN(40))
		for i := range text {
			text[i] = []byte{'a', ' ', '~', '"', '\\', '\t', 0, 0x1f, 0x7f, 0x80, '!', '#', 0xff}[r.IntN(13)]
		}
		assert.Equal(t, eachPlain(text), isPlain(text), "%q", text)
	}
	assert.True(t, isPlain(nil))
}

func TestATokenIsInNoTextThatIsTaken(t *testing.T) {
	e := newEncoder(instance{pod: "p", container: "c"})
	e.add([]byte("t"), []byte("k8s-aws-v1.c2VjcmV0"))
	e.add([]byte("t"), []byte("beside \"quotes\": k8s-aws-v1.c2VjcmV0, and more"))
	e.add([]byte("t"), []byte("k8s-aws\x1b[0m-v1.c2VjcmV0"))
	e.add([]byte("t"), []byte("k8s-aws-"))
	e.add([]byte("t"), []byte("v1.c2VjcmV0 is another line"))
	text, lines := e.take(nil)
	assert.Equal(t, 5, lines)
	begin := `{"time":"t","pod":"p","container":"c","line":"`
	assert.Equal(t, begin+bearer.Redacted+`"}`+"\n"+begin+`beside \"quotes\": `+bearer.Redacted+`, and more"}`+"\n"+begin+bearer.Redacted+`"}`+"\n"+begin+`k8s-aws-"}`+"\n"+begin+`v1.c2VjcmV0 is another line"}`+"\n", string(text))
	text, lines = e.take(nil)
	assert.Empty(t, text)
	assert.Zero(t, lines)
}

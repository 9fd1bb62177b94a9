package pods

import (
	"bytes"
	"compress/gzip"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kubestep/kubestep/internal/bearer"
)

// lines are the pods of a page as gzipped NDJSON, each line a podinventory.Pod.
type lines struct {
	out  bytes.Buffer
	gzip *gzip.Writer
	line []byte
}

func newLines() *lines {
	l := &lines{}
	l.gzip = gzip.NewWriter(&l.out)
	return l
}

// add writes a line without allocating. Writing to memory does not fail, nor does
// quoting text that was decoded.
func (l *lines) add(namespace string, r row, healthy bool) {
	l.line = append(l.line[:0], `{"namespace":`...)
	l.line, _ = jsontext.AppendQuote(l.line, namespace)
	for _, c := range []struct {
		key    string
		column int
	}{{`,"name":`, name}, {`,"ready":`, ready}, {`,"status":`, status}, {`,"restarts":`, restarts}, {`,"age":`, age}, {`,"ip":`, ip}, {`,"node":`, node}} {
		l.line = append(l.line, c.key...)
		if c.column == restarts {
			l.line = strconv.AppendInt(l.line, int64(r.restarts()), 10)
			continue
		}
		l.line, _ = jsontext.AppendQuote(l.line, r.Cell(c.column))
	}
	if !healthy {
		l.line = append(l.line, `,"unhealthy":true`...)
	}
	// A server may quote the request that it answers, and with it the token.
	_, _ = l.gzip.Write(bearer.RedactBytes(append(l.line, "}\n"...)))
}

// close returns what was written.
func (l *lines) close() []byte {
	_ = l.gzip.Close()
	return l.out.Bytes()
}

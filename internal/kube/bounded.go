package kube

import (
	"io"
	"net/http"

	"github.com/kubestep/kubestep/internal/contract"
)

// What is read of an answer at most. The server is not ours: without a bound it,
// or whatever answers in its stead, decides how much memory a function takes.
const (
	// maxPage bounds an answer that is read as it arrives, by a client without
	// kinds: 5,000 rows of pods take 1.5 MB, and of names as long as can be 5 MB.
	maxPage = 16 << 20
	// maxObject bounds one that is read as a whole, by a client of kinds: an access
	// review takes 1 KB.
	maxObject = 1 << 20
	// maxRefusal is where the text of an answer that is no success is cut; its
	// status says what it is all the same.
	maxRefusal = 32 << 10
)

// bounded reads no more of an answer than it should, compressed or not: it stands
// on this side of net/http's own decompression.
type bounded struct {
	next http.RoundTripper
	most int64
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		answer.Body = body{io.LimitReader(answer.Body, maxRefusal), answer.Body}
	} else {
		answer.Body = body{&limited{answer.Body, b.most, b.most}, answer.Body}
	}
	return answer, nil
}

// WrappedRoundTripper lets apimachinery find the transport.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.next }

type body struct {
	io.Reader
	io.Closer
}

// limited is io.LimitReader, but for its end: an answer that was cut must not
// look like one that ended.
type limited struct {
	r          io.Reader
	most, left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, contract.Errorf(contract.ClusterUnreachable, "The API server's answer is larger than %d bytes, and no answer to what was asked is. See what stands at the cluster's endpoint", l.most)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

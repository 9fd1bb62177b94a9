package kube

import (
	"io"
	"net/http"

	"github.com/kubestep/kubestep/internal/contract"
)

// The most that is read of a response. The server is not ours: without a bound it,
// or whatever answers in its place, decides how much memory a function takes.
const (
	// maxStreamBytes bounds a response that is decoded as it arrives, by a client
	// without kinds: 10,000 rows of pods take 2 MB, and 10 MB if their names are as
	// long as possible.
	maxStreamBytes = 16 << 20
	// maxObjectBytes bounds one that is read whole, by a client of kinds: an access
	// review takes 1 KB.
	maxObjectBytes = 1 << 20
	// maxErrorBodyBytes truncates the body of a response that is not 2xx; its status
	// code still says what it is.
	maxErrorBodyBytes = 32 << 10
)

// bounded bounds what is read of a response, after net/http has decompressed it.
type bounded struct {
	next             http.RoundTripper
	maxResponseBytes int64
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		response.Body = body{io.LimitReader(response.Body, maxErrorBodyBytes), response.Body}
	} else {
		response.Body = body{&limited{response.Body, b.maxResponseBytes, b.maxResponseBytes}, response.Body}
	}
	return response, nil
}

// WrappedRoundTripper lets apimachinery find the transport.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.next }

type body struct {
	io.Reader
	io.Closer
}

// limited is io.LimitReader, except that it fails at the limit: a response that was
// cut must not look like one that ended.
type limited struct {
	r         io.Reader
	max, left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, contract.Errorf(contract.ClusterUnreachable, "The response is larger than %d bytes, which no response of an API server is. Check what answers at the cluster's endpoint", l.max)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

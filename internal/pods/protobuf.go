package pods

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// acceptProtobuf asks for pods as the API server stores them. It is the smallest
// that says which namespace a pod is of: a table does so in the object's metadata
// only, which is six times the size in JSON.
const acceptProtobuf = "application/vnd.kubernetes.protobuf"

// magic begins what Kubernetes encodes in protobuf: an Unknown, which holds the object.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
const magic = "k8s\x00"

// maxPod bounds a pod: etcd takes no request beyond 1.5 MiB, the API server none
// beyond 3 MiB.
const maxPod = 4 << 20

// Fields, of https://github.com/kubernetes/apimachinery/blob/v0.37.2/pkg/runtime/generated.proto
// and pkg/apis/meta/v1/generated.proto.
const (
	unknownRaw       = 2
	listMetadata     = 1
	listItems        = 2
	metadataContinue = 3
)

// list reads a PodList as it arrives. It holds one pod at a time, and of that
// takes no more than is printed: to decode all of it would take core/v1, 3 MB of
// a function's binary, and as much memory as a page.
type list struct {
	r    *bufio.Reader
	pod  object
	item []byte
}

// decodeList hands over the pods of a list, and returns the continue token of the
// next page. A pod is good until add returns.
func decodeList(r io.Reader, add func(*object)) (next string, err error) {
	l := list{r: bufio.NewReaderSize(r, 64<<10)}
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(l.r, begin); err != nil {
		return "", unfinished(err)
	}
	if string(begin) != magic {
		return "", errors.New("the server's answer is not protobuf")
	}
	for {
		field, size, err := l.field()
		if errors.Is(err, io.EOF) {
			return "", errors.New("the server's answer holds no list")
		}
		if err != nil {
			return "", err
		}
		if field == unknownRaw {
			return l.items(size, add)
		}
		if _, err := l.r.Discard(size); err != nil {
			return "", unfinished(err)
		}
	}
}

// items reads the list itself, which has that size.
func (l *list) items(left int, add func(*object)) (next string, err error) {
	for left > 0 {
		field, size, err := l.field()
		if err != nil {
			return "", unfinished(err)
		}
		left -= protowire.SizeTag(field) + protowire.SizeBytes(size)
		if size > maxPod {
			return "", fmt.Errorf("the server's list has an item of %d bytes", size)
		}
		if cap(l.item) < size {
			l.item = make([]byte, size, 2*size)
		}
		l.item = l.item[:size]
		if _, err := io.ReadFull(l.r, l.item); err != nil {
			return "", unfinished(err)
		}
		switch field {
		case listMetadata:
			err = fields(l.item, func(number protowire.Number, value []byte, _ uint64) {
				if number == metadataContinue {
					next = string(value)
				}
			})
		case listItems:
			if err = l.pod.decode(l.item); err == nil {
				add(&l.pod)
			}
		}
		if err != nil {
			return "", err
		}
	}
	if left < 0 {
		return "", errors.New("the server's list is larger than it says")
	}
	return next, nil
}

// field reads which field follows, and its size.
func (l *list) field() (protowire.Number, int, error) {
	tag, err := binary.ReadUvarint(l.r)
	if err != nil {
		return 0, 0, err
	}
	number, kind := protowire.DecodeTag(tag)
	if kind != protowire.BytesType {
		return 0, 0, fmt.Errorf("the server's list has a field %d that is no message", number)
	}
	size, err := binary.ReadUvarint(l.r)
	if err != nil {
		return 0, 0, unfinished(err)
	}
	if size > 1<<40 {
		return 0, 0, fmt.Errorf("the server's list has a field of %d bytes", size)
	}
	return number, int(size), nil
}

// fields walks over the fields of a message: its strings and messages as value,
// its numbers as n.
func fields(message []byte, each func(number protowire.Number, value []byte, n uint64)) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		each(number, value, n)
		message = message[size:]
	}
	return nil
}

package list

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestNoPageIsRequestedAheadOnceTheAPIServerAsksForLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &schedule{end: time.Now().Add(time.Minute)}
		_, ok := s.ahead(firstPageRows, 10*lastPageRows, time.Second)
		assert.True(t, ok, "the first page of a long list")
		s.throttled = errors.New("429")
		_, ok = s.ahead(firstPageRows, 10*lastPageRows, time.Second)
		assert.False(t, ok, "the list of another namespace was refused meanwhile")
	})
}

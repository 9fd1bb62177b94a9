package batch

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestALedgerGoesOnWhereTheRoundBeforeStopped(t *testing.T) {
	for sentence, c := range map[string]struct {
		earlier string
		want    Ledger
	}{
		"in the first round, in which nothing is done": {"", Ledger("...")},
		"in a later one":                     {"cU.", Ledger("cU.")},
		"with objects that have no letter":   {"c", Ledger("c..")},
		"without what is beyond its objects": {"cU.m", Ledger("cU.")},
	} {
		t.Run(sentence, func(t *testing.T) {
			assert.Equal(t, c.want, NewLedger(c.earlier, 3))
		})
	}
}

func TestALedgerCountsWhatIsLeftChangedAndDone(t *testing.T) {
	l := NewLedger("cCumh.", 6)
	assert.Equal(t, 2, l.Count(IsLeft), "what is pending, and what is half done")
	assert.Equal(t, 2, l.Count(IsChanged), "what is done, and what is half done")
	assert.Equal(t, 1, l.Count(IsDone))
	assert.Equal(t, 2, l.Count(Is('c')), "done or not")
	assert.Equal(t, 3, l.Count(Is('c', 'u')))
	assert.True(t, l.Has(IsLeft))
	assert.False(t, NewLedger("cCum", 4).Has(IsLeft))
	assert.Equal(t, byte('c'), Small(Capital('c')))
}

package persist_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/edgemem/edgemem/persist"
)

// TestCalm: a store that is opened rests, and twice after a burst of commits, however many those were. Nothing is told while they come.
func TestCalm(t *testing.T) {
	t.Parallel()
	told := make(chan struct{}, 100)
	config := persist.WithCalm(persist.Config{
		Dir: filepath.Join(t.TempDir(), "store"), Calm: func() { told <- struct{}{} },
	}, time.Millisecond, time.Millisecond, time.Millisecond)
	s := openStore(t, config)
	<-told
	for i := range 5 {
		check(t, s.Commit(sampleBatch(i, 10)))
	}
	for range 2 {
		<-told
	}
	if n := count(t, s); n != 50 {
		t.Errorf("%d records, want 50", n)
	}
}

// TestCalmIsRare: memory is not given back and fetched again all the time.
func TestCalmIsRare(t *testing.T) {
	t.Parallel()
	told := make(chan struct{}, 100)
	config := persist.WithCalm(persist.Config{
		Dir: filepath.Join(t.TempDir(), "store"), Calm: func() { told <- struct{}{} },
	}, time.Millisecond, time.Millisecond, time.Hour)
	s, err := persist.Open(config)
	check(t, err)
	<-told
	check(t, s.Commit(sampleBatch(1, 10)))
	check(t, s.Close())
	if len(told) > 1 { // the first rest may have been after the commit that a new store makes, and then there is a second
		t.Errorf("it rested %d times more", len(told))
	}
}

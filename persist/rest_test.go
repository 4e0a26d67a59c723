package persist_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// TestCompactorsRest: on a device they run when there is something to compact, and only then.
func TestCompactorsRest(t *testing.T) {
	t.Parallel()
	looks := make(chan time.Time)
	config := crashConfig(t.TempDir()) // memtables of 1 MiB
	const batches = 120                // nine memtables
	s, err := persist.Open(persist.WithLooks(config, looks))
	check(t, err)
	if !calm(s, looks) {
		t.Error("compactors of a new store do not rest")
	}

	// Level 0 takes few tables: with compactors that rest, commits would wait for ever.
	written := make(chan error, 1)
	go func() {
		var err error
		for b := 0; b < batches && err == nil; b++ {
			err = s.Commit(wideBatch(b))
		}
		written <- err
	}()
	for done := false; !done; {
		select {
		case looks <- time.Time{}:
		case err := <-written:
			check(t, err)
			done = true
		}
	}
	if !comesToRest(s, looks) {
		t.Error("compactors do not rest although nothing is left to compact")
	}

	_, err = s.Checkpoint(context.Background()) // starts them
	check(t, err)
	if s.Resting() {
		t.Error("compactors rest after a checkpoint, which may leave work for them")
	}
	if !comesToRest(s, looks) {
		t.Error("compactors do not rest after a checkpoint")
	}
	check(t, s.Close())

	s, err = persist.Open(config)
	check(t, err)
	n := 0
	check(t, s.Load(func(_, _ []byte) error { n++; return nil }))
	if n != batches*wideRecords {
		t.Errorf("%d records came back, want %d", n, batches*wideRecords)
	}
	check(t, s.Close())
}

const wideRecords = 50

// wideBatch has 80 kB, less than a transaction takes.
func wideBatch(b int) []crdt.Record {
	recs := make([]crdt.Record, wideRecords)
	for i := range recs {
		recs[i] = crdt.Record{Key: fmt.Appendf(nil, "%08d", b*wideRecords+i), Value: make([]byte, 1600)}
	}
	return recs
}

// calm looks until the store has found that there is nothing to do, and tells whether its compactors rest then. It takes the last look only
// after it has let them rest.
func calm(s *persist.Store, looks chan<- time.Time) bool {
	for range persist.CalmLooks {
		s.Stir()
		looks <- time.Time{}
	}
	s.Stir()
	looks <- time.Time{}
	return s.Resting()
}

// comesToRest looks until the compactors rest. What was committed comes to tables in the background, and may stir them again a few times.
func comesToRest(s *persist.Store, looks chan<- time.Time) bool {
	for range 50 {
		for s.Behind() {
			s.Stir()
			looks <- time.Time{}
		}
		if calm(s, looks) {
			return true
		}
	}
	return false
}

// TestStartOnlyReads: until what there is was loaded, or a commit waits for room in the journal, nothing is tidied up.
func TestStartOnlyReads(t *testing.T) {
	t.Parallel()
	for _, profile := range []persist.Profile{persist.ProfileDevice, persist.ProfileServer} {
		config := damageConfig(filepath.Join(t.TempDir(), "store"))
		config.Profile, config.JournalBytes = profile, 64<<10
		s := openStore(t, config)
		if !s.Resting() {
			t.Errorf("%s: compactors run before anything was read", profile)
		}
		if n := count(t, s); n != 0 || s.Resting() {
			t.Errorf("%s: %d records; compactors rest after they were read: %v", profile, n, s.Resting())
		}
		config.Dir = filepath.Join(t.TempDir(), "other")
		s = openStore(t, config)
		for i := range 40 { // several segments
			check(t, s.Commit(one(fmt.Sprintf("%06d", i), strings.Repeat("v", 10_000))))
		}
		if s.Resting() {
			t.Errorf("%s: commits that were never read wait for room, and nobody makes any", profile)
		}
		config.Dir = filepath.Join(t.TempDir(), "third")
		s = openStore(t, config)
		if check(t, s.CommitPrivate(one("promise", "v"))); s.Resting() {
			t.Errorf("%s: what goes past the journal fills tables that nobody compacts", profile)
		}
	}
}

package persist_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// TestCheckpointGivesBack overwrites a few keys many times and removes them: the disk is empty after a checkpoint, and what lives is still
// there, also for a process that was killed just after.
func TestCheckpointGivesBack(t *testing.T) {
	t.Parallel()
	for _, profile := range []persist.Profile{persist.ProfileDevice, persist.ProfileServer} {
		config := persist.Config{Dir: filepath.Join(t.TempDir(), "store"), Profile: profile, MinFreeBytes: 256 << 20}
		s := openStore(t, config)
		check(t, s.Commit(one("stays", "here")))
		for round := range 200 {
			recs := make([]crdt.Record, 1000)
			for i := range recs {
				recs[i] = crdt.Record{Key: fmt.Appendf(nil, "k%03d", i), Value: fmt.Appendf(nil, "%0100d", round)}
				if i%100 == 0 {
					recs[i].Value = make([]byte, 5000) // in the value log
				}
			}
			check(t, s.Commit(recs))
		}
		recs := make([]crdt.Record, 1000)
		for i := range recs {
			recs[i].Key = fmt.Appendf(nil, "k%03d", i)
		}
		check(t, s.Commit(recs))
		c, err := s.Checkpoint(t.Context())
		check(t, err)
		t.Logf("%s: %d → %d bytes: %+v", profile, c.Before.Total(), c.After.Total(), c)
		// The value log's newest file is never collected.
		if c.After.Tables+c.After.Logs > 1<<20 || profile == persist.ProfileDevice && c.After.Total() > 8<<20 {
			t.Errorf("%s: %d bytes are left", profile, c.After.Total())
		}
		config.Dir = snapshot(t, config.Dir)
		after := openStore(t, config)
		if n := count(t, after); n != 1 {
			t.Errorf("%s: %d records, want 1", profile, n)
		}
		check(t, after.Commit(one("goes", "on")))
		if ours, badgers := after.Numbers(); ours != badgers {
			t.Errorf("%s: %d commits, Badger counts %d", profile, ours, badgers)
		}
	}
}

// TestCheckpointBesideCommits runs both at once.
func TestCheckpointBesideCommits(t *testing.T) {
	t.Parallel()
	config := damageConfig(filepath.Join(t.TempDir(), "encrypted"))
	s := openStore(t, config)
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < 300 && err == nil; i++ {
			err = s.Commit(one(fmt.Sprintf("k%03d", i), valueOf(fmt.Sprintf("k%03d", i))))
		}
		done <- err
	}()
	for range 10 {
		_, err := s.Checkpoint(t.Context())
		check(t, err)
	}
	check(t, <-done)
	config.Dir = snapshot(t, config.Dir)
	if n := count(t, openStore(t, config)); n != 300 {
		t.Errorf("%d records, want 300", n)
	}
}

// TestFailedCheckpointIsTheLast: Badger's sync failed in a checkpoint that had nothing to drain. Nothing is acknowledged from then on.
func TestFailedCheckpointIsTheLast(t *testing.T) {
	t.Parallel()
	s := openStore(t, persist.Config{Dir: t.TempDir()})
	check(t, s.Commit(one("a", "1")))
	check(t, persist.Drain(s))
	s.LogAsBadger("Error while curlf sync: %v\n", syscall.EIO)
	if _, err := s.Checkpoint(t.Context()); !errors.Is(err, persist.ErrFailed) {
		t.Errorf("checkpoint: %v, want ErrFailed", err)
	}
	if err := s.Commit(one("b", "2")); !errors.Is(err, persist.ErrFailed) {
		t.Errorf("commit: %v, want ErrFailed", err)
	}
}

// TestLogsAreEmptiedOnSchedule overwrites one key often on a server, whose memtable would not be full for long.
func TestLogsAreEmptiedOnSchedule(t *testing.T) {
	t.Parallel()
	ticks := make(chan time.Time)
	s := openStore(t, persist.WithTicks(persist.Config{Dir: filepath.Join(t.TempDir(), "store"), Profile: persist.ProfileServer, JournalBytes: 32 << 20}, ticks))
	for i := range 80 {
		check(t, s.Commit(one("k", strings.Repeat(fmt.Sprint(i%10), 3000))))
		check(t, s.Commit(sampleBatch(i%3, 500)))
	}
	before, err := s.Stats()
	check(t, err)
	ticks <- time.Now()
	ticks <- time.Now() // taken when the first is done
	after, err := s.Stats()
	check(t, err)
	if before.JournalBytes < 5<<20 || after.LogBytes+after.JournalBytes > 1<<20 {
		t.Errorf("logs of %d bytes became %d", before.JournalBytes, after.LogBytes+after.JournalBytes)
	}
	if st, err := s.Stats(); err != nil || st.Failed != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

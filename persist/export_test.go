package persist

import (
	"os"
	"path/filepath"
	"time"
)

// WithTicks makes a store reclaim when ticks says so.
func WithTicks(c Config, ticks <-chan time.Time) Config {
	c.ticks = ticks
	return c
}

// LogAsBadger logs an error as Badger would.
func (s *Store) LogAsBadger(format string, args ...any) { s.badger.Errorf(format, args...) }

// Numbers gives the number of the last commit, and Badger's idea of it.
func (s *Store) Numbers() (ours, badgers uint64) { return s.commits, s.db.MaxVersion() }

// InterruptRedo makes a batch durable and stops before it is copied to its place, or even before it counts.
func (s *Store) InterruptRedo(pairs []Pair, counts bool) error {
	parts := split(pairs)
	last := len(parts) - 1
	for i, part := range parts[:last] {
		if err := s.write([]pair{sealRedo(partKey(i), part)}); err != nil {
			return err
		}
	}
	if !counts {
		return nil
	}
	return s.write([]pair{sealRedo(redoKey, parts[last])})
}

type Pair = pair

var SealAll = sealAll

// SplitWAL cuts the only .mem file of a store in two at a commit, as if its memtable had been full there.
func SplitWAL(dir string, from uint64) error {
	sub := filepath.Join(dir, badgerDirName)
	files, err := list(sub)
	if err != nil {
		return err
	}
	path := filepath.Join(sub, walName(files.wals[0]))
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := int64(0)
	_, err = scanLog(path, keyring{}, func(e storedEntry) error {
		if at == 0 && e.commit() == from {
			at = e.offset
		}
		return nil
	})
	if err != nil {
		return err
	}
	second := append(append([]byte(nil), data[:logHeadBytes]...), data[at:]...)
	if err := os.WriteFile(filepath.Join(sub, walName(files.wals[0]+1)), second, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, at)
}

// WithFree makes a store believe what free says of its disk.
func WithFree(c Config, free func(dir string) (int64, error)) Config {
	c.free = free
	return c
}

var NarrowTableBytes = narrowTableBytes

// WithLooks makes a store look for what is to be compacted when looks says so.
func WithLooks(c Config, looks <-chan time.Time) Config {
	c.looks = looks
	return c
}

// Resting tells whether Badger's compactors rest.
func (s *Store) Resting() bool {
	s.compaction.mu.Lock()
	defer s.compaction.mu.Unlock()
	return s.compaction.resting
}

// Stir makes a store look.
func (s *Store) Stir() { s.compaction.stir() }

// Behind tells whether they would find work.
func (s *Store) Behind() bool { return s.compaction.behind() }

const CalmLooks = calmLooks

var ProbeMaps = probeMaps

// WithCalm makes a store rest after no commit has come for so long, twice, and no more often than every so often.
func WithCalm(c Config, after, settled, every time.Duration) Config {
	c.calmAfter, c.settledAfter, c.calmEvery = after, settled, every
	return c
}

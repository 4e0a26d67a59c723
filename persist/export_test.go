package persist

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// WithTicks makes a store reclaim when ticks says so.
func WithTicks(c Config, ticks <-chan time.Time) Config {
	c.ticks = ticks
	return c
}

// LogAsBadger logs an error as Badger would.
func (s *Store) LogAsBadger(format string, args ...any) { s.badger.Errorf(format, args...) }

// Numbers gives the number of the last commit, and Badger's idea of it.
func (s *Store) Numbers() (ours, badgers uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits, s.db.MaxVersion()
}

// InterruptRedo makes a batch durable and stops before it is copied to its place, or even before it counts.
func (s *Store) InterruptRedo(pairs []Pair, counts bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// Drain waits until all is in Badger.
func Drain(s *Store) error {
	_, err := s.drainAll()
	return err
}

// SplitWAL cuts the only .mem file of a store in two at a transaction, as if its memtable had been full there, and gives its number.
func SplitWAL(dir string) (from uint64, err error) {
	sub := filepath.Join(dir, badgerDirName)
	files, err := list(sub)
	if err != nil {
		return 0, err
	}
	path := filepath.Join(sub, walName(files.wals[0]))
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	at := int64(0)
	var first, last uint64
	_, err = scanLog(path, keyring{}, func(e storedEntry) error {
		if first == 0 {
			first = e.commit()
		}
		if e.commit() != last && e.commit() >= first+2 && from == 0 {
			at, from = e.offset, e.commit()
		}
		last = e.commit()
		return nil
	})
	if err != nil {
		return 0, err
	}
	second := append(append([]byte(nil), data[:logHeadBytes]...), data[at:]...)
	if err := os.WriteFile(filepath.Join(sub, walName(files.wals[0]+1)), second, 0o600); err != nil {
		return 0, err
	}
	return from, os.Truncate(path, at)
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

// What wrote large batches before there was a journal.

func sealRedo(key []byte, pairs []pair) pair {
	return pair{key, seal(nil, key, nil, encodeRedo(pairs))}
}

// Limits of one part: small enough for one value log file.
const (
	partBytes   = 4 << 20
	partRecords = 16384
)

// split cuts a batch into parts, at least one.
func split(pairs []pair) (parts [][]pair) {
	for from := 0; from < len(pairs); {
		to, size := from, 0
		for to < len(pairs) && to-from < partRecords && (to == from || size+len(pairs[to].key)+len(pairs[to].value) <= partBytes) {
			size += len(pairs[to].key) + len(pairs[to].value)
			to++
		}
		parts = append(parts, pairs[from:to])
		from = to
	}
	return parts
}

// encodeRedo: per pair uvarint key length, key, uvarint value length + 1 (0: delete), value.
func encodeRedo(pairs []pair) []byte {
	need := 0
	for _, p := range pairs {
		need += len(p.key) + len(p.value) + 2*binary.MaxVarintLen32
	}
	b := make([]byte, 0, need)
	for _, p := range pairs {
		b = append(binary.AppendUvarint(b, uint64(len(p.key))), p.key...)
		if p.value == nil {
			b = append(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(p.value))+1), p.value...)
	}
	return b
}

// HoldBadger keeps anything from being written to Badger until release is called.
func HoldBadger(s *Store) (release func()) {
	s.mu.Lock()
	return s.mu.Unlock
}

// DrainAgain is what the drain does after a while.
func DrainAgain(s *Store) error {
	s.reading.Lock()
	s.stuck = nil
	s.reading.Unlock()
	return Drain(s)
}

// MakeOld closes a store as one from before there was a journal. All must be drained.
func MakeOld(s *Store) error {
	s.mu.Lock()
	err := s.write([]pair{{key: drainedKey}})
	s.mu.Unlock()
	dir, id, format := s.dir, s.id, map[int]int{formatPlain: formatBadger, formatEncrypted: formatBadgerEncrypted}[s.format]
	if err == nil {
		s.drainedTo = 0
		err = s.noteMark(func(m *mark) { m.journal = 0 }, true)
	}
	if err = errors.Join(err, s.Close(), os.RemoveAll(journalPath(dir))); err != nil {
		return err
	}
	return replaceFile(dir, versionFileName, []byte(identityText(format, id)))
}

// ScanSegment gives the keys of the pairs in a segment of the plain store in dir.
func ScanSegment(file, dir string) (keys []string, err error) {
	id, _, err := identityOf(dir, nil)
	if err != nil {
		return nil, err
	}
	s, err := scanSegment(file, id, 1, keyring{}, func(_ uint64, p pair, _ place) error {
		keys = append(keys, string(p.key[1:]))
		return nil
	})
	return keys, errors.Join(err, s.bad)
}

// sealAll lays all pairs into one allocation.
func sealAll(recs []crdt.Record) []pair {
	need := 0
	for _, r := range recs {
		need += 2*len(r.Key) + len(r.Value) + envelopeOverhead + binary.MaxVarintLen64 + 64
	}
	buf := make([]byte, 0, need)
	pairs := make([]pair, len(recs))
	for i, r := range recs {
		start := len(buf)
		buf = storedKey(buf, r.Key)
		key := buf[start:len(buf):len(buf)]
		pairs[i].key = key
		if r.Value == nil {
			continue
		}
		var long []byte
		if isLongKey(key) {
			long = r.Key
		}
		start = len(buf)
		buf = seal(buf, key, long, r.Value)
		pairs[i].value = buf[start:len(buf):len(buf)]
	}
	return pairs
}

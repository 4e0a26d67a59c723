package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"github.com/edgemem/edgemem/crdt"
)

// pair is what Badger stores: a stored key and a sealed value, nil to delete.
type pair struct{ key, value []byte }

// entryOverhead is more than Badger adds to key and value when it measures a transaction.
const entryOverhead = 24

// batchReserve is what the store adds to every transaction: the counter, and Badger's end mark.
const batchReserve = 256

// Commit makes all of recs durable, or none. A nil Value deletes its key, deleted or not; of two records
// with one key the later counts. It returns after fsync. recs is not kept.
//
// A batch may have any size; one beyond a transaction is written twice (see redo.go).
//
// Errors: ErrFull leaves the store as it was. After any other error the store is failed: every
// further Commit gives ErrFailed, and only opening the store again tells whether recs are there.
func (s *Store) Commit(recs []crdt.Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(sealAll(recs))
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

// CommitRemoves is Commit for a batch that holds removes, of which those who wrote it keep what they leave: half of the reserve is for such. A
// full disk is emptied by them.
func (s *Store) CommitRemoves(recs []crdt.Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	pairs := sealAll(recs)
	return s.commitAbove(s.config.MinFreeBytes/2+copies(pairs), pairs)
}

// commit is called with mu held.
func (s *Store) commit(pairs []pair) error { return s.commitAbove(s.floor(pairs), pairs) }

// commitAbove commits if so many bytes are free. The caller holds mu.
func (s *Store) commitAbove(need int64, pairs []pair) error {
	if s.failed != nil {
		return s.failedError()
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := s.checkSpace(need); err != nil {
		s.counts.Refused++
		return err
	}
	start := time.Now()
	err := s.writeAny(pairs)
	if err == nil {
		err = s.dirSync.sync(s.sub)
	}
	if err != nil {
		return s.fail(err)
	}
	s.renewReader()
	s.count(pairs, time.Since(start))
	s.stir()
	if s.config.Profile == ProfileDevice {
		size := 0
		for _, p := range pairs {
			size += len(p.value)
		}
		s.touch(touchedPerWrite * int64(size))
	}
	if err := s.putMark(false, false); err != nil {
		s.log.Warn("persist: the mark lags behind", "commit", s.commits, "err", err)
	}
	return nil
}

// floor is what must be free for a batch: those that only delete go further than others.
func (s *Store) floor(pairs []pair) int64 {
	need := s.config.MinFreeBytes / 2
	for _, p := range pairs {
		if p.value != nil {
			need = s.config.MinFreeBytes
		}
	}
	return need + copies(pairs)
}

// copies is what a large batch takes beyond the reserve: it is written twice, and more while tables are compacted.
func copies(pairs []pair) (bytes int64) {
	for _, p := range pairs {
		bytes += int64(len(p.key) + len(p.value))
	}
	if bytes <= partBytes {
		return 0
	}
	return 3 * bytes
}

func (s *Store) writeAny(pairs []pair) error {
	if chunkLen(pairs, s.db.MaxBatchSize(), s.db.MaxBatchCount(), s.config.ValueThresholdBytes) == len(pairs) {
		return s.write(pairs)
	}
	return s.writeLarge(pairs)
}

// write makes one Badger transaction, which carries the next commit number.
func (s *Store) write(pairs []pair) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("transaction: Badger gave up: %v", r)
		}
	}()
	s.compaction.stir() // before the commit, which may wait for compactors
	next := s.commits + 1
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, p := range pairs {
		if err := set(txn, p); err != nil {
			return err
		}
	}
	counter := seal(nil, counterKey, nil, binary.BigEndian.AppendUint64(nil, next))
	if err := txn.Set(counterKey, counter); err != nil {
		return err
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	if err := s.badger.failure(); err != nil {
		return err
	}
	s.commits = next
	return nil
}

func set(txn *badger.Txn, p pair) error {
	if p.value == nil {
		return txn.Delete(p.key)
	}
	return txn.Set(p.key, p.value)
}

// fail closes the store for commits. After a failed fsync the kernel may have dropped what it could not write
// and report success next time, so that no later success can be believed.
func (s *Store) fail(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	s.failed = err
	s.log.Error("persist: store failed; open it again", "dir", s.dir, "commit", s.commits+1, "err", err)
	return s.failedError()
}

func (s *Store) failedError() error {
	return fmt.Errorf("%w: %s: %w", ErrFailed, s.dir, s.failed)
}

func (s *Store) count(pairs []pair, took time.Duration) {
	s.counts.Commits++
	s.counts.Records += uint64(len(pairs))
	for _, p := range pairs {
		s.counts.SyncedBytes += uint64(len(p.key) + len(p.value))
	}
	s.counts.LastCommit = took
	s.counts.LongestCommit = max(s.counts.LongestCommit, took)
}

// chunkLen is how many of pairs fit in one transaction. Values in the value log count as their pointer.
func chunkLen(pairs []pair, maxBytes, maxCount, threshold int64) int {
	size := int64(batchReserve)
	for i, p := range pairs {
		size += int64(len(p.key)) + entryOverhead
		if n := int64(len(p.value)); n < threshold {
			size += n
		}
		if size >= maxBytes || int64(i)+4 >= maxCount {
			return i
		}
	}
	return len(pairs)
}

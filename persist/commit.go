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
// with one key the later counts. It returns after fsync. recs is not kept. A batch may have up to 2 GiB less Config.JournalBytes.
//
// Errors: ErrFull leaves the store as it was. After any other error the store is failed: every
// further Commit gives ErrFailed, and only opening the store again tells whether recs are there.
func (s *Store) Commit(recs []crdt.Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.commitAbove(s.floor(recs), recs)
}

// CommitRemoves is Commit for a batch that holds removes, of which those who wrote it keep what they leave: half of the reserve is for such. A
// full disk is emptied by them.
func (s *Store) CommitRemoves(recs []crdt.Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.commitAbove(s.config.MinFreeBytes/2+copies(recs), recs)
}

// commitAbove commits to the journal if so many bytes are free.
func (s *Store) commitAbove(need int64, recs []crdt.Record) error {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	if failed := s.failure(); failed != nil || len(recs) == 0 {
		return failed
	}
	start := time.Now()
	err := s.checkSpace(need)
	if err == nil {
		err = s.append(recs)
	}
	if err != nil {
		s.countRefused(err)
		return err
	}
	s.show()
	s.count(recs, time.Since(start))
	s.stir()
	commit := s.journal.commits
	if err := s.noteMark(func(m *mark) { m.journal = commit }, false); err != nil {
		s.log.Warn("persist: the mark lags behind", "commit", commit, "err", err)
	}
	return nil
}

// commitDirectly commits to Badger, past the journal, what is never in that.
func (s *Store) commitDirectly(need int64, pairs []pair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writeDirectly(need, pairs); err != nil {
		return err
	}
	s.stir()
	if err := s.putMark(false, false); err != nil {
		s.log.Warn("persist: the mark lags behind", "err", err)
	}
	return nil
}

// writeDirectly writes to Badger, and lets readers see it. The caller holds mu.
func (s *Store) writeDirectly(need int64, pairs []pair) error {
	err := s.writeChunks(pairs, need)
	switch {
	case err == nil:
		s.renewReader()
	case errors.Is(err, ErrFull):
		s.countRefused(err)
	case !errors.Is(err, ErrFailed) && !errors.Is(err, ErrClosed):
		return s.fail(err)
	}
	return err
}

// floor is what must be free for a batch: those that only delete go further than others.
func (s *Store) floor(recs []crdt.Record) int64 {
	need := s.config.MinFreeBytes / 2
	for _, r := range recs {
		if r.Value != nil {
			need = s.config.MinFreeBytes
		}
	}
	return need + copies(recs)
}

// copies is what a large batch takes beyond the reserve: it is written to the journal and then to Badger, and more while tables are compacted.
func copies(recs []crdt.Record) int64 {
	bytes := sizeOf(recs)
	if bytes <= largeBytes {
		return 0
	}
	return 3 * bytes
}

// write makes one Badger transaction, which carries the next of Badger's numbers.
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
	s.counting.Lock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %s: %w", ErrFailed, s.dir, err)
		s.log.Error("persist: store failed; open it again", "dir", s.dir, "err", err)
	}
	failed := s.failed
	s.counting.Unlock()
	s.wakeWaiters()
	return failed
}

// failure is nil until the store has failed.
func (s *Store) failure() error {
	s.counting.Lock()
	defer s.counting.Unlock()
	return s.failed
}

func (s *Store) countRefused(err error) {
	if !errors.Is(err, ErrFull) {
		return
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	s.counts.Refused++
}

func sizeOf(recs []crdt.Record) (bytes int64) {
	for _, r := range recs {
		bytes += int64(len(r.Key) + len(r.Value))
	}
	return bytes
}

func (s *Store) count(recs []crdt.Record, took time.Duration) {
	s.counting.Lock()
	defer s.counting.Unlock()
	s.counts.Commits++
	s.counts.Records += uint64(len(recs))
	s.counts.SyncedBytes += uint64(sizeOf(recs))
	s.counts.LastCommit = took
	s.counts.LongestCommit = max(s.counts.LongestCommit, took)
}

// largeBytes: what a batch has up to this the reserve covers.
const largeBytes = 4 << 20

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

package persist

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// Single records are read as of the last commit that has ended, by a transaction that all readers share: one of their own would wait
// for the commit under way.

// touchedPerRead is about how many bytes of mapped files one read makes resident, beside the value: a page of a table's index and one of a
// block. After trimEveryBytes they go back to the kernel, or the whole store would count as resident in the end.
const (
	touchedPerRead = 8 << 10
	trimEveryBytes = 8 << 20
	// touchedPerWrite: a record that is committed is compacted some times.
	touchedPerWrite = 4
)

// Value gives the record under a key, nil if there is none, as of the last commit that has ended. The caller may keep it. Errors:
// ErrDamaged names the key, ErrVersion, ErrClosed.
func (s *Store) Value(key []byte) (value []byte, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	defer func() {
		if r := recover(); r != nil {
			err = &DamageError{Path: s.sub, Key: bytes.Clone(key), Detail: fmt.Sprintf("Badger gave up: %v", r)}
		}
	}()
	stored := storedKey(nil, key)
	sealed, removed, err := s.stored(stored)
	if errors.Is(err, syscall.EIO) { // once is no damage yet
		sealed, removed, err = s.stored(stored)
	}
	if removed {
		return nil, nil
	}
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err == nil && len(sealed) == 0 {
		err = errValueGone
	}
	if err == nil {
		_, value, err = unseal(stored, sealed)
	}
	if why := momentary(err); why != nil { // and not err, which may say damage
		return nil, fmt.Errorf("persist: %s: record %q cannot be read for the moment: %w", s.sub, abbreviate(key), why)
	}
	if err != nil && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrDamaged) {
		err = &DamageError{Path: s.sub, Key: bytes.Clone(key), Detail: "record unreadable", Err: err}
	}
	s.touch(int64(touchedPerRead + len(sealed)))
	return value, err
}

// momentary gives the cause where a read failed for want of something that comes back: it says nothing of what is on disk.
func momentary(err error) error {
	for _, wants := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR, syscall.ETIMEDOUT} {
		if errors.Is(err, wants) {
			return wants
		}
	}
	return nil
}

// touch counts bytes of mapped files that became resident, and lets them go when they are many.
func (s *Store) touch(bytes int64) {
	if s.touched.Add(bytes) < trimEveryBytes {
		return
	}
	s.touched.Store(0)
	if s.paging.TryLock() {
		defer s.paging.Unlock()
		pageOut(s.sub)
	}
}

// PageOut gives back the resident pages of the store's files, where the system has a way: they come back from the disk when they are read.
func (s *Store) PageOut() {
	s.paging.Lock()
	defer s.paging.Unlock()
	pageOut(s.sub)
}

// stored reads a record as it is stored. removed: the journal says that it was.
func (s *Store) stored(stored []byte) (sealed []byte, removed bool, err error) {
	p, ok, err := s.journaled(stored)
	if ok {
		return p.value, err == nil && p.value == nil, err
	}
	sealed, err = s.fromBadger(stored)
	return sealed, false, err
}

func (s *Store) fromBadger(stored []byte) ([]byte, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	item, err := s.reader.Get(stored)
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

// renewReader lets readers see the commit that has just ended. The caller holds mu, or nobody else has the store yet.
func (s *Store) renewReader() {
	next := s.db.NewTransaction(false)
	s.reading.Lock()
	last := s.reader
	s.reader = next
	s.reading.Unlock()
	if last != nil {
		last.Discard()
	}
}

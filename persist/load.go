package persist

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Load calls fn with every record in ascending order of keys, as of one instant. key and value are valid during the
// call only; fn must not call the store. An error of fn ends Load and is returned as it is.
// Each record's checksum is verified: ErrDamaged names the first key that fails.
func (s *Store) Load(fn func(key, value []byte) error) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	txn, err := s.snapshot()
	if err != nil {
		return err
	}
	defer txn.Discard()
	defer s.trim()
	l := &loader{store: s, txn: txn, fn: fn}
	return l.run()
}

// snapshot never shows a batch that is half at its place: it waits for a commit under way, and refuses after a failed one.
func (s *Store) snapshot() (*badger.Txn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failedError()
	}
	return s.db.NewTransaction(false), nil
}

// loader walks one snapshot.
type loader struct {
	store *Store
	txn   *badger.Txn
	fn    func(key, value []byte) error

	group  []longKey // long keys that share their first bytes, not passed on yet
	prefix []byte    // what they share
	sealed []byte    // reused
}

// longKey is kept without its value: a group may be large.
type longKey struct{ key, stored []byte }

// callerError carries fn's error past the recovery from Badger's panics and past wrapping.
type callerError struct{ error }

func (l *loader) run() (err error) {
	caller := false // a panic of fn is not Badger's
	defer func() {
		if caller {
			return
		}
		if r := recover(); r != nil {
			err = damaged(l.store.sub, "", "Badger gave up: %v", r)
		}
	}()
	fn := l.fn
	l.fn = func(key, value []byte) error {
		caller = true
		err := fn(key, value)
		caller = false
		if err != nil {
			return callerError{err}
		}
		return nil
	}
	err = l.each()
	var own callerError
	if errors.As(err, &own) {
		return own.error
	}
	return err
}

func (l *loader) each() error {
	options := badger.DefaultIteratorOptions
	options.PrefetchValues = false // prefetching goroutines would be out of reach of recover
	options.Prefix = []byte{spaceRecord}
	it := l.txn.NewIterator(options)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := l.visit(it.Item()); err != nil {
			return err
		}
	}
	return l.flush()
}

func (l *loader) visit(item *badger.Item) error {
	stored := item.Key()
	if len(l.group) > 0 && !bytes.HasPrefix(stored, l.prefix) {
		if err := l.flush(); err != nil {
			return err
		}
	}
	key, value, err := l.open(item)
	if err != nil {
		return err
	}
	if !isLongKey(stored) {
		return l.fn(key, value)
	}
	l.prefix = append(l.prefix[:0], stored[:1+inlineKeyBytes]...)
	l.group = append(l.group, longKey{bytes.Clone(key), bytes.Clone(stored)})
	return nil
}

// errValueGone: Badger answers a value that it cannot read with none.
var errValueGone = errors.New("a .vlog file is missing, cut or damaged where its value is")

// open verifies a record.
func (l *loader) open(item *badger.Item) (key, value []byte, err error) {
	stored := item.Key()
	l.sealed, err = item.ValueCopy(l.sealed[:0])
	if err == nil && len(l.sealed) == 0 {
		err = errValueGone
	}
	if err == nil {
		key, value, err = unseal(stored, l.sealed)
	}
	if err != nil && !errors.Is(err, ErrVersion) {
		err = &DamageError{Path: l.store.sub, Key: bytes.Clone(stored[1:]), Detail: fmt.Sprintf("record of commit %d unreadable", item.Version()), Err: err}
	}
	return key, value, err
}

// flush passes a group of long keys on, in their true order.
func (l *loader) flush() error {
	slices.SortFunc(l.group, func(a, b longKey) int { return bytes.Compare(a.key, b.key) })
	for _, k := range l.group {
		item, err := l.txn.Get(k.stored)
		if err != nil {
			return &DamageError{Path: l.store.sub, Key: k.key, Detail: "unreadable", Err: err}
		}
		key, value, err := l.open(item)
		if err != nil {
			return err
		}
		if err := l.fn(key, value); err != nil {
			return err
		}
	}
	l.group = l.group[:0]
	return nil
}

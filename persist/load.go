package persist

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// Load calls fn with every record in ascending order of keys, as of one instant. key and value are valid during the
// call only; fn must not call the store. An error of fn ends Load and is returned as it is.
// Each record's checksum is verified: ErrDamaged names the first key that fails.
//
// Records are read and verified ahead of fn, beside it.
func (s *Store) Load(fn func(key, value []byte) error) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	defer s.goOn()
	defer s.trim()
	defer snap.close()
	return s.eachRecord(snap, fn)
}

// eachRecord calls fn with every record of a snapshot.
func (s *Store) eachRecord(snap *snapshot, fn func(key, value []byte) error) error {
	l := &loader{store: s, snap: snap, filled: make(chan *loaded, loadedAhead), spare: make(chan *loaded, loadedAhead+2), stop: make(chan struct{})}
	for range loadedAhead + 2 { // one is being filled, one emptied
		l.spare <- &loaded{}
	}
	var reading sync.WaitGroup
	reading.Go(l.run)
	defer reading.Wait()
	defer close(l.stop)
	for batch := range l.filled {
		if err := batch.each(fn); err != nil {
			return err
		}
		l.spare <- batch
	}
	return l.err
}

const (
	loadedBytes = 64 << 10 // in one batch, and one record more
	loadedAhead = 2        // batches that are read and wait
)

// loaded is a batch of records on its way to the caller.
type loaded struct {
	bytes   []byte
	lengths []int // of key and value in turn
}

func (b *loaded) add(key, value []byte) {
	b.bytes = append(append(b.bytes, key...), value...)
	b.lengths = append(b.lengths, len(key), len(value))
}

// each passes all on, and empties the batch.
func (b *loaded) each(fn func(key, value []byte) error) error {
	at := 0
	for i := 0; i < len(b.lengths); i += 2 {
		mid := at + b.lengths[i]
		end := mid + b.lengths[i+1]
		if err := fn(b.bytes[at:mid:mid], b.bytes[mid:end:end]); err != nil {
			return err
		}
		at = end
	}
	b.bytes, b.lengths = b.bytes[:0], b.lengths[:0]
	if cap(b.bytes) > 8*loadedBytes {
		b.bytes = nil // of a large record
	}
	return nil
}

// loader walks one snapshot.
type loader struct {
	store *Store
	snap  *snapshot

	filled, spare chan *loaded
	stop          chan struct{} // closed when the caller wants no more
	err           error         // set before filled is closed
	batch         *loaded

	group  []longKey // long keys that share their first bytes, not passed on yet
	prefix []byte    // what they share
	sealed []byte    // reused
}

// longKey is kept without its value: a group may be large.
type longKey struct {
	key, stored []byte
	over        *over // where it is, if in the journal
}

// errStopped: the caller wants no more.
var errStopped = errors.New("stopped")

// run is a goroutine of its own, so that a panic in it is Badger's.
func (l *loader) run() {
	defer close(l.filled)
	defer func() {
		if r := recover(); r != nil {
			l.err = damaged(l.store.sub, "", "Badger gave up: %v", r)
		}
	}()
	if l.err = l.next(); l.err != nil {
		return
	}
	l.err = l.each()
	if err := l.send(); l.err == nil { // what was sound before an error is passed on too
		l.err = err
	}
}

// next takes an empty batch.
func (l *loader) next() error {
	select {
	case l.batch = <-l.spare:
		return nil
	case <-l.stop:
		return errStopped
	}
}

func (l *loader) send() error {
	select {
	case l.filled <- l.batch:
		return nil
	case <-l.stop:
		return errStopped
	}
}

func (l *loader) pass(key, value []byte) error {
	l.batch.add(key, value)
	if len(l.batch.bytes) < loadedBytes {
		return nil
	}
	if err := l.send(); err != nil {
		return err
	}
	return l.next()
}

func (l *loader) each() error {
	if err := l.snap.each([]byte{spaceRecord}, l.visit); err != nil {
		return err
	}
	return l.flush()
}

// visit takes a record that is in Badger, or in the journal.
func (l *loader) visit(stored []byte, item *badger.Item, in *over) error {
	if len(l.group) > 0 && !bytes.HasPrefix(stored, l.prefix) {
		if err := l.flush(); err != nil {
			return err
		}
	}
	key, value, err := l.open(stored, item, in)
	if err != nil {
		return err
	}
	if !isLongKey(stored) {
		return l.pass(key, value)
	}
	l.prefix = append(l.prefix[:0], stored[:1+inlineKeyBytes]...)
	l.group = append(l.group, longKey{bytes.Clone(key), bytes.Clone(stored), in})
	return nil
}

// errValueGone: Badger answers a value that it cannot read with none.
var errValueGone = errors.New("a .vlog file is missing, cut or damaged where its value is")

// open verifies a record.
func (l *loader) open(stored []byte, item *badger.Item, in *over) (key, value []byte, err error) {
	if in != nil {
		var p pair
		if p, err = in.in.readKey(in.at, stored); err != nil {
			return nil, nil, err
		}
		l.sealed = p.value
	} else {
		l.sealed, err = item.ValueCopy(l.sealed[:0])
	}
	if err == nil && len(l.sealed) == 0 {
		err = errValueGone
	}
	if err == nil {
		key, value, err = unseal(stored, l.sealed)
	}
	if err != nil && !errors.Is(err, ErrVersion) {
		err = &DamageError{Path: l.store.sub, Key: bytes.Clone(stored[1:]), Detail: "record unreadable", Err: err}
	}
	return key, value, err
}

// flush passes a group of long keys on, in their true order.
func (l *loader) flush() error {
	slices.SortFunc(l.group, func(a, b longKey) int { return bytes.Compare(a.key, b.key) })
	for _, k := range l.group {
		var item *badger.Item
		if k.over == nil {
			var err error
			if item, err = l.snap.txn.Get(k.stored); err != nil {
				return &DamageError{Path: l.store.sub, Key: k.key, Detail: "unreadable", Err: err}
			}
		}
		key, value, err := l.open(k.stored, item, k.over)
		if err != nil {
			return err
		}
		if err := l.pass(key, value); err != nil {
			return err
		}
	}
	l.group = l.group[:0]
	return nil
}

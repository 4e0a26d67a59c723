package persist

import (
	"bytes"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// snapshot is the store at one instant. close ends it.
type snapshot struct {
	txn    *badger.Txn
	commit uint64
	parts  []part // of the journal, oldest first
}

// part is what a snapshot sees of a segment.
type part struct {
	*segment
	size  int64
	index map[recordID]place
}

// snapshot waits for a commit under way, and refuses after a failed one.
func (s *Store) snapshot() (*snapshot, error) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	if failed := s.failure(); failed != nil {
		return nil, failed
	}
	s.reading.RLock()
	defer s.reading.RUnlock()
	n := &snapshot{txn: s.db.NewTransaction(false), commit: s.journal.commits}
	for _, g := range s.segments {
		g.users.Add(1)
		index := g.index
		if g == s.journal.active {
			index = maps.Clone(index)
		}
		n.parts = append(n.parts, part{g, g.size, index})
	}
	return n, nil
}

func (n *snapshot) close() {
	n.txn.Discard()
	for _, p := range n.parts {
		p.release()
	}
}

// over is a record in the journal.
type over struct {
	key  []byte // stored
	in   *segment
	at   place
	gone bool
	size int64 // of key and sealed value
}

// overlay gives what the journal has under stored keys that begin with prefix, in order.
func (n *snapshot) overlay(prefix []byte) (list []over, err error) {
	for i, p := range n.parts {
		err := eachBatch(p.file, segmentHead, p.size, p.first, &p.cipher, func(commit uint64, _ int64, bodies []frameBody) error {
			for _, b := range bodies {
				if err := b.each(commit, func(_ uint64, q pair, at place) error {
					if n.shows(i, q.key, at, prefix) {
						list = append(list, over{slices.Clone(q.key), p.segment, at, q.value == nil, int64(len(q.key) + len(q.value))})
					}
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, &DamageError{Path: p.path, Detail: "unreadable", Err: err}
		}
	}
	slices.SortFunc(list, func(a, b over) int { return bytes.Compare(a.key, b.key) })
	return list, nil
}

// shows tells whether a version of a record is the newest in the snapshot's journal.
func (n *snapshot) shows(i int, stored []byte, at place, prefix []byte) bool {
	if len(stored) < len(prefix) || string(stored[:len(prefix)]) != string(prefix) {
		return false
	}
	id := idOf(stored)
	if n.parts[i].index[id] != at {
		return false
	}
	return !slices.ContainsFunc(n.parts[i+1:], func(p part) bool { _, ok := p.index[id]; return ok })
}

// each calls fn with what is stored under each key that begins with prefix, in order: an item of Badger's, or a record of the journal's. What is
// gone is left out. stored is valid during the call only.
func (n *snapshot) each(prefix []byte, fn func(stored []byte, item *badger.Item, in *over) error) error {
	list, err := n.overlay(prefix)
	if err != nil {
		return err
	}
	fromJournal := func(upTo int) error {
		for i := range list[:upTo] {
			if list[i].gone {
				continue
			}
			if err := fn(list[i].key, nil, &list[i]); err != nil {
				return err
			}
		}
		list = list[upTo:]
		return nil
	}
	options := badger.DefaultIteratorOptions
	options.PrefetchValues = false // prefetching goroutines would be out of reach of recover
	options.Prefix = prefix
	it := n.txn.NewIterator(options)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		upTo, hidden := covered(list, item.Key())
		if err := fromJournal(upTo); err != nil {
			return err
		}
		if hidden {
			continue
		}
		if err := fn(item.Key(), item, nil); err != nil {
			return err
		}
	}
	return fromJournal(len(list))
}

// covered gives how many records of the journal come up to a stored key, and whether the last of them is of that key.
func covered(list []over, stored []byte) (n int, hidden bool) {
	for n < len(list) {
		order := bytes.Compare(list[n].key, stored)
		if order > 0 {
			return n, false
		}
		n++
		if order == 0 {
			return n, true
		}
	}
	return n, false
}

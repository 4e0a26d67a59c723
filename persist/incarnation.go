package persist

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/edgemem/edgemem/crdt"
)

// Incarnation is one start of the node that owns the store.
type Incarnation struct {
	Number  uint32 // grows, by the clock where that is right: crdt.StartNumber
	Node    crdt.NodeID
	Nonce   crdt.Nonce // holds the number
	Started time.Time  // by the node's own clock, to the millisecond, UTC
}

// incarnationPrefix is followed by the number, big endian: keys in order of starts.
var incarnationPrefix = []byte{spaceMeta, 'i', 'n', 'c'}

// NewIncarnation draws a fresh nonce and makes it durable before it returns: no write may carry the origin
// of a nonce that a crash could make the node forget. The start's number is least at least. Errors: ErrForeign if the directory belongs to another node, and those of Commit.
func (s *Store) NewIncarnation(ctx context.Context, node crdt.NodeID, least uint32) (crdt.Nonce, error) {
	if err := s.enter(); err != nil {
		return crdt.Nonce{}, err
	}
	defer s.leave()
	s.starting.Lock()
	defer s.starting.Unlock()
	past, err := s.incarnations()
	if err != nil {
		return crdt.Nonce{}, err
	}
	if n := len(past); n > 0 && past[n-1].Node != node {
		return crdt.Nonce{}, fmt.Errorf("%w: %s is the store of %s, this node is %s; give each node its own data directory", ErrForeign, s.dir, past[n-1].Node, node)
	}
	inc := Incarnation{Node: node, Started: s.config.Now().UTC()}
	last := max(least, 1) - 1
	if n := len(past); n > 0 {
		last = max(last, past[n-1].Number)
	}
	inc.Number = crdt.StartNumber(inc.Started.UnixMilli(), last)
	if err := ctx.Err(); err != nil {
		return crdt.Nonce{}, err
	}
	var random [16]byte
	if _, err := io.ReadFull(s.config.Rand, random[:]); err != nil {
		return crdt.Nonce{}, fmt.Errorf("persist: draw nonce: %w", err)
	}
	inc.Nonce = crdt.NewNonce(inc.Number, random)
	key := incarnationKey(inc.Number)
	// A node must be able to start on a full disk, to merge and to be read: as little free as Open asks for will do.
	if err := s.commitDirectly(s.config.MinFreeBytes/4, []pair{{key, seal(nil, key, nil, inc.encode())}}); err != nil {
		return crdt.Nonce{}, fmt.Errorf("persist: incarnation %d: %w", inc.Number, err)
	}
	return inc.Nonce, nil
}

// Incarnations lists all starts, oldest first.
func (s *Store) Incarnations() ([]Incarnation, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.incarnations()
}

func (s *Store) incarnations() (list []Incarnation, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		list, err = s.incarnationsIn(txn)
		return err
	})
	return list, err
}

func (s *Store) incarnationsIn(txn *badger.Txn) (list []Incarnation, err error) {
	options := badger.DefaultIteratorOptions
	options.PrefetchValues = false
	options.Prefix = incarnationPrefix
	it := txn.NewIterator(options)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		inc, err := s.readIncarnation(it.Item())
		if err != nil {
			return nil, err
		}
		list = append(list, inc)
	}
	return list, nil
}

func (s *Store) readIncarnation(item *badger.Item) (inc Incarnation, err error) {
	key := item.KeyCopy(nil)
	sealed, err := item.ValueCopy(nil)
	if err == nil {
		_, sealed, err = unseal(key, sealed)
	}
	if err == nil {
		inc, err = decodeIncarnation(key, sealed)
	}
	if err != nil {
		return inc, &DamageError{Path: s.sub, Key: key, Detail: "incarnation unreadable", Err: err}
	}
	return inc, nil
}

func incarnationKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(incarnationPrefix), number)
}

// encode: what is random of the nonce (16), Unix milliseconds (8, big endian), node id.
func (inc Incarnation) encode() []byte {
	b := binary.BigEndian.AppendUint64(bytes.Clone(inc.Nonce[4:]), uint64(inc.Started.UnixMilli()))
	return append(b, inc.Node...)
}

func decodeIncarnation(key, value []byte) (inc Incarnation, err error) {
	number, ok := bytes.CutPrefix(key, incarnationPrefix)
	if !ok || len(number) != 4 || len(value) < 24 {
		return inc, errors.New("malformed")
	}
	inc.Number = binary.BigEndian.Uint32(number)
	inc.Nonce = crdt.NewNonce(inc.Number, [16]byte(value))
	inc.Started = time.UnixMilli(int64(binary.BigEndian.Uint64(value[16:]))).UTC()
	inc.Node = crdt.NodeID(value[24:])
	return inc, nil
}

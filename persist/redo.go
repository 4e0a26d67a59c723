package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Before there was a journal, a batch beyond what a Badger transaction holds, 15 % of a memtable, was first committed as one value. From then
// on it was acknowledged; it was copied to its place in as many transactions as it took, the last of which removed the value. Such stores
// are still opened: what a crash left half done is finished, so that the batch is seen whole or not at all.

var errRedo = errors.New("malformed batch")

// A batch whose one value would not fit in a value log file goes as several: first the parts, each durable
// but meaningless by itself, then the value that makes all of them count.

func partKey(i int) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(partPrefix), uint32(i))
}

// applyRedo copies a durable batch to its place. At the end it takes the batch itself away.
func (s *Store) applyRedo(pairs []pair, parts int) error {
	// Written as one transaction each, in order: of two records with one key the later counts here too.
	pairs = append(pairs, pair{key: redoKey})
	for i := range parts { // after what makes them count
		pairs = append(pairs, pair{key: partKey(i)})
	}
	return s.writeChunks(pairs, s.config.MinFreeBytes/4)
}

// finishRedo applies the batch that was under way when the store was closed last, if any, and takes away the
// parts of one that never came to count.
func (s *Store) finishRedo() error {
	has, err := s.hasRedo()
	if err != nil {
		return err
	}
	parts, err := s.countParts()
	if err != nil {
		return err
	}
	if !has {
		return s.dropParts(parts)
	}
	pairs, version, err := s.readRedo(parts)
	if err == nil {
		s.log.Info("persist: finishing a batch", "commit", version, "records", len(pairs))
		err = s.applyRedo(pairs, parts)
	}
	if err != nil {
		return fmt.Errorf("persist: finish batch of commit %d: %w", version, err)
	}
	return nil
}

func (s *Store) readRedo(parts int) (pairs []pair, version uint64, err error) {
	for i := range parts + 1 {
		key := redoKey
		if i < parts {
			key = partKey(i)
		}
		var redo []byte
		if redo, version, err = s.getOwn(key); err != nil {
			return nil, version, err
		}
		part, err := decodeRedo(redo)
		if err != nil {
			return nil, version, err
		}
		pairs = append(pairs, part...)
	}
	return pairs, version, nil
}

// countParts counts the parts. They are numbered from 0, without a gap as long as they count.
func (s *Store) countParts() (n int, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: partPrefix})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if i := binary.BigEndian.Uint32(it.Item().Key()[len(partPrefix):]); int(i) >= n {
				n = int(i) + 1
			}
		}
		return nil
	})
	return n, err
}

func (s *Store) dropParts(n int) error {
	for i := range n {
		if err := s.write([]pair{{key: partKey(i)}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) hasRedo() (has bool, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(redoKey)
		has = err == nil
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	return has, err
}

// decodeRedo returns pairs that alias b.
func decodeRedo(b []byte) (pairs []pair, err error) {
	for len(b) > 0 {
		var p pair
		if p, b, err = cutStored(b); err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// cutField takes a field whose length was written with bias added.
func cutField(b []byte, bias uint64) (field, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n < bias || n-bias > uint64(len(b)-size) {
		return nil, nil, errRedo
	}
	end := size + int(n-bias)
	return b[size:end:end], b[end:], nil
}

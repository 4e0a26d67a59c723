package persist

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// A Badger transaction holds 15 % of a memtable. For a batch of 4 MiB the memtable would have to be 32 MiB,
// and a few of those exist at once, mapped twice: too much for a device. So a batch beyond
// the limit is first committed as one value (which goes to the value log, and counts as a pointer). From then on it is
// acknowledgeable; it is copied to its place in as many transactions as it takes, the last of which removes the value.
// Open finishes what a crash left half done, so that the batch is seen whole or not at all.

var errRedo = errors.New("malformed batch")

func (s *Store) writeLarge(pairs []pair) error {
	redo := encodeRedo(pairs)
	if err := s.write([]pair{{redoKey, seal(nil, redoKey, nil, redo)}}); err != nil {
		return err
	}
	return s.applyRedo(pairs)
}

func (s *Store) applyRedo(pairs []pair) error {
	// Written as one transaction each, in order: of two records with one key the later counts here too.
	pairs = append(pairs, pair{key: redoKey})
	for len(pairs) > 0 {
		n := chunkLen(pairs, s.db.MaxBatchSize(), s.db.MaxBatchCount(), s.config.ValueThresholdBytes)
		if n == 0 {
			return fmt.Errorf("%w: one record exceeds a transaction", errRedo)
		}
		if err := s.write(pairs[:n]); err != nil {
			return err
		}
		pairs = pairs[n:]
	}
	return nil
}

// finishRedo applies the batch that was under way when the store was closed last, if any.
func (s *Store) finishRedo() error {
	if has, err := s.hasRedo(); !has || err != nil {
		return err
	}
	redo, version, err := s.getOwn(redoKey)
	if err != nil {
		return err
	}
	pairs, err := decodeRedo(redo)
	if err == nil {
		s.log.Info("persist: finishing a batch", "commit", version, "records", len(pairs))
		err = s.applyRedo(pairs)
	}
	if err != nil {
		return fmt.Errorf("persist: finish batch of commit %d: %w", version, err)
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

// decodeRedo returns pairs that alias b.
func decodeRedo(b []byte) (pairs []pair, err error) {
	for len(b) > 0 {
		var p pair
		if p.key, b, err = cutField(b, 0); err != nil {
			return nil, err
		}
		if len(b) > 0 && b[0] == 0 {
			b = b[1:]
		} else if p.value, b, err = cutField(b, 1); err != nil {
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

package persist

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/edgemem/edgemem/crdt"
)

// Private records are what a node has promised others, such as its votes. They are of this directory alone: no backup has them, no Load gives
// them, and a copy of the directory is known as one.
var (
	privatePrefix = []byte{spaceMeta, 'o', 'w', 'n', '.'}
	birthKey      = []byte{spaceMeta, 'o', 'w', 'n'} // of the directory, as of the first private record
)

// CommitPrivate makes private records durable: all or none, fsynced before it returns. A nil Value removes. Errors: as of Commit.
func (s *Store) CommitPrivate(recs []crdt.Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	birth, err := birthOf(s.dir)
	if err != nil {
		return fmt.Errorf("persist: private records: %w", err)
	}
	pairs := []pair{{birthKey, seal(nil, birthKey, nil, birth)}}
	for _, r := range recs {
		key := append(bytes.Clone(privatePrefix), r.Key...)
		p := pair{key: key}
		if r.Value != nil {
			p.value = seal(nil, key, nil, r.Value)
		}
		pairs = append(pairs, p)
	}
	s.goOn() // it fills memtables, past the journal
	return s.commitDirectly(s.config.MinFreeBytes, pairs)
}

// Private gives the private records, in order of their keys. copied tells that they were written in another directory: this one is a copy, which a
// file system sees by the number and the birth of a file. Who has the other one may have promised more since.
func (s *Store) Private(fn func(key, value []byte) error) (copied bool, err error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	birth, err := birthOf(s.dir)
	if err != nil {
		return false, fmt.Errorf("persist: private records: %w", err)
	}
	err = s.db.View(func(txn *badger.Txn) error {
		copied, err = s.privateIn(txn, birth, fn)
		return err
	})
	return copied, err
}

func (s *Store) privateIn(txn *badger.Txn, birth []byte, fn func(key, value []byte) error) (copied bool, err error) {
	item, err := txn.Get(birthKey)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	was, err := s.unsealItem(item)
	if err != nil {
		return false, err
	}
	options := badger.DefaultIteratorOptions
	options.Prefix = privatePrefix
	it := txn.NewIterator(options)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		value, err := s.unsealItem(it.Item())
		if err != nil {
			return false, err
		}
		if err := fn(it.Item().KeyCopy(nil)[len(privatePrefix):], value); err != nil {
			return false, err
		}
	}
	return !bytes.Equal(was, birth), nil
}

func (s *Store) unsealItem(item *badger.Item) (value []byte, err error) {
	key := item.KeyCopy(nil)
	sealed, err := item.ValueCopy(nil)
	if err == nil {
		_, value, err = unseal(key, sealed)
	}
	if err != nil {
		return nil, &DamageError{Path: s.sub, Key: key, Detail: "private record unreadable", Err: err}
	}
	return value, nil
}

// birthOf tells a directory from its copies, by a file that is made once and never again.
func birthOf(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, lockFileName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fileBirth(f)
}

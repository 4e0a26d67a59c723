package persist

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/fb"
)

// Badger reads tables through memory maps in goroutines of its own, where damage is a panic, a log.Fatal,
// or a table that is left out with a line in the log. So every table is read and checked here, with read(2), before
// Badger sees it. Layout, as Badger writes it without compression:
//
//	table: blocks | index | index length (4) | checksum | checksum length (4)
//	block: entries | entry offsets (4 each) | their number (4) | checksum | checksum length (4)
//	entry: shared key bytes (2) | further key bytes (2) | key bytes | meta | user meta | uvarint expiry | value
//
// Encrypted, each block and the index end in 16 more bytes, the initial counter. A block's checksum is of what is inside,
// the index's of what is on disk. Lengths are big endian, except within an entry. Checksums are protobuf messages {1: algorithm, 2: sum}.

var (
	errTableShape = errors.New("lengths do not fit the file")
	errTableSum   = errors.New("checksum mismatch")
)

// tableFile is an open table whose index was checked.
type tableFile struct {
	f      *os.File
	cipher cipher.Block // nil: plain
	index  *fb.TableIndex
	buf    []byte // the block read last
}

func tableName(id uint64) string { return fmt.Sprintf("%06d.sst", id) }

// tableRef names a table and the data key that it is encrypted with.
type tableRef struct{ id, key uint64 }

func openTableFile(dir string, ref tableRef, keys keyring) (t *tableFile, err error) {
	name := tableName(ref.id)
	block, err := keys.cipherOf(ref.key)
	if err != nil {
		return nil, &DamageError{Path: filepath.Join(dir, name), Detail: "as MANIFEST says", Err: err}
	}
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(dir, name, "missing, though MANIFEST lists it")
	}
	if err != nil {
		return nil, fmt.Errorf("persist: open table: %w", err)
	}
	t = &tableFile{f: f, cipher: block}
	if err := t.readIndex(); err != nil {
		f.Close()
		return nil, &DamageError{Path: f.Name(), Detail: "index unreadable", Err: err}
	}
	return t, nil
}

func (t *tableFile) close() { t.f.Close() }

// readIndex walks the footer from its end.
func (t *tableFile) readIndex() error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	at := info.Size()
	sum, at, err := t.readBack(at)
	if err != nil {
		return err
	}
	index, _, err := t.readBack(at)
	if err != nil {
		return err
	}
	if err := verifySum(index, sum); err != nil {
		return err
	}
	if index, err = decrypted(t.cipher, index); err != nil {
		return err
	}
	t.index = fb.GetRootAsTableIndex(index, 0)
	return nil
}

// decrypted works in place.
func decrypted(block cipher.Block, data []byte) ([]byte, error) {
	if block == nil {
		return data, nil
	}
	if len(data) < aes.BlockSize {
		return nil, errTableShape
	}
	data, counter := data[:len(data)-aes.BlockSize], data[len(data)-aes.BlockSize:]
	cipher.NewCTR(block, counter).XORKeyStream(data, data)
	return data, nil
}

// readBack reads the field that ends at end with its own length.
func (t *tableFile) readBack(end int64) (field []byte, start int64, err error) {
	var length [4]byte
	if end < 4 {
		return nil, 0, errTableShape
	}
	if _, err := t.f.ReadAt(length[:], end-4); err != nil {
		return nil, 0, err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	start = end - 4 - n
	if start < 0 || n == 0 {
		return nil, 0, errTableShape
	}
	field = make([]byte, n)
	_, err = t.f.ReadAt(field, start)
	return field, start, err
}

// block reads and checks block i; the slice is valid until the next call.
func (t *tableFile) block(i int) ([]byte, error) {
	var at fb.BlockOffset
	if !t.index.Offsets(&at, i) {
		return nil, errTableShape
	}
	n := int(at.Len())
	if n > cap(t.buf) {
		t.buf = make([]byte, n)
	}
	data := t.buf[:n]
	if _, err := t.f.ReadAt(data, int64(at.Offset())); err != nil {
		return nil, err
	}
	data, err := decrypted(t.cipher, data)
	if err != nil {
		return nil, err
	}
	return verifiedBlock(data)
}

// verifiedBlock takes checksum and lengths off a block and leaves entries and their offsets.
func verifiedBlock(data []byte) ([]byte, error) {
	if len(data) < 8 {
		return nil, errTableShape
	}
	sumLen := int64(binary.BigEndian.Uint32(data[len(data)-4:]))
	body := int64(len(data)) - 4 - sumLen
	if body < 4 {
		return nil, errTableShape
	}
	if err := verifySum(data[:body], data[body:len(data)-4]); err != nil {
		return nil, err
	}
	return data[:body], nil
}

// verifySum reads the protobuf checksum by hand: two optional varint fields.
func verifySum(data, sum []byte) error {
	var want uint64
	for len(sum) > 0 {
		value, n := binary.Uvarint(sum[1:])
		if n <= 0 {
			return errTableSum
		}
		switch {
		case sum[0] == 2<<3:
			want = value
		case sum[0] != 1<<3 || value != 0: // algorithm 0 is CRC-32C, the only one that Badger writes
			return errTableSum
		}
		sum = sum[1+n:]
	}
	if uint64(crc32.Checksum(data, castagnoli)) != want {
		return errTableSum
	}
	return nil
}

// each calls fn with the entries of every block, checking all.
func (t *tableFile) each(fn func(e storedEntry) error) error {
	for i := range t.index.OffsetsLength() {
		data, err := t.block(i)
		if err == nil && fn != nil {
			err = eachInBlock(data, fn)
		}
		if err != nil {
			return &DamageError{Path: t.f.Name(), Detail: fmt.Sprintf("block %d of %d", i, t.index.OffsetsLength()), Err: err}
		}
	}
	return nil
}

func eachInBlock(data []byte, fn func(e storedEntry) error) error {
	n := int64(binary.BigEndian.Uint32(data[len(data)-4:]))
	start := int64(len(data)) - 4 - 4*n
	if start < 0 {
		return errTableShape
	}
	var base []byte
	for i := range n {
		from := int64(binary.LittleEndian.Uint32(data[start+4*i:]))
		to := start
		if i+1 < n {
			to = int64(binary.LittleEndian.Uint32(data[start+4*i+4:]))
		}
		if from > to || to > start {
			return errTableShape
		}
		e, err := decodeTableEntry(base, data[from:to])
		if err != nil {
			return err
		}
		if i == 0 {
			base = e.key
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func decodeTableEntry(base, raw []byte) (e storedEntry, err error) {
	if len(raw) < 4 {
		return e, errTableShape
	}
	shared, further := int(binary.LittleEndian.Uint16(raw)), int(binary.LittleEndian.Uint16(raw[2:]))
	raw = raw[4:]
	if shared > len(base) || further+2 > len(raw) {
		return e, errTableShape
	}
	e.key = append(base[:shared:shared], raw[:further]...)
	e.meta = raw[further]
	raw = raw[further+2:]
	_, n := binary.Uvarint(raw)
	if n <= 0 || len(e.key) < 8 {
		return e, errTableShape
	}
	e.value = raw[n:]
	return e, nil
}

// checkTables verifies every byte of every table in use, and gives the highest commit that they hold.
func checkTables(dir string, tables []tableRef, keys keyring) (commit uint64, err error) {
	for _, ref := range tables {
		t, err := openTableFile(dir, ref, keys)
		if err != nil {
			return 0, err
		}
		err = t.each(nil)
		commit = max(commit, t.index.MaxVersion())
		t.close()
		if err != nil {
			return 0, err
		}
	}
	return commit, nil
}

package persist

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Badger has two kinds of log with one entry format: NNNNN.mem, the write-ahead log of one memtable, and
// NNNNNN.vlog, the value log.
//
//	file:  number of the data key (8, zero: not encrypted) | base of the counter (12) | entries | zeros
//	entry: meta | user meta | uvarint key length | uvarint value length | uvarint expiry | key | value | CRC-32C (4, big endian)
//
// Encrypted, key and value are so, under a counter that begins with that base and the entry's offset; the CRC is of what is on disk.
//
// The transactions of a .mem file stand one after the other, each closed by an entry that repeats its number.
// Badger cuts a log at the first entry that is not whole, and goes on as if the rest had never been. A crash leaves such a
// tail; so does damage in the middle, and then the rest was acknowledged. The two are told apart here.
const (
	logHeadBytes = 20

	metaDelete    = 1 << 0
	metaPointer   = 1 << 1 // value is a pointer into the value log
	metaTxn       = 1 << 6 // part of a transaction
	metaTxnEnd    = 1 << 7 // its end; value is the transaction's number in decimal
	pointerBytes  = 12     // file, length, offset (4 each, little endian)
	logBufferSize = 64 << 10
)

// storedEntry is one version of one stored key, as found in a table or log.
type storedEntry struct {
	key    []byte // stored key and, in the last 8 bytes, its version
	value  []byte
	meta   byte
	offset int64 // in a log
	size   int64
}

// commit is the number of the transaction that wrote the entry.
func (e storedEntry) commit() uint64 {
	return ^binary.BigEndian.Uint64(e.key[len(e.key)-8:])
}

func (e storedEntry) storedKey() []byte { return e.key[:len(e.key)-8] }

type valuePointer struct{ file, size, offset uint32 }

func (e storedEntry) pointer() (p valuePointer, ok bool) {
	if e.meta&metaPointer == 0 || len(e.value) != pointerBytes {
		return p, false
	}
	return valuePointer{
		binary.LittleEndian.Uint32(e.value),
		binary.LittleEndian.Uint32(e.value[4:]),
		binary.LittleEndian.Uint32(e.value[8:]),
	}, true
}

// logScan is what was found in one log.
type logScan struct {
	name          string
	size, wholeTo int64  // bytes, and how many of them are sound
	emptyTail     bool   // nothing but zeros follows
	first, last   uint64 // commits, zero if none
}

// scanLog calls fn with each whole entry and returns where the first one starts that is not. e is valid during the call only.
func scanLog(path string, keys keyring, fn func(e storedEntry) error) (s logScan, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, fmt.Errorf("persist: open log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, fmt.Errorf("persist: open log: %w", err)
	}
	s = logScan{name: filepath.Base(path), size: info.Size(), wholeTo: min(logHeadBytes, info.Size())}
	lc, err := readLogHead(f, s.size, keys)
	if err != nil {
		return s, err
	}
	if err := s.scan(f, lc, fn); err != nil {
		return s, err
	}
	s.emptyTail, err = onlyZeros(f, s.wholeTo, s.size)
	return s, err
}

// logCipher decrypts the entries of one log.
type logCipher struct {
	block cipher.Block // nil: plain
	base  [logHeadBytes - 8]byte
}

func (c *logCipher) decrypt(e storedEntry) {
	if c.block == nil {
		return
	}
	stream := counterStream(c.block, c.base, uint32(e.offset))
	stream.XORKeyStream(e.key, e.key)
	stream.XORKeyStream(e.value, e.value)
}

// counterStream is what encrypts in Badger's logs and in the journal: the counter begins with a file's base, and an offset in it.
func counterStream(block cipher.Block, base [logHeadBytes - 8]byte, offset uint32) cipher.Stream {
	var counter [aes.BlockSize]byte
	copy(counter[:], base[:])
	binary.BigEndian.PutUint32(counter[len(base):], offset)
	return cipher.NewCTR(block, counter[:])
}

func readLogHead(f *os.File, size int64, keys keyring) (*logCipher, error) {
	var head [logHeadBytes]byte
	if size < logHeadBytes {
		return &logCipher{}, nil // cut while it was made: it has no entries
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("persist: read log: %w", err)
	}
	if head == [logHeadBytes]byte{} && keys.data != nil {
		return &logCipher{}, nil // sized, and its head not written yet: it has no entries
	}
	block, err := keys.cipherOf(binary.BigEndian.Uint64(head[:]))
	if err != nil {
		return nil, &DamageError{Path: f.Name(), Detail: "its head", Err: err}
	}
	return &logCipher{block, [logHeadBytes - 8]byte(head[8:])}, nil
}

func (s *logScan) scan(f *os.File, lc *logCipher, fn func(e storedEntry) error) error {
	r := &entryReader{r: bufio.NewReaderSize(io.NewSectionReader(f, logHeadBytes, max(0, s.size-logHeadBytes)), logBufferSize)}
	for {
		e, err := r.next(s.size - s.wholeTo)
		if errors.Is(err, errEntryTorn) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("persist: read %s: %w", f.Name(), err)
		}
		e.offset = s.wholeTo
		lc.decrypt(e)
		if err := fn(e); err != nil {
			if errors.Is(err, errEntryTorn) {
				return nil
			}
			return err
		}
		s.wholeTo += e.size
	}
}

var errEntryTorn = errors.New("no whole entry")

type entryReader struct {
	r   *bufio.Reader
	buf []byte
}

// next reads one entry; left bounds what its lengths may claim.
func (r *entryReader) next(left int64) (e storedEntry, err error) {
	r.buf = r.buf[:0]
	var fields [3]uint64 // key length, value length, expiry
	if err := r.take(2); err != nil {
		return e, err
	}
	for i := range fields {
		if fields[i], err = r.uvarint(); err != nil {
			return e, err
		}
	}
	head := len(r.buf)
	if fields[0] < 8 || fields[0] > uint64(left) || fields[1] > uint64(left)-fields[0] {
		return e, errEntryTorn
	}
	keyLen, valueLen := int(fields[0]), int(fields[1])
	if err := r.take(keyLen + valueLen); err != nil {
		return e, err
	}
	sum := crc32.Checksum(r.buf, castagnoli)
	if err := r.take(4); err != nil {
		return e, err
	}
	if binary.BigEndian.Uint32(r.buf[len(r.buf)-4:]) != sum {
		return e, errEntryTorn
	}
	e.meta, e.size = r.buf[0], int64(len(r.buf))
	e.key, e.value = r.buf[head:head+keyLen], r.buf[head+keyLen:head+keyLen+valueLen]
	return e, nil
}

func (r *entryReader) uvarint() (uint64, error) {
	start := len(r.buf)
	for range binary.MaxVarintLen64 {
		if err := r.take(1); err != nil {
			return 0, err
		}
		if r.buf[len(r.buf)-1] < 0x80 {
			value, n := binary.Uvarint(r.buf[start:])
			if n <= 0 {
				return 0, errEntryTorn
			}
			return value, nil
		}
	}
	return 0, errEntryTorn
}

// take appends n bytes of the file to buf.
func (r *entryReader) take(n int) error {
	start := len(r.buf)
	if need := start + n; need > cap(r.buf) {
		r.buf = append(make([]byte, 0, 2*need), r.buf...)
	}
	r.buf = r.buf[:start+n]
	_, err := io.ReadFull(r.r, r.buf[start:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEntryTorn
	}
	return err
}

func onlyZeros(f *os.File, from, to int64) (bool, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), logBufferSize)
	for {
		chunk, err := r.Peek(logBufferSize)
		for _, b := range chunk {
			if b != 0 {
				return false, nil
			}
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("persist: read %s: %w", f.Name(), err)
		}
		r.Discard(len(chunk))
	}
}

// scanWAL follows a .mem file as Badger's recovery does. fn gets the entries of closed transactions.
func scanWAL(path string, keys keyring, fn func(e storedEntry)) (s logScan, err error) {
	var open []storedEntry // of the transaction that is not closed yet
	var openCommit, first, last uint64
	wholeTo := int64(-1)
	s, err = scanLog(path, keys, func(e storedEntry) error {
		switch {
		case e.meta&metaTxn != 0:
			if openCommit == 0 {
				openCommit = e.commit()
			}
			if openCommit != e.commit() {
				return errEntryTorn
			}
			open = append(open, e.clone())
			return nil
		case e.meta&metaTxnEnd != 0:
			number, err := strconv.ParseUint(string(e.value), 10, 64)
			if err != nil || number != openCommit {
				return errEntryTorn
			}
			for _, o := range open {
				fn(o)
			}
			if first == 0 {
				first = number
			}
			open, openCommit, last = open[:0], 0, number
		case openCommit != 0:
			return errEntryTorn
		default:
			fn(e) // moved by value-log collection, under its old number
		}
		wholeTo = e.offset + e.size
		return nil
	})
	if wholeTo < 0 {
		wholeTo = min(logHeadBytes, s.size)
	}
	if err == nil && wholeTo < s.wholeTo { // entries of a transaction without its end
		s.wholeTo, s.emptyTail = wholeTo, false
	}
	s.first, s.last = first, last
	return s, err
}

// txnEndHead begins the entry that closes a transaction: its meta, no user meta, length of Badger's key for it and of the number (which follows
// here), no expiry. None of that is encrypted.
var txnEndHead = []byte{metaTxnEnd, 0, 11 + 8}

const txnEndBytesMax = 5 + 11 + 8 + 20 + 4

// lastCommitFrom looks for closed transactions behind a place that is not whole, and gives the highest number. Each was begun after the one
// before it was fsynced, so that one that is further than the next proves that something acknowledged rotted, and that
// no crash left it half written.
func lastCommitFrom(path string, from int64, keys keyring) (last uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("persist: open log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("persist: open log: %w", err)
	}
	lc, err := readLogHead(f, info.Size(), keys)
	if err != nil {
		return 0, err
	}
	chunk := make([]byte, logBufferSize+txnEndBytesMax)
	for ; from < info.Size(); from += logBufferSize {
		n, err := f.ReadAt(chunk, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("persist: read %s: %w", path, err)
		}
		for at := 0; at < min(n, logBufferSize); at++ {
			next := bytes.Index(chunk[at:n], txnEndHead)
			if next < 0 {
				break
			}
			at += next
			if number, ok := txnEnd(chunk[at:n], from+int64(at), lc); ok {
				last = max(last, number)
			}
		}
	}
	return last, nil
}

// txnEnd gives the number of a transaction that ends at offset, if one does.
func txnEnd(data []byte, offset int64, lc *logCipher) (uint64, bool) {
	r := &entryReader{r: bufio.NewReader(bytes.NewReader(data[:min(len(data), txnEndBytesMax)]))}
	e, err := r.next(txnEndBytesMax)
	if err != nil || e.meta != metaTxnEnd {
		return 0, false
	}
	e.offset = offset
	lc.decrypt(e)
	number, err := strconv.ParseUint(string(e.value), 10, 64)
	return number, err == nil && number == e.commit()
}

// clone keeps what recovery needs of an entry: pointers are kept, other values are not.
func (e storedEntry) clone() storedEntry {
	e.key = append([]byte(nil), e.key...)
	e.value = append([]byte(nil), e.value...)
	return e
}

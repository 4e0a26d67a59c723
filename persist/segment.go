package persist

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/edgemem/edgemem/crdt"
)

// The journal is what a commit is written to: one write behind the last one, and one fdatasync. It lies in segments, each a file that is named
// by its first commit.
//
//	segment: magic (8) | store id (16) | first commit (8) | data key (8, zero: plain) | base of the counter (12) | CRC-32C (4) | frames | zeros
//	frame:   CRC-32C of the rest (4) | length of the body (4) | commit (8) | flags (1) | body
//	body:    pairs of stored key and sealed value, as in redo.go
//
// Numbers are little endian. A batch is one frame, or several of which all but the last have the flag that more follow. In an encrypted store
// the body is so, under a counter that begins with the segment's base and the frame's offset, as in Badger's logs; checksums are of what is on disk.
// The zeros are written ahead of the frames: an fdatasync of bytes whose blocks are there already writes nothing else.
const (
	journalDirName  = "journal"
	segmentSuffix   = ".log"
	segmentMagic    = "emJRNL1\n"
	segmentHead     = 56
	frameHead       = 17
	frameBytes      = 1 << 20 // a body is closed when it has so many
	segmentBytesMax = 1 << 31 // of a segment, which only a batch beyond all measure meets
	flagMore        = 1
)

// place is where a pair lies in a segment: offset of its frame, offset in the frame's body, and bytes.
type place struct{ frame, at, size uint32 }

// recordID stands for a stored key: two hashes of 64 bits under seeds of this process. Two keys with the same id would have to be
// among some hundred thousand of one segment; and whoever reads by it compares the key.
type recordID [2]uint64

var recordSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func idOf(stored []byte) recordID {
	return recordID{maphash.Bytes(recordSeeds[0], stored), maphash.Bytes(recordSeeds[1], stored)}
}

// segment is one file of the journal. One goroutine appends; any number reads what is there.
type segment struct {
	first  uint64 // commit, and the file's name
	path   string
	file   *os.File
	cipher bodyCipher

	last   uint64 // commit that it ends with; guarded as the journal is
	size   int64  // up to where it has frames
	zeroed int64  // up to where it is written at all

	index map[recordID]place // where the newest version in this segment is; guarded by Store.reading
	users atomic.Int32       // the store itself is one
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// release ends one use of the file.
func (g *segment) release() {
	if g.users.Add(-1) == 0 {
		g.file.Close()
	}
}

// bodyCipher encrypts bodies; the zero value leaves them as they are.
type bodyCipher struct {
	block cipher.Block
	key   uint64
	base  [logHeadBytes - 8]byte
}

// apply works in place on part of a body, from byte at on.
func (c *bodyCipher) apply(b []byte, frame, at int64) {
	if c.block == nil {
		return
	}
	// What a frame counts up to stays below the offset of the next one, a sixteenth of the bytes.
	stream := counterStream(c.block, c.base, uint32(frame)+uint32(at/aes.BlockSize))
	var skip [aes.BlockSize]byte
	stream.XORKeyStream(skip[:at%aes.BlockSize], skip[:at%aes.BlockSize])
	stream.XORKeyStream(b, b)
}

func encodeSegmentHead(id storeID, first uint64, c *bodyCipher) []byte {
	b := append([]byte(segmentMagic), id[:]...)
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint64(b, c.key)
	b = append(b, c.base[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errSegmentHead = errors.New("its head is not whole")

func decodeSegmentHead(b []byte, id storeID, first uint64, keys keyring) (c bodyCipher, err error) {
	body := segmentHead - 4
	if len(b) < segmentHead || string(b[:8]) != segmentMagic || binary.LittleEndian.Uint32(b[body:]) != crc32.Checksum(b[:body], castagnoli) {
		return c, errSegmentHead
	}
	if got := storeID(b[8:24]); got != id {
		return c, fmt.Errorf("belongs to store %v, %s says store %v", got, versionFileName, id)
	}
	if got := binary.LittleEndian.Uint64(b[24:]); got != first {
		return c, fmt.Errorf("begins at commit %d, its name says %d", got, first)
	}
	c.key = binary.LittleEndian.Uint64(b[32:])
	copy(c.base[:], b[40:])
	c.block, err = keys.cipherOf(c.key)
	return c, err
}

// frames writes a batch, a frame at a time.
type frames struct {
	buf    []byte // of one frame
	ids    []recordID
	places []place
}

// write puts the frames of one batch behind the end of a segment, and gives where they end.
func (f *frames) write(g *segment, recs []crdt.Record, commit uint64) (end int64, err error) {
	f.ids, f.places = f.ids[:0], f.places[:0]
	end = g.size
	for from := 0; from < len(recs); {
		f.buf = append(f.buf[:0], make([]byte, frameHead)...)
		to := from
		for ; to < len(recs) && (to == from || len(f.buf) < frameBytes); to++ {
			f.add(recs[to], end)
		}
		head, body := f.buf[:frameHead], f.buf[frameHead:]
		g.cipher.apply(body, end, 0)
		binary.LittleEndian.PutUint32(head[4:], uint32(len(body)))
		binary.LittleEndian.PutUint64(head[8:], commit)
		if to < len(recs) {
			head[16] = flagMore
		}
		binary.LittleEndian.PutUint32(head, crc32.Checksum(f.buf[4:], castagnoli))
		if _, err := g.file.WriteAt(f.buf, end); err != nil {
			return end, err
		}
		end += int64(len(f.buf))
		from = to
	}
	if cap(f.buf) > 2*frameBytes { // of a large record
		f.buf = nil
	}
	return end, nil
}

// add appends a record to the frame at an offset.
func (f *frames) add(r crdt.Record, frame int64) {
	at := len(f.buf)
	f.buf = binary.AppendUvarint(f.buf, uint64(storedLen(r.Key)))
	start := len(f.buf)
	f.buf = storedKey(f.buf, r.Key)
	stored := f.buf[start:]
	f.ids = append(f.ids, idOf(stored))
	if r.Value == nil {
		f.buf = append(f.buf, 0)
	} else {
		var long []byte
		if isLongKey(stored) {
			long = r.Key
		}
		f.buf = binary.AppendUvarint(f.buf, uint64(sealedLen(long, r.Value))+1)
		f.buf = seal(f.buf, stored, long, r.Value)
	}
	f.places = append(f.places, place{uint32(frame), uint32(at - frameHead), uint32(len(f.buf) - at)})
}

// framesBytes is no less than a batch takes.
func framesBytes(recs []crdt.Record) int64 {
	n := int64(0)
	for _, r := range recs {
		n += int64(2*len(r.Key)+len(r.Value)) + recordOverhead
	}
	return n + (n/frameBytes+1)*frameHead
}

// recordOverhead is more than a record takes beyond its key, twice where it is long, and its value.
const recordOverhead = 64

// read gives the pair at a place.
func (g *segment) read(at place) (p pair, err error) {
	b := make([]byte, at.size)
	if _, err := g.file.ReadAt(b, int64(at.frame)+frameHead+int64(at.at)); err != nil {
		return p, err
	}
	g.cipher.apply(b, int64(at.frame), int64(at.at))
	p, rest, err := cutStored(b)
	if err == nil && len(rest) > 0 {
		err = errRedo
	}
	return p, err
}

// segmentScan is what was found in a segment.
type segmentScan struct {
	name          string
	first, last   uint64 // commits; last is first-1 where there is none
	size, wholeTo int64
	emptyTail     bool // nothing but zeros follows
	cipher        bodyCipher
	bad           error // what is wrong with its head
}

// scanSegment calls fn with each pair of each whole batch, in order. p is valid during the call only.
func scanSegment(path string, id storeID, first uint64, keys keyring, fn func(commit uint64, p pair, at place) error) (s segmentScan, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, fmt.Errorf("persist: open journal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, fmt.Errorf("persist: open journal: %w", err)
	}
	s = segmentScan{name: filepath.Base(path), first: first, last: first - 1, size: info.Size()}
	head := make([]byte, segmentHead)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("persist: read journal: %w", err)
	}
	if s.cipher, s.bad = decodeSegmentHead(head[:n], id, first, keys); s.bad == nil {
		s.wholeTo = segmentHead
		if err := s.scan(f, fn); err != nil {
			return s, err
		}
	}
	s.emptyTail, err = onlyZeros(f, s.wholeTo, s.size)
	return s, err
}

func (s *segmentScan) scan(f *os.File, fn func(commit uint64, p pair, at place) error) error {
	return eachBatch(f, s.wholeTo, s.size, s.last+1, &s.cipher, func(commit uint64, end int64, bodies []frameBody) error {
		s.last, s.wholeTo = commit, end
		for _, b := range bodies {
			if err := b.each(commit, fn); err != nil {
				return err
			}
		}
		return nil
	})
}

// frameBody is one decrypted body, and where its frame begins.
type frameBody struct {
	offset int64
	bytes  []byte
}

func (b frameBody) each(commit uint64, fn func(commit uint64, p pair, at place) error) error {
	for rest := b.bytes; len(rest) > 0; {
		at := len(b.bytes) - len(rest)
		p, next, err := cutStored(rest)
		if err != nil {
			return err
		}
		if err := fn(commit, p, place{uint32(b.offset), uint32(at), uint32(len(rest) - len(next))}); err != nil {
			return err
		}
		rest = next
	}
	return nil
}

// eachBatch calls fn with each whole batch between two offsets, of which the first has the number next; end is where it ends.
// It stops without an error at what is no whole batch. What fn gets is overwritten after it has returned.
func eachBatch(f io.ReaderAt, from, to int64, next uint64, c *bodyCipher, fn func(commit uint64, end int64, bodies []frameBody) error) error {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), logBufferSize)
	var bodies []frameBody
	var spare []byte
	for at := from; ; {
		head, body, err := readFrame(r, to-at, spare)
		if err != nil || head.commit != next {
			if errors.Is(err, errEntryTorn) {
				err = nil
			}
			return err
		}
		c.apply(body, at, 0)
		bodies = append(bodies, frameBody{at, body})
		at += frameHead + int64(len(body))
		if head.more {
			spare = nil
			continue
		}
		if err := fn(next, at, bodies); err != nil {
			return err
		}
		if spare = body; cap(spare) > 2*frameBytes {
			spare = nil
		}
		bodies = bodies[:0]
		next++
	}
}

type frameAbout struct {
	commit uint64
	more   bool
}

// readFrame reads one frame of at most left bytes, into spare if that is large enough; errEntryTorn if there is no whole one.
func readFrame(r *bufio.Reader, left int64, spare []byte) (about frameAbout, body []byte, err error) {
	head, err := r.Peek(frameHead)
	if errors.Is(err, io.EOF) {
		return about, nil, errEntryTorn
	}
	if err != nil {
		return about, nil, fmt.Errorf("persist: read journal: %w", err)
	}
	about, n, sum, ok := decodeFrameHead(head, left)
	if !ok {
		return about, nil, errEntryTorn
	}
	ofHead := crc32.Update(0, castagnoli, head[4:])
	if _, err := r.Discard(frameHead); err != nil {
		return about, nil, fmt.Errorf("persist: read journal: %w", err)
	}
	if int64(cap(spare)) < n {
		spare = make([]byte, n)
	}
	body = spare[:n]
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return about, nil, errEntryTorn
		}
		return about, nil, fmt.Errorf("persist: read journal: %w", err)
	}
	if crc32.Update(ofHead, castagnoli, body) != sum {
		return about, nil, errEntryTorn
	}
	return about, body, nil
}

func decodeFrameHead(head []byte, left int64) (about frameAbout, n int64, sum uint32, ok bool) {
	n = int64(binary.LittleEndian.Uint32(head[4:]))
	about = frameAbout{binary.LittleEndian.Uint64(head[8:]), head[16]&flagMore != 0}
	ok = n > 0 && n <= left-frameHead && head[16]&^flagMore == 0
	return about, n, binary.LittleEndian.Uint32(head), ok
}

// laterCommitFrom searches what is not whole for a frame of a commit beyond last, and gives the highest. Each commit was written after the one before
// was durable: if there is one beyond the next, what is in between was acknowledged.
func laterCommitFrom(path string, from int64, last uint64) (later uint64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("persist: read journal: %w", err)
	}
	for at := int(min(from, int64(len(data)))); at+frameHead < len(data); at++ {
		about, n, sum, ok := decodeFrameHead(data[at:], int64(len(data)-at))
		if ok && about.commit > last && about.commit-last <= uint64(len(data)) &&
			crc32.Checksum(data[at+4:at+frameHead+int(n)], castagnoli) == sum {
			later = max(later, about.commit)
		}
	}
	return later, nil
}

// cutStored reads one pair: uvarint key length, key, uvarint value length + 1 (0: delete), value.

func cutStored(b []byte) (p pair, rest []byte, err error) {
	if p.key, b, err = cutField(b, 0); err != nil {
		return p, nil, err
	}
	if len(b) > 0 && b[0] == 0 {
		return p, b[1:], nil
	}
	p.value, b, err = cutField(b, 1)
	return p, b, err
}

// createSegment makes a file that a power cut does not take away.
func createSegment(dir string, id storeID, first uint64, c bodyCipher) (*segment, error) {
	path := filepath.Join(dir, segmentName(first))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("persist: new journal: %w", err)
	}
	head := encodeSegmentHead(id, first, &c)
	_, err = f.WriteAt(head, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncPath(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("persist: new journal: %w", err), f.Close(), os.Remove(path))
	}
	g := &segment{first: first, last: first - 1, path: path, file: f, cipher: c, size: segmentHead, zeroed: segmentHead, index: map[recordID]place{}}
	g.users.Store(1)
	return g, nil
}

// listSegments gives the first commits of all segments, ascending.
func listSegments(dir string) (firsts []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("persist: list journal: %w", err)
	}
	for _, e := range entries { // sorted by name, and so by number
		var first uint64
		if _, err := fmt.Sscanf(e.Name(), "%020d"+segmentSuffix, &first); err != nil || e.Name() != segmentName(first) || first == 0 || !e.Type().IsRegular() {
			return nil, damaged(dir, e.Name(), "not a file that a journal has; move it away")
		}
		firsts = append(firsts, first)
	}
	return firsts, nil
}

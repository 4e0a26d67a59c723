package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	markFileName  = "MARK"
	markMagic     = "emMARK1\n"
	markSlotBytes = 77   // see encode
	markSlotGap   = 4096 // the slots never share a sector: a torn write spoils one of them
)

// The file has four slots. Marks that are fsynced go to the first two in turn, so that one of them is whole whatever becomes of a write to the
// other. Those between go to the last two, which a power cut may spoil both. The newest that is whole counts.
const (
	slotsSynced = 2
	slotsAll    = 4
)

// mark says how far the store had come. It lives beside Badger's files and is written after what it
// vouches for was fsynced: a store that is behind its mark has lost acknowledged commits. A mark that
// is behind its store is normal after a power cut, because commits rewrite it without an fsync of its own.
type mark struct {
	seq         uint64 // of this slot; the higher of the two counts
	id          storeID
	commit      uint64 // Badger's number of its last acknowledged transaction
	journal     uint64 // number of the last acknowledged commit
	drained     uint64 // number of the last commit whose segment is in Badger, and may be gone
	manifestLen uint64 // bytes of MANIFEST that were fsynced
	manifestTag uint64 // length and checksum of MANIFEST's first record, see manifest.go
	clean       bool   // written by Close
}

func (m mark) encode() []byte {
	b := make([]byte, 0, markSlotBytes)
	b = append(b, markMagic...)
	b = binary.LittleEndian.AppendUint64(b, m.seq)
	b = append(b, m.id[:]...)
	for _, n := range []uint64{m.commit, m.manifestLen, m.manifestTag, m.journal, m.drained} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	clean := byte(0)
	if m.clean {
		clean = 1
	}
	b = append(b, clean)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMark(b []byte) (m mark, ok bool) {
	body := markSlotBytes - 4
	if len(b) < markSlotBytes || string(b[:8]) != markMagic ||
		binary.LittleEndian.Uint32(b[body:]) != crc32.Checksum(b[:body], castagnoli) {
		return mark{}, false
	}
	m.seq = binary.LittleEndian.Uint64(b[8:])
	copy(m.id[:], b[16:32])
	m.commit = binary.LittleEndian.Uint64(b[32:])
	m.manifestLen = binary.LittleEndian.Uint64(b[40:])
	m.manifestTag = binary.LittleEndian.Uint64(b[48:])
	m.journal = binary.LittleEndian.Uint64(b[56:])
	m.drained = binary.LittleEndian.Uint64(b[64:])
	m.clean = b[72] == 1
	return m, true
}

// readMark returns nil where there is no mark yet.
func readMark(dir string) (*mark, error) {
	data, err := os.ReadFile(filepath.Join(dir, markFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("persist: read mark: %w", err)
	}
	var best *mark
	for slot := range slotsAll {
		if m, ok := markIn(data, slot); ok && (best == nil || m.seq > best.seq) {
			best = &m
		}
	}
	if best == nil {
		return nil, damaged(dir, markFileName, "none of its slots is whole")
	}
	return best, nil
}

func markIn(data []byte, slot int) (mark, bool) {
	return decodeMark(data[min(len(data), slot*markSlotGap):])
}

// markFile writes marks.
type markFile struct {
	f      *os.File
	last   mark
	synced int // slot of the last mark that is on disk for certain
}

// openMarkFile starts from the last mark, or makes the file, durably, with the first slots filled.
func openMarkFile(dir string, last mark) (*markFile, error) {
	path := filepath.Join(dir, markFileName)
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		data := make([]byte, (slotsSynced-1)*markSlotGap+markSlotBytes)
		for slot := range slotsSynced {
			copy(data[slot*markSlotGap:], last.encode())
		}
		if err := replaceFile(dir, markFileName, data); err != nil {
			return nil, fmt.Errorf("persist: create mark: %w", err)
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("persist: open mark: %w", err)
	}
	mf := &markFile{f: f, last: last}
	if err := mf.findSynced(); err != nil {
		f.Close()
		return nil, fmt.Errorf("persist: read mark: %w", err)
	}
	return mf, nil
}

// findSynced: of the first slots the one with the newer mark was written last. A process that was killed may have left it to the kernel.
func (mf *markFile) findSynced() error {
	if err := mf.f.Sync(); err != nil {
		return err
	}
	data := make([]byte, slotsSynced*markSlotGap)
	n, err := mf.f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	newest := uint64(0)
	for slot := range slotsSynced {
		if m, ok := markIn(data[:n], slot); ok && m.seq >= newest {
			mf.synced, newest = slot, m.seq
		}
	}
	return nil
}

// write notes a mark. Without sync it survives the process, and a power cut perhaps.
func (mf *markFile) write(m mark, sync bool) error {
	m.seq = mf.last.seq + 1
	slot := slotsSynced + int(m.seq%(slotsAll-slotsSynced))
	if sync {
		slot = (mf.synced + 1) % slotsSynced
	}
	if _, err := mf.f.WriteAt(m.encode(), int64(slot)*markSlotGap); err != nil {
		return err
	}
	mf.last = m
	if !sync {
		return nil
	}
	if err := mf.f.Sync(); err != nil {
		return err
	}
	mf.synced = slot
	return nil
}

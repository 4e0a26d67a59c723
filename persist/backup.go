package persist

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// BackupFile is a small file that travels with a backup, such as a node's identity.
type BackupFile struct {
	Name string
	Data []byte
}

// Backup says how to make a backup.
type Backup struct {
	By, Name string // program and node, for whoever finds the file
	// Node keeps the node's starts: a store that is restored with them belongs to the same node, one without to nobody yet.
	Node string
	// Files travel along, each of up to 1 MiB.
	Files []BackupFile
	// Plain leaves the backup of an encrypted store unencrypted. That of a plain one always is.
	Plain bool
	// Progress is told now and then how far it is. It returns soon.
	Progress func(BackupProgress)
}

// BackupProgress is how far a backup or a restore is.
type BackupProgress struct {
	Records uint64 `json:"records"`
	Of      uint64 `json:"of_records"`
	Bytes   int64  `json:"bytes"`        // of keys and values
	Stored  int64  `json:"stored_bytes"` // of the backup
}

// BackupReport is what a backup came to.
type BackupReport struct {
	BackupProgress
	Commit    uint64   `json:"commit"` // the last one that is in it
	Encrypted bool     `json:"encrypted"`
	Files     []string `json:"files,omitempty"`
	Behind    string   `json:"behind,omitempty"` // why what the node holds in memory is not in it; for who asks for the backup to fill in
}

// Backup writes a backup of the store to w, as it is at one instant, while commits go on. It holds one block in memory. When it
// returns an error w has no whole backup.
func (s *Store) Backup(ctx context.Context, w io.Writer, o Backup) (BackupReport, error) {
	if err := s.enter(); err != nil {
		return BackupReport{}, err
	}
	defer s.leave()
	snap, err := s.snapshot()
	if err != nil {
		return BackupReport{}, err
	}
	defer snap.close()
	defer s.trim()
	b := &backingUp{ctx: ctx, o: o}
	if err := b.begin(s, snap, w); err != nil {
		return b.report, fmt.Errorf("persist: backup: %w", err)
	}
	if err := s.eachRecord(snap, b.record); err != nil {
		return b.report, fmt.Errorf("persist: backup: %w", err)
	}
	if err := b.finish(); err != nil {
		return b.report, fmt.Errorf("persist: backup: %w", err)
	}
	return b.report, nil
}

// backingUp is a backup under way.
type backingUp struct {
	ctx    context.Context
	o      Backup
	out    *blockWriter
	block  []byte
	report BackupReport
	told   time.Time
}

// toldEvery is how often progress is told.
const toldEvery = 100 * time.Millisecond

func (b *backingUp) begin(s *Store, snap *snapshot, w io.Writer) error {
	about := BackupAbout{
		Made: s.config.Now().UTC().Format(time.RFC3339), By: b.o.By, Name: b.o.Name, Node: b.o.Node, Store: s.id.String(), Commit: snap.commit,
	}
	if err := b.measure(snap, &about); err != nil {
		return err
	}
	key := s.config.Key
	if b.o.Plain {
		key = nil
	}
	if err := b.open(about, key, w); err != nil {
		return err
	}
	var starts []Incarnation
	if b.o.Node != "" {
		var err error
		if starts, err = s.incarnationsIn(snap.txn); err != nil {
			return err
		}
	}
	return b.preamble(starts)
}

// open writes the head.
func (b *backingUp) open(about BackupAbout, key []byte, w io.Writer) error {
	for _, f := range b.o.Files {
		about.Files = append(about.Files, f.Name)
	}
	salt := make([]byte, backupSaltBytes)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	head, err := newBackupHead(about, salt, key != nil)
	if err != nil {
		return err
	}
	b.report = BackupReport{Commit: about.Commit, Encrypted: key != nil, Files: about.Files}
	b.report.Of = about.Records
	b.out, err = newBlockWriter(w, head, key)
	return err
}

// measure counts, which takes reading the keys alone, so that progress is true and a cut backup tells what it lacks.
func (b *backingUp) measure(snap *snapshot, about *BackupAbout) error {
	return snap.eachKey(nil, func(_ []byte, bytes int64) error {
		about.Records++
		about.Bytes += bytes
		if about.Records%1024 == 0 {
			return b.ctx.Err()
		}
		return nil
	})
}

// eachKey gives the stored keys of callers' records that begin with prefix, without their first byte, and the size of each record.
func (n *snapshot) eachKey(prefix []byte, fn func(key []byte, bytes int64) error) error {
	return n.each(append([]byte{spaceRecord}, prefix...), func(stored []byte, item *badger.Item, in *over) error {
		if in != nil {
			return fn(stored[1:], in.size)
		}
		return fn(stored[1:], item.KeySize()+item.ValueSize())
	})
}

// preamble writes the node's starts, in any case one block of them, and the files.
func (b *backingUp) preamble(starts []Incarnation) error {
	var content []byte
	for _, inc := range starts {
		content = appendPair(content, binary.BigEndian.AppendUint32(nil, inc.Number), inc.encode())
	}
	if err := b.out.put(blockIncarnations, content); err != nil {
		return err
	}
	for _, f := range b.o.Files {
		if len(f.Data) > backupFileMax {
			return fmt.Errorf("file %s has %d bytes, at most %d", f.Name, len(f.Data), backupFileMax)
		}
		content := append(binary.AppendUvarint(nil, uint64(len(f.Name))), f.Name...)
		if err := b.out.put(blockFile, append(content, f.Data...)); err != nil {
			return err
		}
	}
	return nil
}

// record takes one record.
func (b *backingUp) record(key, value []byte) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	b.block = appendPair(b.block, key, value)
	b.report.Records++
	b.report.Bytes += int64(len(key) + len(value))
	if len(b.block) < blockTarget {
		return nil
	}
	return b.flush()
}

func (b *backingUp) flush() error {
	if len(b.block) == 0 {
		return nil
	}
	err := b.out.put(blockRecords, b.block)
	b.block = b.block[:0]
	if b.report.Stored = b.out.written; b.o.Progress != nil && time.Since(b.told) >= toldEvery {
		b.told = time.Now()
		b.o.Progress(b.report.BackupProgress)
	}
	return err
}

func (b *backingUp) finish() error {
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.out.end(b.report.Records); err != nil {
		return err
	}
	if b.report.Stored = b.out.written; b.o.Progress != nil {
		b.o.Progress(b.report.BackupProgress)
	}
	return nil
}

// splitFile reads a block of one file.
func splitFile(content []byte) (f BackupFile, err error) {
	name, data, err := cutField(content, 0)
	if err != nil || len(name) == 0 || len(name) > 255 || len(data) > backupFileMax {
		return f, errBlockInside
	}
	return BackupFile{string(name), bytes.Clone(data)}, nil
}

// decodeStarts reads the node's starts.
func decodeStarts(content []byte) (list []Incarnation, err error) {
	err = eachPair(content, func(number, encoded []byte) error {
		if len(number) != 4 {
			return errBlockInside
		}
		inc, err := decodeIncarnation(incarnationKey(binary.BigEndian.Uint32(number)), encoded)
		list = append(list, inc)
		return err
	})
	if err != nil {
		return nil, errors.Join(errBlockInside, err)
	}
	return list, nil
}

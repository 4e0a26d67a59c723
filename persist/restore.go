package persist

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Restore says how to make a store of a backup.
type Restore struct {
	// Dir is where the store is made. It must not be there.
	Dir string
	// Key encrypts the new store. Default: none, it is plain.
	Key []byte
	// BackupKey opens an encrypted backup. It is not used for others.
	BackupKey []byte
	// WithoutNode leaves out whose store it was: its starts, and all files. Give it to a new node.
	WithoutNode bool
	// Partial takes what is readable of a damaged backup. Regions of which records are missing are left out, unless KeepTorn:
	// a replica that says to have seen what it does not hold makes others take that for removed.
	Partial, KeepTorn bool
	// Salvaged is what SalvageBackup said of the backup: its torn regions are left out as those of a damaged one are.
	Salvaged *Salvaged
	// Progress is told now and then how far it is.
	Progress func(BackupProgress)
	Logger   *slog.Logger
}

// RestoreReport is what a restore came to.
type RestoreReport struct {
	BackupProgress
	About     BackupAbout   `json:"backup"`
	Encrypted bool          `json:"encrypted"` // the backup was
	Node      string        `json:"node,omitempty"`
	Files     []BackupFile  `json:"-"`
	Whole     bool          `json:"whole"`
	Lost      []string      `json:"lost,omitempty"`    // of the backup, in words
	Dropped   []LostRegion  `json:"dropped,omitempty"` // regions that were left out because of that, or kept torn
	Took      time.Duration `json:"took_ns"`
}

// LostRegion is a region that is not whole.
type LostRegion struct {
	Name    string `json:"name"`    // or its id, where the record with its name is lost
	Records int    `json:"records"` // that were readable
}

// RestoreBackup reads a backup and makes a store of it. Every checksum is verified, and unless o.Partial the backup must be whole: else
// Dir is gone again, and the error is an ErrBackup. The next NewIncarnation of the store is a new one.
// Other errors: ErrKey, ErrVersion, ErrFull.
func RestoreBackup(ctx context.Context, r io.Reader, o Restore) (RestoreReport, error) {
	if _, err := os.Lstat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
		return RestoreReport{}, fmt.Errorf("persist: restore: %s is there already", o.Dir)
	}
	in, err := newBlockReader(r, o.BackupKey)
	if err != nil {
		return RestoreReport{}, fmt.Errorf("persist: restore: %w", err)
	}
	defer in.close()
	x := &restoring{ctx: ctx, o: o, in: in, began: time.Now()}
	x.report = RestoreReport{About: in.head.About, Encrypted: in.head.encrypted}
	x.report.Of = in.head.About.Records
	if err := x.run(); err != nil {
		return x.report, errors.Join(fmt.Errorf("persist: restore: %w", err), os.RemoveAll(o.Dir))
	}
	x.report.Took = time.Since(x.began)
	return x.report, nil
}

// restoring is a restore under way.
type restoring struct {
	ctx    context.Context
	o      Restore
	in     *blockReader
	store  *Store
	report RestoreReport
	began  time.Time
	told   time.Time

	starts []Incarnation
	last   []byte // key of the last record
	gaps   []gap
	torn   bool // the block before was not read
}

// gap is where records are missing: between two keys, exclusive; nil: from the begin, to the end.
type gap struct{ after, before []byte }

func (x *restoring) run() (err error) {
	x.store, err = Open(Config{Dir: x.o.Dir, Key: x.o.Key, Logger: x.o.Logger, ReclaimInterval: -1})
	if err != nil {
		return err
	}
	err = x.read()
	if err == nil {
		err = x.settle()
	}
	return errors.Join(err, x.store.Close())
}

// read takes all blocks.
func (x *restoring) read() error {
	for {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		b, err := x.in.next()
		if err == nil && b.kind == blockEnd {
			if err = x.in.last(b, x.report.Records); err == nil {
				x.report.Whole = len(x.report.Lost) == 0
				return nil
			}
		}
		if err == nil {
			err = x.take(b)
		}
		if err == nil {
			continue
		}
		if goOn, err := x.lost(b, err); !goOn {
			return err
		}
	}
}

// lost notes what could not be read. goOn: what follows may be readable.
func (x *restoring) lost(b block, err error) (goOn bool, _ error) {
	var bad *BackupError
	if !x.o.Partial || !errors.As(err, &bad) || errors.Is(err, ErrKey) {
		if errors.As(err, &bad) {
			err = fmt.Errorf("%w (%d of %d records before it are sound; --partial takes them)", err, x.report.Records, x.report.Of)
		}
		return false, err
	}
	x.report.Lost = append(x.report.Lost, fmt.Sprintf("block %d at byte %d: %v", bad.Block, bad.Offset, bad.Err))
	x.torn = true
	if b.past {
		return true, nil
	}
	x.gaps = append(x.gaps, gap{x.last, nil})
	return false, nil
}

func (x *restoring) take(b block) (err error) {
	switch b.kind {
	case blockIncarnations:
		x.starts, err = decodeStarts(b.content)
	case blockFile:
		var f BackupFile
		if f, err = splitFile(b.content); err == nil {
			x.report.Files = append(x.report.Files, f)
		}
	case blockRecords:
		return x.records(b)
	}
	if err != nil {
		err = x.in.failBefore(err)
	}
	return err
}

// failBefore blames the block that was read last.
func (b *blockReader) failBefore(err error) error {
	return &BackupError{Offset: b.at, Block: int(b.number) - 1, Err: err}
}

// records commits one block.
func (x *restoring) records(b block) error {
	var recs []crdt.Record
	last := x.last
	err := eachPair(b.content, func(key, value []byte) error {
		if bytes.Compare(key, last) <= 0 && last != nil {
			return fmt.Errorf("%w: keys out of order", errBlockInside)
		}
		last = key
		recs = append(recs, crdt.Record{Key: key, Value: value})
		return nil
	})
	if err != nil {
		return x.in.failBefore(err)
	}
	if len(recs) == 0 {
		return nil
	}
	if x.torn {
		x.gaps = append(x.gaps, gap{x.last, bytes.Clone(recs[0].Key)})
		x.torn = false
	}
	if err := x.store.Commit(recs); err != nil {
		return err
	}
	x.last = bytes.Clone(last)
	x.report.Records += uint64(len(recs))
	x.report.Bytes += int64(len(b.content))
	x.report.Stored = x.in.at
	if x.o.Progress != nil && time.Since(x.told) >= toldEvery {
		x.told = time.Now()
		x.o.Progress(x.report.BackupProgress)
	}
	return nil
}

// settle ends the restore: what was torn goes, and the store learns whose it is.
func (x *restoring) settle() error {
	if err := x.dropTorn(); err != nil {
		return err
	}
	if x.o.WithoutNode || x.report.About.Node == "" || !x.hasFiles() {
		if !x.o.WithoutNode && x.report.About.Node != "" {
			x.report.Lost = append(x.report.Lost, "a file of the node's identity: the store belongs to no node, and the one that opens it must be new")
		}
		x.report.Files = nil
		return nil
	}
	x.report.Node = x.report.About.Node
	var pairs []pair
	for _, inc := range x.starts {
		key := incarnationKey(inc.Number)
		pairs = append(pairs, pair{key, seal(nil, key, nil, inc.encode())})
	}
	return x.store.commitOwn(pairs)
}

func (x *restoring) hasFiles() bool {
	for _, name := range x.report.About.Files {
		if !slices.ContainsFunc(x.report.Files, func(f BackupFile) bool { return f.Name == name }) {
			return false
		}
	}
	return true
}

// commitOwn commits records of the store's own.
func (s *Store) commitOwn(pairs []pair) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.goOn() // it fills memtables, past the journal
	return s.commitDirectly(s.config.MinFreeBytes, pairs)
}

// dropTorn leaves out the regions in which there are gaps.
func (x *restoring) dropTorn() error {
	if x.report.Records == x.report.Of {
		x.gaps = nil // what was lost has no records in it
	}
	if x.o.Salvaged != nil {
		x.gaps = append(x.gaps, x.o.Salvaged.gaps...)
	}
	if len(x.gaps) == 0 {
		return nil
	}
	torn := newTorn(x.gaps)
	if err := x.store.Load(torn.note); err != nil {
		return err
	}
	x.report.Dropped = torn.regions()
	if x.o.KeepTorn {
		return nil
	}
	for _, keys := range torn.batches() {
		if err := x.store.Commit(keys); err != nil {
			return err
		}
	}
	return nil
}

// torn gathers the regions that gaps touch.
type torn struct {
	gaps  []gap
	names map[crdt.RegionID]string
	count map[crdt.RegionID]int
	keys  [][]byte
}

func newTorn(gaps []gap) *torn {
	return &torn{gaps: gaps, names: map[crdt.RegionID]string{}, count: map[crdt.RegionID]int{}}
}

// touches reports whether a gap reaches into the key's region. The bounds are of regions that may have lost records.
func (t *torn) touches(id crdt.RegionID) bool {
	for _, g := range t.gaps {
		from, _ := crdt.RecordRegion(g.after)
		to, ok := crdt.RecordRegion(g.before)
		if (g.after == nil || bytes.Compare(id[:], from[:]) >= 0) && (g.before == nil || !ok || bytes.Compare(id[:], to[:]) <= 0) {
			return true
		}
	}
	return false
}

func (t *torn) note(key, value []byte) error {
	id, ok := crdt.RecordRegion(key)
	if !ok || !t.touches(id) {
		return nil
	}
	t.count1(id, key, value)
	t.keys = append(t.keys, bytes.Clone(key))
	return nil
}

// count1 counts a record of a region.
func (t *torn) count1(id crdt.RegionID, key, value []byte) {
	if name, isMeta, err := crdt.RecordName(crdt.Record{Key: key, Value: value}); isMeta && err == nil {
		t.names[id] = name
	}
	t.count[id]++
}

func (t *torn) regions() []LostRegion {
	var out []LostRegion
	for id, n := range t.count {
		out = append(out, LostRegion{cmp.Or(t.names[id], fmt.Sprintf("%x", id[:])), n})
	}
	slices.SortFunc(out, func(a, b LostRegion) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// tornBatch bounds what one commit takes away.
const tornBatch = 4096

func (t *torn) batches() (out [][]crdt.Record) {
	for keys := range slices.Chunk(t.keys, tornBatch) {
		recs := make([]crdt.Record, len(keys))
		for i := range keys {
			recs[i].Key = keys[i]
		}
		out = append(out, recs)
	}
	return out
}

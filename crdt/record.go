package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// The durable image of a region is a set of records whose keys begin with the region's id:
//
//	id 0x01               meta: name, own clock, pieces of unfinished pulls
//	id 0x02 origin-number origin: id, context, floor, of our own what others have seen; without an id the number is free
//	id 0x03 cell key      one cell: siblings and ghosts, with origins by number
//
// Origin numbers mean something only beside the origin records of the same image.
const (
	recMeta   = 1
	recOrigin = 2
	recCell   = 3
)

// recordVersion is the first byte of every record, but of a cell with a value that was lost on disk: that says so for each sibling.
const (
	recordVersion     = 1
	recordVersionLost = 2
)

// ErrDamaged says that a record does not read back as it was written.
var ErrDamaged = errors.New("crdt: damaged record")

// Dirty reports whether something changed since the last TakeDirty.
func (r *Region) Dirty() bool { return r.dirty.len() > 0 || r.metaDirty || r.originsDirty() }

// DirtyCells is how many cells the next TakeDirty would write.
func (r *Region) DirtyCells() int { return r.dirty.len() }

// DirtyBytes is about how many bytes those are, as of when each cell changed first.
func (r *Region) DirtyBytes() int { return r.dirty.size() }

func (r *Region) originsDirty() bool {
	for i := range r.origins {
		if r.origins[i].dirty {
			return true
		}
	}
	return false
}

// TakeDirty encodes everything that changed since the last call, for one atomic commit. Records of one call
// must become durable together, and calls in order.
//
// A cell that keeps a value on disk alone beside a new one is written with both. Where that value cannot be read for the moment,
// nothing is taken, all stays dirty, and TakeDirty gives none: TryTakeDirty says why. A value that is damaged is noted as lost.
func (r *Region) TakeDirty() []Record {
	recs, _ := r.TryTakeDirty()
	return recs
}

// TryTakeDirty is TakeDirty that tells why nothing was taken. Error: ErrUnreadable.
func (r *Region) TryTakeDirty() ([]Record, error) {
	recs := make([]Record, 0, r.dirty.len()+2)
	if r.metaDirty {
		recs = append(recs, Record{r.recordKey(recMeta, nil), r.encodeMeta()})
	}
	for i := range r.origins {
		if o := &r.origins[i]; o.dirty {
			recs = append(recs, Record{r.recordKey(recOrigin, binary.BigEndian.AppendUint32(nil, uint32(i))), o.encode()})
		}
	}
	recs, err := r.takeCells(recs)
	if err != nil {
		return nil, err
	}
	r.metaDirty = false
	for i := range r.origins {
		r.origins[i].dirty = false
	}
	r.written()
	r.rest()
	return recs, nil
}

// Removal gives records that take the region's whole image off the disk: what was written, and what would be. They are for one atomic
// commit, after those of all earlier TakeDirty; nothing must be taken from the replica afterwards.
func (r *Region) Removal() []Record {
	recs := make([]Record, 0, 1+len(r.origins)+r.store.entries.n)
	recs = append(recs, Record{Key: r.recordKey(recMeta, nil)})
	for i := range r.origins {
		recs = append(recs, Record{Key: r.recordKey(recOrigin, binary.BigEndian.AppendUint32(nil, uint32(i)))})
	}
	r.eachCell(posMin, posMax, func(c *cell) bool {
		recs = append(recs, Record{Key: r.cellKey(c.key, c.kind, c.sub)})
		return true
	})
	if r.dirty == nil {
		return recs
	}
	for d := (decoder{b: r.dirty.gone}); len(d.b) > 0; {
		key := d.bytes(MaxKeyBytes)
		kind := CellKind(d.byte())
		recs = append(recs, Record{Key: r.cellKey(key, kind, d.bytes(MaxKeyBytes))})
	}
	return recs
}

// takeCells encodes the cells that changed, then the removals of those that were taken out and did not come back. With an error all
// of them are as they were.
func (r *Region) takeCells(recs []Record) (_ []Record, err error) {
	s := &r.store
	var c cell
	var lost [][]byte
	var taken []uint64 // where a value may be unreadable: what to mark again
	take := func(ref uint64, key []byte) {
		b := s.mem.Bytes(ref)
		if b[0]&recordDirty == 0 || err != nil {
			return
		}
		if r.aside().away > 0 {
			taken = append(taken, ref)
		}
		b[0] &^= recordDirty // whatever is dirty is to be written: its hash need not be looked at
		p := unpack(b)
		p.decode(&c)
		if r.aside().away > 0 && c.anyAway() { // what stays away beside something new is written again
			s.load(&c, ref)
			if why := r.fetch(&c, isAway); damaged(why) {
				lost = append(lost, r.cellKey(c.key, c.kind, c.sub))
			} else if why != nil {
				err = why
				return
			}
		}
		recs = append(recs, r.record(key, p.kind, p.sub, &c))
	}
	defer func() {
		if err != nil {
			for _, ref := range taken {
				s.mem.Bytes(ref)[0] |= recordDirty
			}
			return
		}
		for _, key := range lost {
			r.Lose(key)
		}
	}()
	if r.dirty == nil {
		return recs, nil
	}
	for _, p := range r.dirty.at {
		s.entries.alike(p.e, func(ref uint64) bool {
			b := s.mem.Bytes(ref)
			key := entryKey(b)
			if b[0]&formMask != formHead {
				take(ref, key)
				return true
			}
			t := s.cellsOf(b)
			t.alike(p.c, func(ref uint64) bool { take(ref, key); return true })
			return true
		})
	}
	for d := (decoder{b: r.dirty.gone}); len(d.b) > 0; {
		key := d.bytes(MaxKeyBytes)
		kind := CellKind(d.byte())
		sub := d.bytes(MaxKeyBytes)
		if r.find(r.store.key.entry(string(key), kind), string(key)).record(kind, string(sub)) == 0 {
			recs = append(recs, Record{r.cellKey(key, kind, sub), nil})
		}
	}
	return recs, err
}

func (r *Region) recordKey(kind byte, rest []byte) []byte {
	b := make([]byte, 0, 17+len(rest))
	return append(append(append(b, r.id[:]...), kind), rest...)
}

// cellKey is the key of a cell's record.
func (r *Region) cellKey(key []byte, kind CellKind, sub []byte) []byte {
	k := make([]byte, 0, 17+3+len(key)+1+len(sub))
	k = append(append(k, r.id[:]...), recCell)
	k = appendBytes(k, key)
	return append(append(k, byte(kind)), sub...)
}

// cellRecord encodes a cell.
func (r *Region) cellRecord(c *cell) Record { return r.record(c.key, c.kind, c.sub, c) }

func isAway(s *sibling) bool { return s.away }

// record encodes what c holds as a cell's record. A value that is away and was not fetched is written as lost.
func (r *Region) record(key []byte, kind CellKind, sub []byte, c *cell) Record {
	size := 4 + 8*len(c.ghosts)
	version := byte(recordVersion)
	for i := range c.sibs {
		s := &c.sibs[i]
		if size += 24 + len(s.val); s.away && s.val == nil {
			version = recordVersionLost
		}
	}
	b := append(make([]byte, 0, size), version)
	b = binary.AppendUvarint(b, uint64(len(c.sibs)))
	for i := range c.sibs {
		s := &c.sibs[i]
		b = binary.AppendUvarint(b, uint64(s.org))
		b = binary.AppendUvarint(b, uint64(s.seq))
		b = append(b, byte(s.tag))
		b = binary.BigEndian.AppendUint64(b, uint64(s.hlc))
		if version == recordVersionLost && s.away && s.val == nil {
			b = appendAway(append(b, listAway), &sibling{size: s.size, hash: s.hash, lost: true})
			continue
		}
		if version == recordVersionLost {
			b = append(b, listHere)
		}
		b = appendBytes(b, s.val)
	}
	b = binary.AppendUvarint(b, uint64(len(c.ghosts)))
	for _, g := range c.ghosts {
		b = binary.AppendUvarint(b, uint64(g.org))
		b = binary.AppendUvarint(b, uint64(g.seq))
	}
	return Record{r.cellKey(key, kind, sub), b}
}

func (o *originState) encode() []byte {
	b := append([]byte{recordVersion}, o.id[:]...)
	b = binary.AppendUvarint(b, uint64(o.floor))
	b = appendRuns(b, o.runs)
	if told := o.toldRuns(); !told.Empty() {
		b = appendRuns(b, *told)
	}
	return b
}

func (r *Region) encodeMeta() []byte {
	var t originTable
	body := appendBytes(nil, r.name)
	return t.seal([]byte{recordVersion}, appendPieces(body, &t, r.pieces))
}

// RecordRegion tells which region a record key belongs to.
func RecordRegion(key []byte) (RegionID, bool) {
	if len(key) < 17 {
		return RegionID{}, false
	}
	return RegionID(key[:16]), true
}

// RecordName gives the region's name where the record is a meta record. A region's meta record comes first.
func RecordName(rec Record) (name string, ok bool, err error) {
	if len(rec.Key) != 17 || rec.Key[16] != recMeta {
		return "", false, nil
	}
	m, err := decodeMeta(rec.Value)
	if err != nil {
		return "", false, fmt.Errorf("%w: meta of region %x: %w", ErrDamaged, rec.Key[:8], err)
	}
	return m.name, true, nil
}

type meta struct {
	name   string
	pieces []piece
}

func decodeMeta(b []byte) (meta, error) {
	d := decoder{b: b}
	d.recordVersion("a region's meta record")
	ids := d.origins()
	m := meta{name: string(d.bytes(MaxKeyBytes))}
	for n := d.count(33); n > 0 && d.err == nil; n-- {
		m.pieces = append(m.pieces, piece{d.pos(), d.pos(), d.context(ids)})
	}
	return m, d.done()
}

// Load takes one record of the durable image into a new region. Give it every record, in the order of their
// keys, before anything else. Errors: ErrDamaged, ErrVersion.
func (r *Region) Load(rec Record) error {
	if id, ok := RecordRegion(rec.Key); !ok || id != r.id {
		return fmt.Errorf("region %q: %w: key %x is of another region", r.name, ErrDamaged, rec.Key)
	}
	var err error
	switch rest := rec.Key[17:]; rec.Key[16] {
	case recMeta:
		err = r.loadMeta(rec.Value)
	case recOrigin:
		err = r.loadOrigin(rest, rec.Value)
	case recCell:
		err = r.loadCell(rest, rec.Value)
	default:
		err = fmt.Errorf("%w: unknown kind of record %d", ErrDamaged, rec.Key[16])
	}
	if err != nil && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("region %q: record %.40q: %w", r.name, rec.Key[16:], err)
	}
	return nil
}

func (r *Region) loadMeta(b []byte) error {
	m, err := decodeMeta(b)
	r.pieces, r.metaDirty = m.pieces, err != nil
	return err
}

func (r *Region) loadOrigin(key, b []byte) error {
	d := decoder{b: b}
	d.recordVersion("an origin record")
	o := originState{}
	copy(o.id[:], d.take(16))
	o.floor, o.runs = Seq(d.uvarint()), d.runs()
	d.checkLine(o.id, o.runs)
	if len(d.b) > 0 {
		told := d.runs()
		o.told = &told
	}
	if err := d.done(); err != nil {
		return err
	}
	if len(key) != 4 || binary.BigEndian.Uint32(key) != uint32(len(r.origins)) {
		return fmt.Errorf("%w: origin %v has number %x, want %d: a record before it is missing", ErrDamaged, o.id, key, len(r.origins))
	}
	if o.free() {
		r.setAside().free = append(r.aside().free, uint32(len(r.origins)))
		r.origins = append(r.origins, originState{})
		return nil
	}
	if _, ok := r.numberOf(o.id); ok {
		return fmt.Errorf("%w: origin %v has two records", ErrDamaged, o.id)
	}
	o.hash = originHash(o.id)
	r.origins = append(r.origins, o)
	r.enrol(o.id, uint32(len(r.origins)-1))
	return nil
}

func (r *Region) loadCell(key, b []byte) error {
	k := decoder{b: key}
	name := string(k.bytes(MaxKeyBytes))
	kind := CellKind(k.byte())
	if k.err != nil || len(k.b) > MaxKeyBytes {
		return fmt.Errorf("%w: bad cell key", ErrDamaged)
	}
	if k.checkCell(kind, name, string(k.b)); k.err != nil {
		return fmt.Errorf("%w: bad cell key: %w", ErrDamaged, k.err)
	}
	d := decoder{b: b}
	version := d.cellVersion()
	var sibs []sibling
	for n := d.count(12); n > 0 && d.err == nil; n-- {
		s := sibling{tip: r.loadTip(&d)}
		d.kept(&s, version)
		sibs = append(sibs, s)
	}
	var ghosts []tip
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		ghosts = append(ghosts, r.loadTip(&d))
	}
	if err := d.done(); err != nil {
		return err
	}
	c := r.handle()
	r.seek(c, name, kind, string(k.b))
	r.loading = true
	defer func() { r.loading = false }()
	r.change(c, func() {
		for _, s := range sibs {
			r.clock.last = max(r.clock.last, s.hlc)
			r.heard = max(r.heard, s.hlc)
			r.addSibling(c, s)
			if x := &c.sibs[len(c.sibs)-1]; r.loadAway && r.leaves(c, x) {
				r.sendAway(c, x)
			}
		}
		for _, g := range ghosts {
			r.addGhost(c, g)
		}
	})
	return nil
}

// cellVersion reads the version of a cell's record.
func (d *decoder) cellVersion() byte {
	if len(d.b) > 0 && d.b[0] == recordVersionLost {
		return d.byte()
	}
	d.recordVersion("a cell record")
	return recordVersion
}

// kept reads what a record says of a sibling beside its dot.
func (d *decoder) kept(s *sibling, version byte) {
	s.tag, s.hlc = Tag(d.byte()), HLC(d.u64())
	if version == recordVersionLost {
		switch d.byte() {
		case listHere:
		case listAway:
			n := d.uvarint()
			if s.away, s.lost, s.size = true, true, uint32(n>>1); n>>1 > MaxValueBytes || n&1 == 0 || s.tag != TagReg {
				d.fail("a lost value of %d bytes, tag %d", n>>1, s.tag)
			}
			if b := d.take(8); len(b) == 8 {
				s.hash = binary.LittleEndian.Uint64(b)
			}
			return
		default:
			d.fail("a sibling that is neither here nor lost")
		}
	}
	s.val = d.bytes(MaxValueBytes)
}

// eachKept calls fn on each sibling of a cell's record.
func (d *decoder) eachKept(fn func(sibling)) error {
	version := d.cellVersion()
	for n := d.count(12); n > 0 && d.err == nil; n-- {
		s := sibling{tip: tip{uint32(min(d.uvarint(), 1<<32-1)), d.seq()}}
		if d.kept(&s, version); d.err == nil {
			fn(s)
		}
	}
	return d.err
}

func (r *Region) loadTip(d *decoder) tip {
	t := tip{uint32(min(d.uvarint(), 1<<32-1)), d.seq()}
	if d.err == nil && int(t.org) >= len(r.origins) {
		d.fail("origin %d of %d", t.org, len(r.origins))
		t.org = 0
	}
	if d.err == nil && r.origins[t.org].free() {
		d.fail("a write of number %d, which is free", t.org)
	}
	return t
}

// Loaded ends the loading: it forgets the marks that loading left. now guards the clock against stamps from
// the far future.
func (r *Region) Loaded(now int64) {
	for i := range r.origins {
		r.origins[i].index.settle(&r.store)
	}
	r.written()
	r.changed = nil
	r.markBelow()
	if r.clock.last > hlcAt(now+MaxAheadMillis) {
		r.clock = Clock{last: hlcAt(now), Skewed: r.clock.Skewed + 1}
	}
}

// TakeChanged gives the keys that changed since the last call, sorted. It is empty unless Config.Track.
func (r *Region) TakeChanged() []string {
	keys := make([]string, 0, len(r.changed))
	for k := range r.changed {
		keys = append(keys, k)
	}
	r.changed = nil
	slices.Sort(keys)
	return keys
}

// Track switches Config.Track.
func (r *Region) Track(on bool) {
	if r.track = on; !on {
		r.changed = nil
	}
}

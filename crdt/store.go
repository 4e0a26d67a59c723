package crdt

import (
	"encoding/binary"
	"slices"
)

// Entries are byte records in Memory. Nothing of them is a Go object but while it is looked at: a cell is read from
// its record into a handle, changed there, and written back (Region.put). The common entry, one register, is one record
// and one slot of the table:
//
//	solo   an entry of one cell     flags kind+tag  key  [name]  body
//	head   an entry of several      flags expiry counts table  key
//	part   one of its cells         flags kind+tag  head  [name]  body       of a stream's entry: [name] arrival body
//
//	body   one sibling: origin, number, stamp, value     one ghost: origin, number     or lists of both
//	       one that is away: origin, number, stamp, length, hash (away.go)
//
//	table ──slot──► solo                       dot index ──► solo, part
//	      ──slot──► head ──table──slot──► part
//
// Records refer to each other by their numbers in Memory. A record keeps its number while what it holds fits its
// allocation; otherwise put gives it another, and corrects the slot and the dots that lead to it. A head has a
// fixed size and never moves. An entry becomes solo again when one cell is left.
//
// Handles know the epoch in which they were read. Each write begins another: to write with a handle of an earlier one,
// whose bytes may be another record's by now, panics. What must outlast a write is a position, a name or a dot, and is
// looked up again. Readers look at records and change nothing, so that any number may read at once.
//
// Beside key and value an entry of one register takes 14 to 19 bytes in its record, 2 on the average of what its
// allocation has too much, 10 to 12 of the table and 6 of the dot index.
type store struct {
	mem     Memory
	slabs   *slabs // mem, if it is that
	key     hashKey
	entries table
	use     [purposes]int64 // bytes allocated
	epoch   uint64
	scratch *scratch
	value   uint64 // hash of the cell that is an entry's value
	policy  Policy // of values that may leave memory; nil: none keeps count
}

// scratch is what one write uses and the next may use again.
type scratch struct {
	buf []byte // a record being made
	hot cell   // the handle of short writes
	tx  Tx     // the transaction that runs: one at a time
}

// working gives the scratch, and makes it where the region was at rest.
func (s *store) working() *scratch {
	if s.scratch == nil {
		s.scratch = new(scratch)
	}
	return s.scratch
}

// The purposes of memory.
const (
	forValue = iota
	forIndex
	forCausal
	forGhost
	purposes
)

func (s *store) alloc(purpose, n int) (uint64, []byte) {
	ref, b := s.mem.Alloc(n)
	s.use[purpose] += int64(len(b))
	return ref, b
}

func (s *store) free(purpose int, ref uint64) {
	s.use[purpose] -= int64(len(s.mem.Bytes(ref)))
	s.mem.Free(ref)
}

// Bits of a record's first byte.
const (
	formSolo = 1
	formHead = 2
	formPart = 3
	formMask = 3

	recordDirty = 1 << 2 // listed in Region.dirty
	recordNamed = 1 << 3 // the cell has a name
	recordWide  = 1 << 4 // the stamp is told in eight bytes
	recordPack  = 1 << 7 // of bodyAway: the value is here, packed

	bodyList    = 0 << 5
	bodySibling = 1 << 5
	bodyGhost   = 2 << 5
	bodyAway    = 3 << 5
	bodyMask    = 3 << 5
)

// nibbleWide says that a kind or tag, of a newer version, is told in a byte of its own.
const nibbleWide = 15

// packed is a cell's record taken apart.
type packed struct {
	flags   byte
	kind    CellKind
	tag     Tag
	key     []byte // of a solo
	head    uint64 // of a part
	sub     []byte
	arrival uint64 // of a stream's entry
	body    []byte
}

func unpack(b []byte) (p packed) {
	p.flags = b[0]
	p.kind, p.tag = CellKind(b[1]&15), Tag(b[1]>>4)
	b = b[2:]
	if p.kind == nibbleWide {
		p.kind, b = CellKind(b[0]), b[1:]
	}
	if p.tag == nibbleWide {
		p.tag, b = Tag(b[0]), b[1:]
	}
	if p.flags&formMask == formSolo {
		p.key, b = cut(b)
	} else {
		p.head, b = getRef(b), b[refBytes:]
	}
	if p.flags&recordNamed != 0 {
		p.sub, b = cut(b)
	}
	if p.kind == CellEntry && p.flags&bodyMask != bodyGhost {
		p.arrival, b = number(b)
	}
	p.body = b
	return p
}

// number reads a varint of a record.
func number(b []byte) (uint64, []byte) {
	if x := b[0]; x < 0x80 {
		return uint64(x), b[1:]
	}
	x, n := binary.Uvarint(b)
	return x, b[n:]
}

// cut reads a length and as many bytes.
func cut(b []byte) (x, rest []byte) {
	n, b := number(b)
	return b[:n:n], b[n:]
}

const refBytes = 5

func getRef(b []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(b[4])<<32
}

func putRef(b []byte, ref uint64) {
	binary.LittleEndian.PutUint32(b, uint32(ref))
	b[4] = byte(ref >> 32)
}

// Stamps of 2020 to 2054 are five bytes of milliseconds and a varint of the logical part; others are told whole.
const (
	stampEpoch = 1_577_836_800_000
	stampBits  = 40
)

func wideStamp(h HLC) bool { return uint64(h.Millis()-stampEpoch)>>stampBits != 0 }

func appendStamp(b []byte, h HLC) []byte {
	if wideStamp(h) {
		return binary.LittleEndian.AppendUint64(b, uint64(h))
	}
	ms := uint64(h.Millis() - stampEpoch)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(ms)), byte(ms>>32))
	return binary.AppendUvarint(b, uint64(h&0xffff))
}

func stamp(b []byte, wide bool) (HLC, []byte) {
	if wide {
		return HLC(binary.LittleEndian.Uint64(b)), b[8:]
	}
	ms := uint64(binary.LittleEndian.Uint32(b)) | uint64(b[4])<<32
	logical, b := number(b[5:])
	return HLC(ms+stampEpoch)<<16 | HLC(logical), b
}

func appendDotOf(b []byte, t tip) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(t.org)), uint64(t.seq))
}

func dotOf(b []byte) (tip, []byte) {
	org, b := number(b)
	seq, b := number(b)
	return tip{uint32(org), Seq(seq)}, b
}

// encode makes the record of a cell, solo where head is 0.
func (s *store) encode(c *cell, head uint64) []byte {
	flags, tag := byte(bodyList), Tag(0)
	switch {
	case len(c.sibs) == 1 && len(c.ghosts) == 0:
		if flags, tag = bodySibling, c.sibs[0].tag; c.sibs[0].away {
			if flags = bodyAway; c.sibs[0].packed != nil {
				flags |= recordPack
			}
		}
		if wideStamp(c.sibs[0].hlc) {
			flags |= recordWide
		}
	case len(c.sibs) == 0 && len(c.ghosts) == 1:
		flags = bodyGhost
	}
	if c.dirty {
		flags |= recordDirty
	}
	if len(c.sub) > 0 {
		flags |= recordNamed
	}
	form := byte(formSolo)
	if head != 0 {
		form = formPart
	}
	room := s.working()
	b := append(room.buf[:0], flags|form, byte(min(c.kind, nibbleWide))|byte(min(tag, nibbleWide))<<4)
	if c.kind >= nibbleWide {
		b = append(b, byte(c.kind))
	}
	if tag >= nibbleWide {
		b = append(b, byte(tag))
	}
	if head == 0 {
		b = appendBytes(b, c.key)
	} else {
		b = append(b, 0, 0, 0, 0, 0)
		putRef(b[len(b)-refBytes:], head)
	}
	if len(c.sub) > 0 {
		b = appendBytes(b, c.sub)
	}
	if c.kind == CellEntry && flags&bodyMask != bodyGhost {
		b = binary.AppendUvarint(b, c.arrival)
	}
	switch flags & bodyMask {
	case bodySibling:
		x := &c.sibs[0]
		b = appendBytes(appendStamp(appendDotOf(b, x.tip), x.hlc), x.val)
	case bodyAway:
		x := &c.sibs[0]
		if b = appendAway(appendStamp(appendDotOf(b, x.tip), x.hlc), x); x.packed != nil {
			b = appendBytes(b, x.packed)
		}
	case bodyGhost:
		b = appendDotOf(b, c.ghosts[0])
	default:
		b = appendLists(b, c)
	}
	room.buf = b
	if cap(b) > 1<<16 { // one large value must not stay for ever
		room.buf = nil
	}
	return b
}

// Before the value of a sibling in a list.
const (
	listHere = 0
	listAway = 1
	listPack = 2 // as listAway, and the packed value
)

func appendLists(b []byte, c *cell) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.sibs)))
	for i := range c.sibs {
		x := &c.sibs[i]
		b = appendDotOf(append(b, byte(x.tag)), x.tip)
		b = binary.LittleEndian.AppendUint64(b, uint64(x.hlc))
		switch {
		case x.packed != nil:
			b = appendBytes(appendAway(append(b, listPack), x), x.packed)
		case x.away:
			b = appendAway(append(b, listAway), x)
		default:
			b = appendBytes(append(b, listHere), x.val)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(c.ghosts)))
	for _, g := range c.ghosts {
		b = appendDotOf(b, g)
	}
	return b
}

// decode reads a record's body into a cell, whose values are then parts of the record.
func (p *packed) decode(c *cell) {
	c.sibs, c.ghosts = c.sibs[:0], c.ghosts[:0]
	switch b := p.body; p.flags & bodyMask {
	case bodySibling, bodyAway:
		if cap(c.sibs) == 0 {
			c.sibs = c.room[:0]
		}
		c.sibs = append(c.sibs, p.sibling())
	case bodyGhost:
		t, _ := dotOf(b)
		c.ghosts = append(c.ghosts, t)
	default:
		n, b := number(b)
		c.sibs = slices.Grow(c.sibs, int(n))
		for range n {
			x := sibling{tag: Tag(b[0])}
			x.tip, b = dotOf(b[1:])
			x.hlc, b = HLC(binary.LittleEndian.Uint64(b)), b[8:]
			switch form := b[0]; form {
			case listHere:
				x.val, b = cut(b[1:])
			default:
				if b = x.takeAway(b[1:]); form == listPack {
					x.packed, b = cut(b)
				}
			}
			c.sibs = append(c.sibs, x)
		}
		n, b = number(b)
		c.ghosts = slices.Grow(c.ghosts, int(n))
		for range n {
			var t tip
			t, b = dotOf(b)
			c.ghosts = append(c.ghosts, t)
		}
	}
}

// sibling is the one of a record that holds one.
func (p *packed) sibling() (x sibling) {
	x.tag = p.tag
	b := p.body
	x.tip, b = dotOf(b)
	x.hlc, b = stamp(b, p.flags&recordWide != 0)
	if p.flags&bodyMask == bodyAway {
		if b = x.takeAway(b); p.flags&recordPack != 0 {
			x.packed, _ = cut(b)
		}
	} else {
		x.val, _ = cut(b)
	}
	return x
}

// value is the value in a body of one sibling.
func value(b []byte, wide bool) []byte {
	at := skip(b, skip(b, 0)) // origin and number
	if wide {
		at += 8
	} else {
		at = skip(b, at+5)
	}
	if n := int(b[at]); n < 0x80 {
		return b[at+1 : at+1+n : at+1+n]
	}
	val, _ := cut(b[at:])
	return val
}

// skip is where the varint at a place ends.
func skip(b []byte, at int) int {
	for b[at] >= 0x80 {
		at++
	}
	return at + 1
}

// present is cell.present of a record.
func (p *packed) present() bool {
	switch p.flags & bodyMask {
	case bodySibling, bodyAway:
		return shows(p.kind, p.tag)
	case bodyGhost:
		return false
	}
	var c cell
	c.kind = p.kind
	p.decode(&c)
	return c.present()
}

// purposeOf is what a record is for.
func purposeOf(b []byte) int {
	if b[0]&formMask == formHead {
		return forIndex
	}
	switch b[0] & bodyMask {
	case bodySibling, bodyAway:
		return forValue
	case bodyGhost:
		return forGhost
	}
	if p := unpack(b); p.body[0] == 0 {
		return forGhost
	}
	return forValue
}

// hashOf is the hash under which a table files a record.
func (s *store) hashOf(cell bool, ref uint64) uint64 {
	b := s.mem.Bytes(ref)
	if cell {
		p := unpack(b)
		return s.key.cellBytes(p.kind, p.sub)
	}
	return s.entryHash(b)
}

// entryHash places an entry by its record, solo or head.
func (s *store) entryHash(b []byte) uint64 {
	if b[0]&formMask == formSolo && CellKind(b[1]&15) == CellFlush {
		return 0
	}
	return s.key.bytes(0, entryKey(b))
}

// entryKey is the key in a record, solo or head.
func entryKey(b []byte) []byte {
	if b[0]&formMask == formHead {
		key, _ := cut(b[headKey:])
		return key
	}
	at := 2
	if b[1]&15 == nibbleWide {
		at++
	}
	if b[1]>>4 == nibbleWide {
		at++
	}
	key, _ := cut(b[at:])
	return key
}

// isRegister reports whether a record is an entry of one register and nothing else, which is in memory, as most are.
func isRegister(b []byte) bool {
	return b[0]&(formMask|bodyMask|recordNamed) == formSolo|bodySibling && b[1] == byte(CellValue)|byte(TagReg)<<4
}

// hasKey reports whether the record, solo or head, is of a key.
func hasKey(b []byte, key string) bool {
	const at = 3
	if n := len(key); n < 0x80 && len(b) >= at+n && isRegister(b) { // its length is one byte
		return int(b[2]) == n && string(b[at:at+n]) == key
	}
	return string(entryKey(b)) == key
}

// A head, by offset.
const (
	headExp   = 1
	headCount = headExp + 8
	headFew   = headCount + 4*headCounts
	headLive  = headFew + 1 // cells with siblings that are more than resets
	headSlots = headLive + 4
	headN     = headSlots + refBytes
	headSize  = headN + 4
	headSkew  = headSize + 5
	headKey   = headSkew + 1
)

// newHead makes an entry of several cells that has none yet.
func (s *store) newHead(key []byte) uint64 {
	ref, b := s.alloc(forIndex, headKey+binary.MaxVarintLen32+len(key))
	clear(b[:headKey])
	b[0] = formHead
	appendBytes(b[:headKey], key)
	return ref
}

// cellsOf is the table of a head. setCells writes back what was changed.
func (s *store) cellsOf(b []byte) (t table) {
	t.cells = true
	if t.slots = getRef(b[headSlots:]); t.slots != 0 {
		t.b = s.mem.Bytes(t.slots)
		t.b = t.b[:len(t.b)/slotBytes*slotBytes]
	}
	t.n = int(binary.LittleEndian.Uint32(b[headN:]))
	t.size = getRef(b[headSize:])
	t.skewed = b[headSkew] != 0
	return t
}

func setCells(b []byte, t *table) {
	putRef(b[headSlots:], t.slots)
	binary.LittleEndian.PutUint32(b[headN:], uint32(t.n))
	putRef(b[headSize:], t.size)
	b[headSkew] = 0
	if t.skewed {
		b[headSkew] = 1
	}
}

// headCounts is how many kinds of cells an entry may have many of.
const headCounts = 6

// countPlace is where a head counts the cells of a kind that show something: in four bytes, or, where an entry has at most one such
// cell, in a bit.
func countPlace(kind CellKind) (at int, bit byte) {
	switch kind {
	case CellMember:
		return headCount, 0
	case CellField:
		return headCount + 4, 0
	case CellScore:
		return headCount + 8, 0
	case CellItem:
		return headCount + 12, 0
	case CellNode:
		return headCount + 16, 0
	case CellEntry:
		return headCount + 20, 0
	case CellStream:
		return headFew, 8
	case CellFlag:
		return headFew, 2
	case CellBlock:
		return headFew, 4
	case CellBound:
		return headFew, 16
	}
	return headFew, 1
}

func headCountOf(b []byte, kind CellKind) int {
	at, bit := countPlace(kind)
	if bit == 0 {
		return int(int32(binary.LittleEndian.Uint32(b[at:])))
	}
	if b[at]&bit != 0 {
		return 1
	}
	return 0
}

func addHeadCount(b []byte, kind CellKind, n int) {
	at, bit := countPlace(kind)
	if bit == 0 {
		binary.LittleEndian.PutUint32(b[at:], uint32(headCountOf(b, kind)+n))
	} else {
		b[at] ^= bit
	}
}

// addHeadLive counts a cell that came to hold siblings which are more than resets, or ceased to.
func addHeadLive(b []byte, was, is bool) {
	n := int32(binary.LittleEndian.Uint32(b[headLive:]))
	if is && !was {
		n++
	} else if was && !is {
		n--
	}
	binary.LittleEndian.PutUint32(b[headLive:], uint32(n))
}

func headLiveCells(b []byte) int { return int(int32(binary.LittleEndian.Uint32(b[headLive:]))) }

// liveRecord is live of a record.
func (s *store) liveRecord(ref uint64) bool {
	if ref == 0 {
		return false
	}
	p := unpack(s.mem.Bytes(ref))
	switch p.flags & bodyMask {
	case bodyGhost:
		return false
	case bodyList:
		c := cell{kind: p.kind}
		p.decode(&c)
		return live(&c)
	}
	return p.tag != TagReset
}

func headExpiry(b []byte) int64        { return int64(binary.LittleEndian.Uint64(b[headExp:])) }
func setHeadExpiry(b []byte, at int64) { binary.LittleEndian.PutUint64(b[headExp:], uint64(at)) }

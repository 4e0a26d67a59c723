package crdt

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A pull brings a replica everything that a peer has seen and it has not, in one round trip whatever was
// missed: the puller says what it has seen (Hello), and the peer answers with chunks. A chunk
// covers a range of the hash space and carries the sender's whole context for it; the puller joins
// each cell of it against that context (rule 2), and then has seen, in that range, all that the
// sender has. See piece.go for why that needs no memory beyond the ranges.

// helloPiecesMax bounds the pieces that a Hello lists. Leaving one out only asks for more than is needed.
const helloPiecesMax = 64

// Hello encodes what this replica has seen, for a peer that is to be pulled from.
func (r *Region) Hello() []byte {
	var t originTable
	body := appendContext(nil, &t, r.Context())
	n := min(len(r.pieces), helloPiecesMax)
	body = binary.AppendUvarint(body, uint64(n))
	for _, x := range r.pieces[:n] {
		body = appendPos(appendPos(body, x.lo), x.hi)
		body = appendContext(body, &t, x.extra)
	}
	return t.seal(append([]byte{wireVersion}, r.id[:]...), body)
}

// Seen is what a peer's Hello says.
type Seen struct {
	Region  RegionID
	Context Context
	pieces  []piece
}

// DecodeHello reads a Hello. Errors: ErrMalformed, ErrVersion.
func DecodeHello(msg []byte) (*Seen, error) {
	d := decoder{b: msg}
	d.version("a hello")
	s := &Seen{}
	copy(s.Region[:], d.take(16))
	ids := d.origins()
	s.Context = d.context(ids)
	n := d.count(33)
	if n > helloPiecesMax {
		d.fail("%d pieces, limit %d", n, helloPiecesMax)
	}
	for range n {
		x := piece{lo: d.pos(), hi: d.pos(), extra: d.context(ids)}
		if d.err != nil {
			break
		}
		if k := len(s.pieces); x.hi.less(x.lo) || k > 0 && !s.pieces[k-1].hi.less(x.lo) {
			d.fail("pieces overlap or are out of order")
			break
		}
		s.pieces = append(s.pieces, x)
	}
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	return s, nil
}

// at gives the context at p and the last position that shares it.
func (s *Seen) at(p pos) (Context, pos) {
	for _, x := range s.pieces {
		if p.less(x.lo) {
			return s.Context, before(x.lo)
		}
		if !x.hi.less(p) {
			c := s.Context.Clone()
			c.Union(x.extra)
			return c, x.hi
		}
	}
	return s.Context, posMax
}

// Pull is the sending side of one pull. Its methods need the region as Update does.
type Pull struct {
	r       *Region
	peer    *Seen
	at      pos     // where the next chunk begins
	end     pos     // where the peer's context, or ours, changes
	theirs  Context // of the peer, in [at, end]
	ours    Context // of us, in [at, end], when the queue was last brought up to date
	buf     []byte  // the cells of one chunk
	queue   []*cell // cells that the peer must join, by position
	scopes  []span  // ranges in which the peer must join every cell it has
	version uint64
	pruned  uint64
	sent    Context        // what the peer knows of our context, by earlier chunks and its own hello
	floors  map[Origin]Seq // floors that the peer was told
	first   Context        // our context when the current pass began
	head    Context        // our context in the chunk that began the space,
	inEntry Context        // and in the one that began the entry at p.at
	passes  int
	started bool
	full    bool // the peer has not reached our floors in [at, end]
	over    bool
	start   Context // of MutantStaleCut
}

type span struct{ lo, hi pos }

// passesMax bounds the passes over the hash space. One more pass follows while the sender was written to
// during the last, so that the puller ends with one context for the whole space.
const passesMax = 4

// NewPull begins to answer a Hello.
func (r *Region) NewPull(peer *Seen) *Pull {
	return &Pull{r: r, peer: peer, sent: peer.Context, floors: map[Origin]Seq{}}
}

// Done reports whether the last chunk was made.
func (p *Pull) Done() bool { return p.over }

// Next makes the next chunk, of about maxBytes, or nil when the peer has all. One value larger than that
// makes a larger chunk.
func (p *Pull) Next(maxBytes int) []byte {
	if p.over {
		return nil
	}
	if !p.started {
		p.started = true
		p.first = p.r.Context()
		if p.upToDate() {
			p.over = true
			return nil
		}
		p.openRange(posMin)
	} else if at := p.rewind(); at != p.at {
		p.openRange(at)
	} else {
		p.refresh()
	}
	return p.chunk(maxBytes)
}

// upToDate reports whether the peer has, everywhere, all that we have. It compares range by range: what was
// pulled of a replica that then lost the rest stays known in a part of the space, and must not be sent for ever.
func (p *Pull) upToDate() bool {
	for at := posMin; ; {
		theirs, end := p.peer.at(at)
		if !theirs.Covers(p.r.contextAt(at)) {
			return false
		}
		if end = minPos(end, p.r.pieceEnd(at)); end == posMax {
			return true
		}
		at = end.next()
	}
}

// openRange begins at position at, up to where either side's context changes.
func (p *Pull) openRange(at pos) {
	r := p.r
	theirs, end := p.peer.at(at)
	p.at, p.end, p.theirs = at, minPos(end, r.pieceEnd(at)), theirs
	p.queue, p.scopes = nil, nil
	p.ours = r.contextAt(at)
	p.version, p.pruned = r.version, r.pruned
	if p.full = !r.reachesFloors(theirs); p.full {
		p.scope(span{p.at, p.end})
	}
	p.collect(theirs)
}

// rewind gives the position to go on from: p.at, or an earlier one when a removal with a scope came since, and its
// scope has been sent in part. A context that has seen such a removal must not be claimed for the rest of the scope
// by a peer that lacks its ghost, which is at the beginning: others who then pull that rest from the peer would
// find nothing there that tells of the removal.
func (p *Pull) rewind() pos {
	if p.at == posMin {
		return p.at
	}
	for _, c := range p.r.scopes {
		if p.untold(c, p.head) {
			return posMin
		}
	}
	at := p.at
	if at.c != 0 {
		start := pos{at.e, 0}
		for _, c := range p.r.cellsFrom(start, start) {
			if c.kind == CellDrop && p.untold(c, p.inEntry) {
				at = start
			}
		}
	}
	return at
}

// untold reports whether the peer lacks a ghost of c: it did at first, and the context that it was sent for c's
// position did too.
func (p *Pull) untold(c *cell, sent Context) bool {
	theirs, _ := p.peer.at(c.pos())
	return slices.ContainsFunc(c.ghosts, func(t tip) bool {
		d := p.r.dot(t)
		return !sent.Has(d) && !theirs.Has(d)
	})
}

// refresh brings the queue up to date with what happened here since the last chunk.
func (p *Pull) refresh() {
	r := p.r
	if r.version == p.version && r.pruned == p.pruned {
		return
	}
	if minPos(p.end, r.pieceEnd(p.at)) != p.end || r.pruned != p.pruned {
		p.openRange(p.at)
		return
	}
	old := p.ours
	p.ours, p.version = r.contextAt(p.at), r.version
	p.collect(old)
}

func (r *Region) contextAt(at pos) Context {
	c := r.Context()
	if x := r.pieceAt(at); x != nil {
		c.Union(x)
	}
	return c
}

// reachesFloors reports whether a replica that has seen c knows of every ghost pruned here.
func (r *Region) reachesFloors(c Context) bool {
	for i := range r.origins {
		if o := &r.origins[i]; o.floor > 0 {
			if runs := c[o.id]; !runs.Covers(Runs{Base: o.floor}) {
				return false
			}
		}
	}
	return true
}

// collect queues the cells of [at, end] with a dot that seen lacks.
func (p *Pull) collect(seen Context) {
	r := p.r
	added := false
	for i := range r.origins {
		o := &r.origins[i]
		o.index.missing(uint32(i), seen[o.id], func(s Seq, c *cell) {
			p.enqueue(c, tip{uint32(i), s})
			added = true
		})
	}
	if added {
		p.sortQueue()
	}
}

func (p *Pull) enqueue(c *cell, t tip) {
	if c.scopes() {
		if slices.Contains(c.ghosts, t) {
			p.scope(scopeOf(c))
		}
	}
	if at := c.pos(); !at.less(p.at) && !p.end.less(at) {
		p.queue = append(p.queue, c)
	}
}

func scopeOf(c *cell) span {
	if c.kind == CellFlush {
		return span{posMin, posMax}
	}
	return span{pos{c.e.hash, 0}, pos{c.e.hash, ^uint64(0)}}
}

// scope makes the peer join every cell of a range: ours are queued, the rest is removed there.
func (p *Pull) scope(s span) {
	s = span{maxPos(s.lo, p.at), minPos(s.hi, p.end)}
	for _, x := range p.scopes {
		if !s.lo.less(x.lo) && !x.hi.less(s.hi) {
			return
		}
	}
	if s.hi.less(s.lo) {
		return
	}
	p.scopes = append(p.scopes, s)
	p.queue = append(p.queue, p.r.cellsFrom(s.lo, s.hi)...)
	p.sortQueue()
}

// sortQueue orders the queue and leaves each cell in it once. Cells that are gone leave it first: one that came back
// has the same place as the one before.
func (p *Pull) sortQueue() {
	p.queue = slices.DeleteFunc(p.queue, func(c *cell) bool { return c.gone })
	slices.SortFunc(p.queue, func(a, b *cell) int {
		if n := a.pos().compare(b.pos()); n != 0 {
			return n
		}
		if a.e.key != b.e.key {
			return compareStrings(a.e.key, b.e.key)
		}
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return compareStrings(a.sub, b.sub)
	})
	p.queue = slices.Compact(p.queue)
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// cellsFrom lists the cells of [lo, hi] by position.
func (r *Region) cellsFrom(lo, hi pos) []*cell {
	var out []*cell
	r.entries.ascend(lo.e, func(h uint64, e *entry) bool {
		if h > hi.e {
			return false
		}
		from := uint64(0)
		if h == lo.e {
			from = lo.c
		}
		e.each(from, func(c *cell) bool {
			if h == hi.e && c.hash > hi.c {
				return false
			}
			out = append(out, c)
			return true
		})
		return true
	})
	return out
}

// Flags of a chunk.
const (
	chunkLast = 1 << iota
	chunkFull // the peer had not reached our floors: it takes them over
)

// chunk encodes the cells at the head of the queue. Cells that share a position stay together.
func (p *Pull) chunk(maxBytes int) []byte {
	r := p.r
	var t originTable
	cells := p.buf[:0]
	n, i := 0, 0
	for ; i < len(p.queue); i++ {
		if len(cells) >= maxBytes && p.queue[i].pos() != p.queue[i-1].pos() {
			break
		}
		if !p.queue[i].gone {
			cells = r.appendCell(cells, &t, p.queue[i], p.theirs)
			n++
		}
	}
	lo, hi := p.at, p.end
	if i < len(p.queue) {
		hi = p.queue[i-1].pos()
	}
	ours := p.ours
	if r.cfg.Mutant == MutantStaleCut {
		ours = p.staleCut(p.queue[:i])
	}
	p.queue = p.queue[i:]
	p.remember(lo, hi)
	p.buf = cells
	body := make([]byte, 0, 256+len(cells))
	body = appendPos(appendPos(body, lo), hi)
	body = p.appendCut(body, &t, ours)
	body = p.appendFloors(body, &t)
	body = p.appendScopes(body, lo, hi)
	body = append(binary.AppendUvarint(body, uint64(n)), cells...)
	full := p.full
	p.advance(hi)
	flags := byte(0)
	if p.over {
		flags = chunkLast
	}
	if full {
		flags |= chunkFull
	}
	head := append([]byte{wireVersion}, r.id[:]...)
	return t.seal(append(head, flags), body)
}

// remember keeps what rewind needs of the chunk that covers [lo, hi].
func (p *Pull) remember(lo, hi pos) {
	if lo == posMin {
		p.head = p.ours
	}
	if !(pos{hi.e, 0}).less(lo) {
		p.inEntry = p.ours
	}
}

// advance moves on behind hi: to the next range, the next pass, or the end.
func (p *Pull) advance(hi pos) {
	if hi != p.end {
		p.at = hi.next()
		return
	}
	if hi != posMax {
		p.openRange(hi.next())
		return
	}
	p.passes++
	now := p.r.Context()
	if p.first.Covers(now) || p.passes >= passesMax {
		p.over = true
		return
	}
	seen := p.peer.Context.Clone()
	seen.Union(p.first)
	p.peer = &Seen{Region: p.r.id, Context: seen}
	p.first = now
	p.openRange(posMin)
}

// appendCut tells the sender's context for this chunk as a change against what the peer knows of it.
func (p *Pull) appendCut(b []byte, t *originTable, ours Context) []byte {
	diff := Context{}
	for id, runs := range ours {
		if !p.sent[id].Equal(runs) {
			diff[id] = runs
		}
	}
	for id, runs := range p.sent {
		if _, ok := ours[id]; !ok && !runs.Empty() {
			diff[id] = Runs{}
		}
	}
	p.sent = ours
	return appendContext(b, t, diff)
}

func (p *Pull) appendFloors(b []byte, t *originTable) []byte {
	var ids []uint32
	for i := range p.r.origins {
		if o := &p.r.origins[i]; o.floor > p.floors[o.id] {
			ids = append(ids, uint32(i))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, i := range ids {
		o := &p.r.origins[i]
		p.floors[o.id] = o.floor
		b = binary.AppendUvarint(b, t.index(o.id))
		b = binary.AppendUvarint(b, uint64(o.floor))
	}
	return b
}

func (p *Pull) appendScopes(b []byte, lo, hi pos) []byte {
	var in []span
	for _, s := range p.scopes {
		if s = (span{maxPos(s.lo, lo), minPos(s.hi, hi)}); !s.hi.less(s.lo) {
			in = append(in, s)
		}
	}
	in = joinSpans(in)
	b = binary.AppendUvarint(b, uint64(len(in)))
	for _, s := range in {
		b = appendPos(appendPos(b, s.lo), s.hi)
	}
	return b
}

// joinSpans sorts spans and joins those that overlap.
func joinSpans(in []span) []span {
	slices.SortFunc(in, func(a, b span) int { return a.lo.compare(b.lo) })
	var out []span
	for _, s := range in {
		if n := len(out); n > 0 && !out[n-1].hi.less(s.lo) {
			out[n-1].hi = maxPos(out[n-1].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Forms of a tip in a chunk.
const (
	tipGhost = iota // a ghost
	tipKnown        // a sibling whose value the puller has, or has seen covered
	tipValue        // a sibling with its value
)

func (r *Region) appendCell(b []byte, t *originTable, c *cell, theirs Context) []byte {
	b = append(b, byte(c.kind))
	b = appendBytes(b, c.e.key)
	b = appendBytes(b, c.sub)
	b = binary.AppendUvarint(b, uint64(len(c.sibs)+len(c.ghosts)))
	for i := range c.sibs {
		s := &c.sibs[i]
		form := byte(tipValue)
		if theirs.Has(r.dot(s.tip)) {
			form = tipKnown
		}
		b = r.appendTip(b, t, s.tip, form)
		if form == tipValue {
			b = append(b, byte(s.tag))
			b = binary.BigEndian.AppendUint64(b, uint64(s.hlc))
			b = appendBytes(b, s.val)
		}
	}
	for _, g := range c.ghosts {
		b = r.appendTip(b, t, g, tipGhost)
	}
	return b
}

func (r *Region) appendTip(b []byte, t *originTable, x tip, form byte) []byte {
	b = append(b, form)
	b = binary.AppendUvarint(b, t.index(r.origins[x.org].id))
	return binary.AppendUvarint(b, uint64(x.seq))
}

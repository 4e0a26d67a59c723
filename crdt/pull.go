package crdt

import (
	"bytes"
	"cmp"
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
func (r *Region) Hello() []byte { return r.HelloWanting(nil) }

// HelloWanting is Hello with the hashes (EntryHash) of up to wantedMax entries that the peer is to send first.
func (r *Region) HelloWanting(wanted []uint64) []byte { return r.HelloSince(nil, wanted) }

// HelloSince is HelloWanting that tells the context as a change against base, which the peer knows from an earlier
// Hello: of a thousand writers it names those that wrote since. The peer finds base by its Hash.
func (r *Region) HelloSince(base Context, wanted []uint64) []byte {
	var t originTable
	body := binary.BigEndian.AppendUint64(nil, base.Hash())
	body = r.appendSeen(body, &t, base)
	wanted = wanted[:min(len(wanted), wantedMax)]
	body = binary.AppendUvarint(body, uint64(len(wanted)))
	for _, h := range wanted {
		body = binary.BigEndian.AppendUint64(body, h)
	}
	return t.seal(append([]byte{wireVersion}, r.id[:]...), body)
}

// seenNow is what this replica has seen, as a Hello of this moment says it.
func (r *Region) seenNow() *Seen {
	return &Seen{Region: r.id, Context: r.Context(), pieces: slices.Clone(r.pieces[:min(len(r.pieces), helloPiecesMax)])}
}

// appendSeen encodes what was seen: everywhere, and in pieces.
func (r *Region) appendSeen(b []byte, t *originTable, base Context) []byte {
	b = appendContext(b, t, base.changesTo(r.Context()))
	n := min(len(r.pieces), helloPiecesMax)
	return appendPieces(b, t, r.pieces[:n])
}

func appendPieces(b []byte, t *originTable, ps []piece) []byte {
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, x := range ps {
		b = appendPos(appendPos(b, x.lo), x.hi)
		b = appendContext(b, t, x.extra)
	}
	return b
}

// Seen is what a peer's Hello says.
type Seen struct {
	Region RegionID
	// Since is the Hash of the context that Context is a change against; 0 if it is whole. Resolve it before use.
	Since   uint64
	Context Context
	pieces  []piece
	wanted  []uint64
}

// DecodeHello reads a Hello. Errors: ErrMalformed, ErrVersion.
func DecodeHello(msg []byte) (*Seen, error) {
	d := decoder{b: msg}
	d.version("a hello")
	var id RegionID
	copy(id[:], d.take(16))
	ids := d.origins()
	since := d.u64()
	s := d.seen(ids)
	s.Region, s.Since = id, since
	n := d.count(8)
	if n > wantedMax {
		d.fail("%d entries wanted, limit %d", n, wantedMax)
	}
	for ; n > 0 && d.err == nil; n-- {
		s.wanted = append(s.wanted, d.u64())
	}
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	return s, nil
}

// seen reads what appendSeen wrote.
func (d *decoder) seen(ids []Origin) *Seen {
	s := &Seen{Context: d.context(ids)}
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
	return s
}

// Resolve makes a Hello whole that tells a change against base. It reports whether base is the one.
func (s *Seen) Resolve(base Context) bool {
	if s.Since != base.Hash() {
		return false
	}
	s.Context, s.Since = base.with(s.Context), 0
	return true
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
	queue   []pos   // of cells that the peer must join
	cells   []*cell // handles for the cells of a chunk
	taken   int     // of them in use
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

	offer   *offer // a reconciliation, see recon.go
	offers  int
	narrow  bool   // in the narrow form
	both    bool   // and the puller is to send what it has
	list    bool   // below the floors every cell is listed instead
	waiting bool   // for the puller's reply
	ready   []byte // what follows from the reply

	early   []uint64 // entries to send before all others, see early.go
	hurried bool     // early was decided
	walk    bool     // cells are looked up on the way instead of queued, see walk.go

	skips int   // cells that were left out, because a value of theirs cannot be read,
	err   error // and why
}

// flagsAt is where a chunk has its flags.
const flagsAt = 17

type span struct{ lo, hi pos }

// passesMax bounds the passes over the hash space. One more pass follows while the sender was written to
// during the last, so that the puller ends with one context for the whole space.
const passesMax = 4

// NewPull begins to answer a Hello, whole or resolved. A causal region that is loading has nothing to say, but to
// a peer that is loading too: two that load from each other would wait for ever.
func (r *Region) NewPull(peer *Seen) *Pull {
	return &Pull{r: r, peer: peer, sent: peer.Context, floors: map[Origin]Seq{}, over: r.Loading() && len(peer.pieces) == 0 || peer.Since != 0}
}

// skipsMax bounds the cells that a pull leaves out. With more, the disk is bad as a whole, and the pull ends.
const skipsMax = 16

// Err is why the pull leaves something out, or ended early: a value that the peer lacks is on disk alone, and cannot be read.
// Error: ErrUnreadable.
func (p *Pull) Err() error { return p.err }

// Done reports whether the last chunk was made.
func (p *Pull) Done() bool { return p.over }

// Next makes the next chunk, of about maxBytes, or nil when the peer has all. One value larger than that
// makes a larger chunk.
func (p *Pull) Next(maxBytes int) []byte {
	if msg := p.ready; msg != nil {
		p.ready = nil
		return msg
	}
	if p.over || p.waiting {
		return nil
	}
	if !p.started && p.upToDate() {
		p.over = true
		return nil
	}
	if p.mustOffer() {
		return p.makeOffer()
	}
	if !p.hurried {
		p.hurry()
	}
	if msg := p.earlyChunk(); msg != nil {
		return msg
	}
	if !p.started {
		p.started = true
		p.first = p.r.Context()
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
	p.full = !r.reachesFloors(theirs)
	list := p.full && !p.reconciled()
	if p.walk = r.mostlyLacking(theirs) || list; p.walk {
		p.openWalk(list)
		return
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
	if c := p.r.flushed(); c != nil && p.untold(c, p.head) {
		return posMin
	}
	at := p.at
	if at.c != 0 {
		start := pos{at.e, 0}
		p.r.store.eachCell(start, start, func(c *cell) bool {
			if c.kind == CellDrop && p.untold(c, p.inEntry) {
				at = start
			}
			return true
		})
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
	if !p.walk {
		p.collect(old)
	}
}

// reconciled reports whether the puller knows from a reconciliation which shared dots are gone.
func (p *Pull) reconciled() bool {
	return p.passes == 0 && p.offer != nil && p.offer.agreed && p.offer.pruned == p.r.pruned
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
			if runs := c.of(o.id); !runs.Covers(Runs{Base: o.floor}) {
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
		o.index.missing(&r.store, seen.of(o.id), func(s Seq, ref uint64) {
			p.enqueue(ref, tip{uint32(i), s})
			added = true
		})
	}
	if added {
		p.sortQueue()
	}
}

func (p *Pull) enqueue(ref uint64, t tip) {
	st := &p.r.store
	at, x := st.posOf(ref), unpack(st.mem.Bytes(ref))
	if isScope(x.kind) && st.isGhost(ref, t) {
		p.scope(scopeAt(at.e, x.kind))
	}
	if !at.less(p.at) && !p.end.less(at) {
		p.queue = append(p.queue, at)
	}
}

func scopeOf(c *cell) span { return scopeAt(c.at.e, c.kind) }

// scopeAt is what removals reach whose ghosts are in a cell of kind in an entry.
func scopeAt(entry uint64, kind CellKind) span {
	if kind == CellFlush {
		return span{posMin, posMax}
	}
	return span{pos{entry, 0}, pos{entry, ^uint64(0)}}
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
	if p.walk {
		return
	}
	p.queue = append(p.queue, p.r.store.places(s.lo, s.hi)...)
	p.sortQueue()
}

// sortQueue orders the queue and leaves each position in it once.
func (p *Pull) sortQueue() {
	slices.SortFunc(p.queue, pos.compare)
	p.queue = slices.Compact(p.queue)
}

// compareCells orders cells by position, and those that share one by name.
func compareCells(a, b *cell) int {
	if n := a.pos().compare(b.pos()); n != 0 {
		return n
	}
	return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(a.kind, b.kind), bytes.Compare(a.sub, b.sub))
}

func (r *Region) cellsFrom(lo, hi pos) []*cell { return r.store.cellsFrom(lo, hi) }

func (r *Region) eachCell(lo, hi pos, fn func(*cell) bool) { r.store.eachCell(lo, hi, fn) }

// Flags of a chunk.
const (
	chunkLast  = 1 << iota
	chunkFull  // the peer had not reached our floors: it takes them over
	chunkRecon // and it knows from a reconciliation what is gone: only what it has not seen is named
)

// chunk makes the next chunk of the range. Cells that share a position stay together.
func (p *Pull) chunk(maxBytes int) []byte {
	for {
		lo := p.at
		cells, hi := p.gather(maxBytes)
		cells, bad, ok := p.readable(cells)
		if !ok {
			if msg, more := p.skip(lo, bad, cells); msg != nil || !more {
				return msg
			}
			continue
		}
		msg := p.encode(lo, hi, cells)
		p.remember(lo, hi)
		if p.advance(hi); p.over && p.err == nil {
			msg[flagsAt] |= chunkLast
		}
		return msg
	}
}

// readable fetches the values that are to be sent. Where one cannot be read it gives the cells before its place, and that.
func (p *Pull) readable(cells []*cell) (before []*cell, bad pos, ok bool) {
	if p.r.aside().away == 0 {
		return cells, bad, true
	}
	for _, c := range cells {
		if err := p.r.fetch(c, p.sends); err != nil {
			p.err = cmp.Or(p.err, err)
			n := slices.IndexFunc(cells, func(x *cell) bool { return x.at == c.at })
			return cells[:n], c.at, false
		}
	}
	return cells, bad, true
}

// sends reports whether a sibling goes out with its value.
func (p *Pull) sends(s *sibling) bool { return !p.theirs.Has(p.r.dot(s.tip)) }

// skip makes the chunk before a place that is left out: the peer does not come to have seen it. more is false where the pull ends.
func (p *Pull) skip(lo, bad pos, cells []*cell) (msg []byte, more bool) {
	if p.skips++; p.skips > skipsMax || p.r.causal || bad == posMax {
		p.over = true
		return nil, false
	}
	if lo.less(bad) {
		hi := before(bad)
		msg = p.encode(lo, hi, cells)
		p.remember(lo, hi)
	}
	p.openRange(bad.next())
	return msg, true
}

// gather takes the cells of the next chunk, and tells where that ends.
func (p *Pull) gather(maxBytes int) (cells []*cell, hi pos) {
	if p.walk {
		return p.gatherWalking(maxBytes)
	}
	p.taken = 0
	i, size := 0, 0
	var refs []uint64
	for ; i < len(p.queue) && (size < maxBytes || i == 0); i++ {
		refs = p.r.store.at(p.queue[i], refs[:0])
		for _, ref := range refs {
			c := p.handle()
			p.r.store.load(c, ref)
			cells = append(cells, c)
			size += c.size()
		}
	}
	hi = p.end
	if i < len(p.queue) {
		hi = p.queue[i-1]
	}
	p.queue = p.queue[i:]
	return cells, hi
}

// handle gives one of the handles that a pull uses for each chunk anew.
func (p *Pull) handle() *cell {
	if p.taken == len(p.cells) {
		p.cells = append(p.cells, new(cell))
	}
	p.taken++
	return p.cells[p.taken-1]
}

// keep gives a handle like c that lasts until the next chunk.
func (p *Pull) keep(c *cell) *cell {
	x := p.handle()
	x.copyFrom(c)
	return x
}

// size is what a cell takes in a chunk, about.
func (c *cell) size() int {
	n := cellLead + len(c.key) + len(c.sub) + 6*len(c.ghosts)
	for i := range c.sibs {
		n += siblingLead + c.sibs[i].length()
	}
	return n
}

// About what a cell takes beside names and siblings, and a sibling beside its value.
const (
	cellLead    = 4
	siblingLead = 12
)

// encode makes a chunk of cells in [lo, hi].
func (p *Pull) encode(lo, hi pos, cells []*cell) []byte {
	var t originTable
	ours := p.ours
	if p.r.cfg.Mutant == MutantStaleCut {
		ours = p.staleCut(cells)
	}
	simple, others := splitSimple(cells)
	buf := binary.AppendUvarint(p.buf[:0], uint64(len(others)))
	for _, c := range others {
		buf = p.r.appendCell(buf, &t, c, p.theirs)
	}
	buf = p.r.appendColumns(buf, &t, simple, p.theirs)
	p.buf = buf
	body := make([]byte, 0, 256+len(buf))
	body = appendPos(appendPos(body, lo), hi)
	body = p.appendCut(body, &t, ours)
	body = p.appendFloors(body, &t)
	body = p.appendScopes(body, lo, hi)
	body = append(body, buf...)
	flags := byte(0)
	if p.full {
		flags = chunkFull
		if p.reconciled() {
			flags |= chunkRecon
		}
	}
	return t.seal(p.r.preamble(flags), body)
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
	seen := p.peer.Context.Clone()
	seen.Union(p.first)
	if p.err != nil || p.first.Covers(now) || p.passes >= passesMax || !p.r.reachesFloors(seen) { // floors rose: that is for another pull
		p.over = true
		return
	}
	p.peer = &Seen{Region: p.r.id, Context: seen}
	p.first = now
	p.openRange(posMin)
}

// appendCut tells the sender's context for this chunk as a change against what the peer knows of it.
func (p *Pull) appendCut(b []byte, t *originTable, ours Context) []byte {
	diff := p.sent.changesTo(ours)
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
	b = appendBytes(b, c.key)
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

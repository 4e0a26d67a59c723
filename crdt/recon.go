package crdt

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A peer that has not reached our floors cannot be told by intervals what was removed: the ghosts are gone. What
// both have seen and only one still holds is found by comparing sets of live dots instead, at a cost that goes
// with the difference:
//
//	sender                                              puller
//	  │◀──────────────── Hello: what was seen ────────────┤
//	  ├─ offer: what was seen here, 64 coded symbols ────▶│ subtracts its own, peels
//	  │◀──────────────── more: up to 200 ─────────────────┤ (not enough: it estimates how many are)
//	  ├─ symbols 64…199 ─────────────────────────────────▶│ knows which of its dots are gone
//	  │◀──────────────── go ──────────────────────────────┤
//	  ├─ chunks, as of any pull ─────────────────────────▶│ drops them range by range, as it claims the ranges
//
// The sets hold the live dots that the sender holds, or the puller, and that both have seen where they live: the
// puller's Hello and the sender's offer say what that is, once for the whole session. Later changes need no
// second look: what the sender removes or takes meanwhile leaves a tip in the chunks (or raises a floor, and the
// sender offers again), and what the puller gains meanwhile was not in its Hello, so that a chunk names it if the
// sender holds it (Receiver.settle).
//
// Large differences are told by bitmaps: all of the sender's live dots, a few bits each (bitmap.go). Small
// regions are listed, cell by cell, in one round trip.

// Kinds of messages of a pull that are not chunks: in the place of a chunk's flags.
const (
	msgOffer   = 0x80
	msgSymbols = 0x81
	msgBitmaps = 0x82
	// In the narrow form of coded symbols, for a puller that knows it.
	msgNarrowOffer   = 0x83
	msgNarrowSymbols = 0x84
)

// Replies of the puller.
const (
	replyGo      = 1 // it knows the difference
	replyMore    = 2 // it wants symbols up to a number
	replyBitmaps = 3 // the difference is large
	replyList    = 4 // list every cell
	replyBack    = 5 // as replyGo; what the puller has, and the sender lacks, follows: see back.go
)

const (
	offerSymbols = 64
	// symbolsMax bounds the symbols of a session. Beyond it bitmaps are shorter for any region that fits in memory.
	symbolsMax = 1 << 12
	// offersMax bounds the offers of a session: each time our floors rise meanwhile, another is due.
	offersMax = 3
	// offerBack, of a narrow offer's flags, asks for what the puller has.
	offerBack = 1
	// DefaultSmall is up to how many live siblings a region is listed rather than reconciled.
	DefaultSmall = 256
)

// offer is the sender's side of a reconciliation.
type offer struct {
	sketch *sketch
	pruned uint64    // Region.pruned when the sketch's items were taken
	sent   int       // symbols
	agreed bool      // the puller knows the difference
	back   *Receiver // of what the puller has; nil: it was not asked for that
}

// itemOf stands for one dot in a session's sets.
func (r *Region) itemOf(salt uint64, t tip) uint64 {
	h := r.origins[t.org].hash
	return mix(h^salt, uint64(t.seq)^mix(salt, h))
}

// itemMaker gives itemOf for one session.
func (r *Region) itemMaker(salt uint64, narrow bool) func(t tip) uint64 {
	if narrow {
		return func(t tip) uint64 { return r.itemOf(salt, t) >> (64 - narrowItemBits) }
	}
	return func(t tip) uint64 { return r.itemOf(salt, t) }
}

// Narrow says that the puller knows the narrow form of coded symbols.
func (p *Pull) Narrow() { p.narrow = true }

// Waiting reports whether Next gives nothing because the puller must reply first.
func (p *Pull) Waiting() bool { return p.waiting }

// below reports whether the peer has not reached our floors somewhere.
func (p *Pull) below() bool {
	for at := posMin; ; {
		theirs, end := p.peer.at(at)
		if !p.r.reachesFloors(theirs) {
			return true
		}
		if end == posMax {
			return false
		}
		at = end.next()
	}
}

// mustOffer reports whether a reconciliation is due before the next chunk.
func (p *Pull) mustOffer() bool {
	if p.list || p.passes > 0 || p.offer != nil && p.offer.agreed && p.offer.pruned == p.r.pruned || !p.below() {
		return false
	}
	small := p.r.live <= p.r.cfg.Small && p.offer == nil
	if p.list = small || p.offers >= offersMax || len(p.r.pieces) > helloPiecesMax; p.list {
		return false
	}
	if p.peer.Context.Count() == 0 && len(p.peer.pieces) == 0 { // it has seen nothing, so it holds nothing of what it has seen
		p.offer = &offer{pruned: p.r.pruned, agreed: true}
		return false
	}
	return true
}

// makeOffer begins a reconciliation.
func (p *Pull) makeOffer() []byte {
	r := p.r
	r.offers++
	p.offers++
	salt := mix(r.ContextHash()^r.digest, originHash(r.origin)+r.offers)
	named := p.named()
	items := r.sharedItems(r.itemMaker(salt, p.narrow), p.peer, nil, placesOf(named))
	o, kind := &offer{sketch: newSketch(salt, items), pruned: r.pruned}, byte(msgOffer)
	if p.narrow {
		o.sketch, kind = newNarrowSketch(salt, items), msgNarrowOffer
	}
	p.offer, p.waiting = o, true
	var t originTable
	body := p.appendOfferFlags(nil)
	body = r.appendSeen(body, &t, nil)
	body = binary.BigEndian.AppendUint64(body, salt)
	body = binary.AppendUvarint(body, uint64(len(o.sketch.items)))
	body = binary.AppendUvarint(body, uint64(len(named)))
	for _, h := range named {
		body = binary.BigEndian.AppendUint64(body, h)
	}
	body = p.appendSymbols(body, offerSymbols)
	return t.seal(r.preamble(kind), body)
}

// namedMax bounds the cells that an offer names.
const namedMax = 1 << 11

// named lists the places of the cells that the chunks will name, because the peer lacks a tip of theirs. They are joined
// whole, so what is in them need not be compared: 8 bytes here save a coded symbol and a half there. Where they are many
// it lists none.
func (p *Pull) named() []uint64 {
	r := p.r
	var out []uint64
	for i := range r.origins {
		o := &r.origins[i]
		o.index.missing(&r.store, p.peer.Context.of(o.id), func(s Seq, ref uint64) {
			if len(out) > namedMax {
				return
			}
			if at := r.store.posOf(ref); !p.peer.has(at, Dot{o.id, s}) && !(p.both && p.shares(at)) {
				out = append(out, at.place())
			}
		})
	}
	if len(out) > namedMax {
		return nil
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// place stands for a cell's position.
func (p pos) place() uint64 { return mix(p.e, p.c) }

func placesOf(list []uint64) map[uint64]struct{} {
	out := make(map[uint64]struct{}, len(list))
	for _, h := range list {
		out[h] = struct{}{}
	}
	return out
}

func (p pos) in(places map[uint64]struct{}) bool {
	if len(places) == 0 {
		return false
	}
	_, ok := places[p.place()]
	return ok
}

// sharedItems makes the items of the dots of eachShared outside some places.
func (r *Region) sharedItems(item func(tip) uint64, a, b *Seen, without map[uint64]struct{}) []uint64 {
	items := make([]uint64, 0, r.live)
	r.eachShared(a, b, func(ref uint64, t tip) {
		if len(without) == 0 || !r.store.posOf(ref).in(without) {
			items = append(items, item(t))
		}
	})
	return items
}

// appendSymbols encodes the coded symbols from the last one sent up to number upto.
func (p *Pull) appendSymbols(b []byte, upto int) []byte {
	o := p.offer
	o.sketch.extend(upto)
	b = binary.AppendUvarint(b, uint64(o.sent))
	if syms := o.sketch.syms[o.sent:upto]; o.sketch.narrow {
		b = appendNarrowSymbols(b, syms)
	} else {
		b = appendSymbols(b, syms)
	}
	o.sent = upto
	return b
}

// Reply takes the puller's reply to an offer or to symbols; then Next goes on. Errors: ErrMalformed, ErrVersion.
func (p *Pull) Reply(msg []byte) error {
	kind, upto, lacks, err := p.decodeReply(msg)
	if err != nil {
		return fmt.Errorf("region %q: reply: %w", p.r.name, err)
	}
	switch p.waiting = false; kind {
	case replyGo:
		p.offer.agreed = true
	case replyBack:
		p.offer.agreed = true
		p.expect(lacks)
	case replyMore:
		p.ready = p.appendSymbolsMessage(upto)
	case replyBitmaps:
		p.ready = p.bitmaps()
	case replyList:
		p.list = true
	}
	return nil
}

func (p *Pull) decodeReply(msg []byte) (kind byte, upto int, lacks []uint64, err error) {
	d := decoder{b: msg}
	d.version("a reply")
	if id := RegionID(append(d.take(16), make([]byte, 16)...)[:16]); d.err == nil && id != p.r.id {
		d.fail("it is for region %v", id)
	}
	kind = d.byte()
	if kind < replyGo || kind > replyList && (kind != replyBack || p.offer == nil || p.offer.back == nil) {
		d.fail("kind %d", kind)
	}
	if kind == replyMore {
		n := d.uvarint()
		if p.offer == nil || n <= uint64(p.offer.sent) || n > symbolsMax {
			d.fail("it wants %d symbols, limit %d", n, symbolsMax)
		}
		upto = int(n)
	}
	if kind == replyBack && d.err == nil {
		lacks = d.lacks()
	}
	if !p.waiting {
		d.fail("nothing was asked")
	}
	return kind, upto, lacks, d.done()
}

func (p *Pull) appendSymbolsMessage(upto int) []byte {
	p.waiting = true
	kind := byte(msgSymbols)
	if p.offer.sketch.narrow {
		kind = msgNarrowSymbols
	}
	var t originTable
	return t.seal(p.r.preamble(kind), p.appendSymbols(nil, upto))
}

// bitmaps tells every shared live dot. The puller needs no further word.
func (p *Pull) bitmaps() []byte {
	r := p.r
	seqs := make([][]Seq, len(r.origins))
	r.eachShared(p.peer, nil, func(_ uint64, t tip) { seqs[t.org] = append(seqs[t.org], t.seq) })
	var t originTable
	var body []byte
	n := 0
	for i, s := range seqs {
		if len(s) > 0 {
			n++
			body = binary.AppendUvarint(body, t.index(r.origins[i].id))
			body = appendSeqSet(body, s)
		}
	}
	p.offer.pruned, p.offer.agreed = r.pruned, true
	// What was shared when the offer was made, and is gone by now, is in the chunks.
	return t.seal(p.r.preamble(msgBitmaps), append(binary.AppendUvarint(nil, uint64(n)), body...))
}

// eachShared calls fn on the record of every live sibling whose dot a has seen where it lives, and b too unless it is nil: by
// origin, then by number.
func (r *Region) eachShared(a, b *Seen, fn func(ref uint64, t tip)) {
	for i := range r.origins {
		o := &r.origins[i]
		o.index.each(&r.store, 0, func(seq Seq, ref uint64) bool {
			t, d := tip{uint32(i), seq}, Dot{o.id, seq}
			if !r.store.isGhost(ref, t) && r.seenIn(a, ref, d) && (b == nil || r.seenIn(b, ref, d)) {
				fn(ref, t)
			}
			return true
		})
	}
}

// seenIn reports whether s has seen d where the record's cell is. That is looked up only where it matters.
func (r *Region) seenIn(s *Seen, ref uint64, d Dot) bool {
	if s.Context.Has(d) || len(s.pieces) == 0 {
		return s.Context.Has(d)
	}
	return s.has(r.store.posOf(ref), d)
}

// has reports whether s has seen d at a position.
func (s *Seen) has(at pos, d Dot) bool {
	if s.Context.Has(d) || len(s.pieces) == 0 {
		return s.Context.Has(d)
	}
	x := pieceIn(s.pieces, at)
	return x != nil && x.Has(d)
}

// recon is the puller's side of a reconciliation.
type recon struct {
	salt   uint64
	peer   *Seen               // what the sender had seen
	size   int                 // live dots that it shares with us
	named  map[uint64]struct{} // places of cells that its chunks will name
	item   func(tip) uint64
	peel   *peeler
	got    int // symbols
	drops  map[Dot]pos
	agreed bool

	both   bool   // the sender wants what we have
	pruned uint64 // Region.pruned when the sketch's items were taken
	likely int    // differences that the contexts lead to expect
}

// TakeReply gives what the sender waits for, or nil.
func (rc *Receiver) TakeReply() []byte {
	msg := rc.reply
	rc.reply = nil
	return msg
}

func (rc *Receiver) answer(kind byte, upto int) {
	b := rc.r.preamble(kind)
	if kind == replyMore {
		b = binary.AppendUvarint(b, uint64(upto))
	}
	rc.reply = b
}

// reconcile takes a message that is not a chunk.
func (rc *Receiver) reconcile(msg []byte) error {
	d := decoder{b: msg}
	d.take(17)
	kind := d.byte()
	ids := d.origins()
	switch kind {
	case msgOffer, msgNarrowOffer:
		rc.takeOffer(&d, ids, kind == msgNarrowOffer)
	case msgSymbols, msgNarrowSymbols:
		rc.takeSymbols(&d, kind == msgNarrowSymbols)
	case msgBitmaps:
		rc.takeBitmaps(&d, ids)
	default:
		d.fail("a message of kind %#x in a pull", kind)
	}
	return d.done()
}

func (rc *Receiver) takeOffer(d *decoder, ids []Origin, narrow bool) {
	r := rc.r
	flags := byte(0)
	if narrow {
		if flags = d.byte(); flags&^offerBack != 0 {
			d.fail("an offer with flags %#x", flags)
		}
	}
	x := &recon{peer: d.seen(ids), salt: d.u64(), both: flags&offerBack != 0, pruned: r.pruned}
	x.peer.Region = r.id
	x.size = int(min(d.uvarint(), 1<<40))
	n := d.count(8)
	if n > namedMax {
		d.fail("%d cells named, limit %d", n, namedMax)
	}
	x.named = make(map[uint64]struct{}, n)
	for ; n > 0 && d.err == nil; n-- {
		x.named[d.u64()] = struct{}{}
	}
	if d.err != nil {
		return
	}
	x.item = r.itemMaker(x.salt, narrow)
	items := r.sharedItems(x.item, rc.told, x.peer, x.named)
	if narrow {
		x.peel = newNarrowPeeler(newNarrowSketch(x.salt, items), x.size)
		x.likely = x.expected(rc.told)
	} else {
		x.peel = newPeeler(newSketch(x.salt, items))
	}
	rc.recon = x
	rc.takeSymbols(d, narrow)
}

// expected is how many items differ if every write that one side has seen and the other has not covered one sibling, as most do,
// but for those that the chunks will name.
func (x *recon) expected(told *Seen) int {
	return int(min(told.Context.Missing(x.peer.Context)+x.peer.Context.Missing(told.Context), 1<<40)) - len(x.named)
}

func (rc *Receiver) takeSymbols(d *decoder, narrow bool) {
	x := rc.recon
	from := d.uvarint()
	if x == nil || x.peel == nil || from != uint64(x.got) || narrow != x.peel.mine.narrow {
		d.fail("symbols from %d on that were not asked for", from)
		return
	}
	take := d.symbols
	if narrow {
		take = d.narrowSymbols
	}
	syms := take()
	if d.err != nil || len(syms) == 0 || x.got+len(syms) > symbolsMax {
		d.fail("%d symbols after %d, limit %d", len(syms), x.got, symbolsMax)
		return
	}
	x.got += len(syms)
	if err := x.peel.add(syms); err != nil {
		d.fail("%v", err)
		return
	}
	if !x.peel.done() {
		rc.wantMore()
		return
	}
	gone, came, ok := x.peel.difference()
	switch {
	case !ok && !narrow:
		d.fail("symbols of no set")
	case !ok || narrow && !x.peel.mine.unique(gone): // hashes so short may be those of two
		rc.wantBitmaps()
	default:
		rc.settleOn(gone, came)
	}
}

// symbolCost is about what a coded symbol takes on the wire, bytes.
const symbolCost = 15

func (rc *Receiver) wantBitmaps() {
	rc.recon.peel = nil
	rc.answer(replyBitmaps, 0)
}

// wantMore asks for what is likely to do, or for bitmaps where those are shorter.
func (rc *Receiver) wantMore() {
	x := rc.recon
	more := x.peel.more()
	// What the contexts let expect is mostly exact, where it is not far from what the symbols let estimate.
	if e := x.peel.estimate(); x.got == offerSymbols && x.likely*3 >= e*2 && x.likely*5 <= e*8 {
		more = x.peel.moreFor(x.likely)
	}
	if x.got+more > symbolsMax || more*symbolCost > x.size/2+1024 {
		rc.wantBitmaps()
		return
	}
	rc.answer(replyMore, x.got+more)
}

// settleOn ends the reconciliation: only we hold gone, only the sender came.
func (rc *Receiver) settleOn(gone, came []uint64) {
	x := rc.recon
	x.drops = rc.r.behind(gone, x.item, rc.told, x.peer, x.named)
	x.peel, x.agreed = nil, true
	if !rc.giveBack(came) {
		rc.answer(replyGo, 0)
	}
}

// behind finds the dots of eachShared behind hashes, outside some places.
func (r *Region) behind(hashes []uint64, item func(tip) uint64, a, b *Seen, without map[uint64]struct{}) map[Dot]pos {
	drops := make(map[Dot]pos, len(hashes))
	if want := placesOf(hashes); len(hashes) > 0 {
		r.eachShared(a, b, func(ref uint64, t tip) {
			if _, ok := want[item(t)]; ok {
				if at := r.store.posOf(ref); !at.in(without) {
					drops[r.dot(t)] = at
				}
			}
		})
	}
	return drops
}

// takeBitmaps drops all shared dots that the sender does not list.
func (rc *Receiver) takeBitmaps(d *decoder, ids []Origin) {
	r, x := rc.r, rc.recon
	if x == nil || x.agreed {
		d.fail("bitmaps that were not asked for")
		return
	}
	live := map[Origin]*seqSet{}
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		id := d.origin(ids)
		s := d.seqSet()
		live[id] = &s
	}
	if d.err != nil {
		return
	}
	x.drops = map[Dot]pos{}
	r.eachShared(rc.told, x.peer, func(ref uint64, t tip) { // in the order of the sets
		if s := live[r.origins[t.org].id]; s == nil || !s.has(t.seq) {
			x.drops[r.dot(t)] = r.store.posOf(ref)
		}
	})
	x.peel, x.agreed = nil, true
}

// settle drops, in the range of a chunk that follows a reconciliation, what the sender has seen and no longer holds.
// Cells that the chunk names are joined already. In the others that is what the reconciliation found, and what
// was not in our Hello: had the sender held it, it would have named it. quiet says that nothing came to be here since the
// Hello but what earlier chunks brought to other ranges.
func (rc *Receiver) settle(c *chunk, cut Context, quiet bool) {
	r := rc.r
	drops := map[Dot]pos{}
	if rc.recon != nil {
		drops = rc.recon.drops
	}
	var places []pos
	if quiet {
		for _, at := range drops {
			if !at.less(c.lo) && !c.hi.less(at) {
				places = append(places, at)
			}
		}
		slices.SortFunc(places, pos.compare)
		places = slices.Compact(places)
	} else {
		places = r.store.places(c.lo, c.hi)
	}
	r.store.rewriteCells(places, func(x *cell) {
		if c.joins(x, r.store.key) {
			return
		}
		gone := func(s *sibling) bool {
			d := r.dot(s.tip)
			if _, ok := drops[d]; ok {
				return true
			}
			return !quiet && cut.Has(d) && !rc.told.has(x.at, d)
		}
		if slices.ContainsFunc(x.sibs, func(s sibling) bool { return gone(&s) }) {
			r.change(x, func() { r.dropWhere(x, gone, nil) })
		}
	})
}

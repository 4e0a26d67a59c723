package crdt

import (
	"encoding/binary"
	"slices"
)

// Two replicas that both changed and both forgot would reconcile twice, once for each pull, and each pull would compare
// what the other compares. One pull is enough: who has found how two sets differ knows it both ways.
//
//	sender                                              puller
//	  ├─ offer, asking for what is there ───────────────▶│
//	  │         …                                        │ knows which dots of either side are gone
//	  │◀── back: hashes of what it has dropped; chunks ──┤ its own, as the sender of a pull whose Hello is the offer
//	  ├─ chunks ────────────────────────────────────────▶│
//
// The offer says what the sender has seen, as a Hello does, and the sender drops what the puller does not hold any more, as a
// puller drops. Each side makes its chunks before it merges those of the other: merging raises floors.
//
// A cell that the sender's chunks will name is left out of the sketch only if it holds nothing that both have seen: of such
// a cell the puller's chunks need to say nothing.

// BothWays asks the puller, in an offer, for what it has: after the last reply its chunks are for Back. It implies Narrow.
func (p *Pull) BothWays() { p.narrow, p.both = true, true }

// Back is what merges the chunks that follow the puller's reply, or nil where it sent none. Merge them after the last
// chunk of this pull was made. Where another offer was made since, those that answered the one before are void: they go by what that one said.
func (p *Pull) Back() *Receiver {
	if p.offer == nil || p.offer.back == nil || !p.offer.agreed || p.offer.back.recon == nil {
		return nil
	}
	return p.offer.back
}

// appendOfferFlags begins an offer of the narrow form. Where it asks for what the puller has it notes what it says was seen here.
func (p *Pull) appendOfferFlags(b []byte) []byte {
	if !p.narrow {
		return b
	}
	if !p.both {
		return append(b, 0)
	}
	p.offer.back = p.r.NewReceiver()
	return append(b, offerBack)
}

// shares reports whether a cell at a place holds a sibling that the peer has seen.
func (p *Pull) shares(at pos) bool {
	r := p.r
	for _, ref := range r.store.at(at, nil) {
		var c cell
		r.store.load(&c, ref)
		if slices.ContainsFunc(c.sibs, func(s sibling) bool { return p.peer.has(at, r.dot(s.tip)) }) {
			return true
		}
	}
	return false
}

// expect takes what the puller dropped of the sketch's items. Where a hash is that of two of ours nothing is expected: then
// what the puller has is for a pull of our own.
func (p *Pull) expect(lacks []uint64) {
	r, o := p.r, p.offer
	if !o.sketch.unique(lacks) {
		return
	}
	item := r.itemMaker(uint64(o.sketch.salt), true)
	o.back.recon = &recon{peer: p.peer, drops: r.behind(lacks, item, p.peer, nil, nil), agreed: true}
}

// giveBack answers with what we dropped, where the sender wants what we have. It does not where floors rose here meanwhile.
func (rc *Receiver) giveBack(came []uint64) bool {
	r, x := rc.r, rc.recon
	if !x.both || rc.withhold || x.pruned != r.pruned {
		return false
	}
	rc.back = r.NewPull(x.peer)
	rc.back.offer = &offer{pruned: r.pruned, agreed: true}
	rc.answer(replyBack, 0)
	if !rc.back.below() {
		came = nil // it has our ghosts, or gets them
	}
	rc.reply = binary.AppendUvarint(rc.reply, uint64(len(came)))
	for _, item := range came {
		rc.reply = appendItem(rc.reply, item)
	}
	return true
}

// TakeBack gives, once, what makes the chunks that the sender asked for, or nil. They follow the reply, and are to be made
// before anything more of the sender is merged.
func (rc *Receiver) TakeBack() *Pull {
	back := rc.back
	rc.back = nil
	return back
}

// lacks decodes the items of a replyBack.
func (d *decoder) lacks() []uint64 {
	n := d.count(narrowItemBytes)
	if n > sketchMax {
		d.fail("%d items, limit %d", n, sketchMax)
		return nil
	}
	out := make([]uint64, 0, n)
	for range n {
		out = append(out, d.item())
	}
	if !slices.IsSorted(out) || len(slices.Compact(slices.Clone(out))) < n {
		d.fail("items out of order")
	}
	return out
}

// Withhold says whether to give nothing back, whatever the sender asks for.
func (rc *Receiver) Withhold(yes bool) { rc.withhold = yes }

// Forgot reports whether a replica that has seen c may lack ghosts that were pruned here.
func (r *Region) Forgot(c Context) bool { return !r.reachesFloors(c) }

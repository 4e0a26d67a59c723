package fabric

import "github.com/edgemem/edgemem/crdt"

// The context of a region with a thousand writers takes 20 KB, of which a second later a few bytes are others. A hello
// therefore tells what changed since the last one to the same peer, which both sides keep. A peer that does not have it
// (it began anew, or never got it) wants the hello again, and gets it in full.

const (
	// baseMin is how many writers a region must have for that.
	baseMin = 16
	// basesMax bounds the contexts that are kept for a peer, in each direction. The hellos of further regions are told in full.
	basesMax = 64
)

// bases are the contexts of a peer's last hellos, or of ours to it. The owner guards them.
type bases map[crdt.RegionID]crdt.Context

// keep notes what a hello said.
func (b *bases) keep(id crdt.RegionID, c crdt.Context) {
	if _, known := (*b)[id]; len(c) < baseMin || !known && len(*b) >= basesMax {
		delete(*b, id)
		return
	}
	if *b == nil {
		*b = bases{}
	}
	(*b)[id] = c
}

// sayHello makes a hello for the peer, in full or as a change, that asks for some entries first.
func (p *peer) sayHello(r *crdt.Region, full bool, wanted []uint64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var base crdt.Context
	if !full {
		base = p.said[r.ID()]
	}
	msg := r.HelloSince(base, wanted)
	p.said.keep(r.ID(), r.Context())
	return msg
}

// understand makes a hello of the peer whole. It reports whether that was possible.
func (p *peer) understand(h *crdt.Seen) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.Since != 0 && !h.Resolve(p.heardOf[h.Region]) {
		return false
	}
	p.heardOf.keep(h.Region, h.Context)
	return true
}

package fabric

import (
	"maps"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// keepers are the nodes that hold a region, as the catalogue says. Two nodes compare, list and send each other a region that is not
// everywhere if both are in it, so that who is without costs nothing; and what is known of the others' copies counts from when they were in
// it. Nodes of earlier versions hold every region. Those that know of placements say so, and are keepers like others; those before that are compared with and
// pulled from and by, so that all that is written there is here, and the other way round, and count as holders for nothing else. What they list of a region that is not here is
// passed over; they cannot be told that it is none of ours, so that they compare more, and send what is not wanted, as long as a node
// without a copy meets them.
//
// It does not change, but for what Region.keepers points to, under prints.refreshing.
type keepers struct {
	placed bool                   // else it is everywhere, and was not before
	since  uint64                 // prints.moment of when placed changed
	notes  map[crdt.NodeID]string // what the catalogue says of each,
	at     map[crdt.NodeID]uint64 // and prints.moment of when it was read
}

// isPlaced reports whether the region is not everywhere, as far as this node compares it.
func (r *Region) isPlaced() bool {
	k := r.keepers.Load()
	return k != nil && k.placed
}

// keptBy reports whether a node has a copy: any, of a region that is everywhere.
func (r *Region) keptBy(id crdt.NodeID) bool {
	k := r.keepers.Load()
	return k == nil || !k.placed || k.at[id] > 0
}

// sharedWith reports whether this node and another one have a copy, and say so; or the other one may be of a version that knows of no placement, and
// holds whatever it meets without saying so: until it said what it can.
func (r *Region) sharedWith(id crdt.NodeID) bool {
	if !r.has() || !r.keptBy(r.f.cfg.Node) {
		return false
	}
	if r.keptBy(id) {
		return true
	}
	p := r.f.mesh.peer(id)
	return p != nil && !p.moves.Load()
}

// able notes what a peer can, as it said.
func (p *peer) able(can abilities) {
	p.can.Store(uint64(can))
	p.moves.Store(can&canMove != 0)
}

// comparedIn reports whether an exchange with a peer was about the region, too.
func (r *Region) comparedIn(s *step, id crdt.NodeID) bool {
	k := r.keepers.Load()
	return k == nil || s.moment > k.since && (!k.placed || s.moment > k.at[id] && s.moment > k.at[r.f.cfg.Node])
}

// keeping leaves those of some peers that have a copy; nil, of which nothing is known, stays.
func (r *Region) keeping(peers []*peer) []*peer {
	if !r.isPlaced() {
		return peers
	}
	return slices.DeleteFunc(slices.Clone(peers), func(p *peer) bool { return p != nil && !r.keptBy(p.id) })
}

// onlyHere reports whether no other node is known to have a copy.
func (r *Region) onlyHere() bool {
	k := r.keepers.Load()
	return k != nil && k.placed && (len(k.at) == 0 || len(k.at) == 1 && k.at[r.f.cfg.Node] > 0)
}

// setKeepers takes over who holds the region, nil for everybody. The caller holds no lock.
func (r *Region) setKeepers(notes map[crdt.NodeID]string) {
	p := r.f.mesh.prints
	was := r.keepers.Load()
	if notes == nil && (was == nil || !was.placed) || notes != nil && was != nil && was.placed && maps.Equal(was.notes, notes) {
		return
	}
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	p.moment++
	k := &keepers{placed: notes != nil, since: p.moment, notes: notes, at: map[crdt.NodeID]uint64{}}
	if was == nil {
		was = &keepers{}
	}
	if was.placed == k.placed {
		k.since = was.since
	}
	for id, note := range notes {
		if old, ok := was.notes[id]; ok && old == note {
			k.at[id] = was.at[id]
			continue
		}
		k.at[id] = p.moment
	}
	known := r.f.mesh.known()
	for id, peer := range known {
		if was.at[id] != k.at[id] && was.placed {
			peer.parted(r.id)
		}
	}
	r.keepers.Store(k)
	if was.placed != k.placed {
		r.mu.Lock()
		r.stir(r.calm())
		r.mu.Unlock()
	}
}

// readKeepers reads who says that it holds a region.
func readKeepers(v *crdt.View, name string) map[crdt.NodeID]string {
	out := map[crdt.NodeID]string{}
	_ = v.MapEach(name, func(field string, b []byte) bool { // no map: nobody said anything
		id, ok := strings.CutPrefix(field, fieldHolder)
		if _, _, is := parseNote(b); ok && is && len(id) <= nodeIDMax && len(out) < nodesMax {
			out[crdt.NodeID(id)] = string(b)
		}
		return true
	})
	return out
}

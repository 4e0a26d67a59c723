package sim

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// collapse lets a node collapse its starts, up to one of them. A node does so when all members are known to have no more of
// them than itself; here it is when nothing that can come back has: no replica, disk, backup or message. Writes that are
// nowhere were lost when it crashed, and their number is theirs for ever.
func (w *world) collapse(who int, rng *rand.Rand) int {
	n := w.nodes[who]
	w.oracle.learn(&n.known, n.r)
	starts := n.r.Starts()
	if len(starts) == 0 {
		return -1
	}
	upto := n.r.Self().Number()
	if rng.IntN(3) == 0 {
		upto = starts[rng.IntN(len(starts))].Origin.Number()
	}
	upto = w.elsewhere(who, upto)
	if c := n.r.Collapse(upto); c > 0 {
		w.say("n%d collapses %d starts below number %d", who, c, upto-crdt.FirstNumber)
		w.collapsed += c
		w.void(who, n.r.Context()[n.r.Self().Line()].Base)
	}
	return who
}

// elsewhere is the least number below upto of a start of a node that has a write somewhere which the node has not seen, or
// upto.
func (w *world) elsewhere(who int, upto uint32) uint32 {
	n := w.nodes[who]
	var places []*crdt.Region
	for i, x := range w.oracle.writes {
		if n.known.has(i) || w.oracle.void.has(i) || x.Dot.Origin.Line() != n.r.Self().Line() || x.Dot.Origin.Number() >= upto {
			continue
		}
		if places == nil {
			places = w.places()
		}
		incorporated := func(r *crdt.Region) bool { return r.Incorporated(x.Key, x.Kind, x.Sub, x.Dot) }
		pushed := func(m message) bool { return m.origin == x.Dot.Origin }
		waits := func(r *crdt.Region) bool { n, _ := r.Waiting(); return n > 0 } // it may be for this one
		if slices.ContainsFunc(places, incorporated) || slices.ContainsFunc(places, waits) || slices.ContainsFunc(w.flight, pushed) {
			upto = x.Dot.Origin.Number()
		}
	}
	return upto
}

// places gives all replicas, those on disks and in backups included.
func (w *world) places() (out []*crdt.Region) {
	for i, n := range w.nodes {
		out = append(out, n.r)
		for _, img := range append(slices.Clone(n.backups), n.disk) {
			r := crdt.NewRegion(crdt.Config{Name: regionName, Self: originOf(i, 0)})
			for _, k := range slices.Sorted(maps.Keys(img)) {
				if err := r.Load(crdt.Record{Key: []byte(k), Value: img[k]}); err != nil {
					w.fail(err)
				}
			}
			r.Loaded(w.now)
			out = append(out, r)
		}
	}
	return out
}

// void notes the writes of a node below its line that it has not seen: they are nowhere.
func (w *world) void(who int, line crdt.Seq) {
	n := w.nodes[who]
	for i, x := range w.oracle.writes {
		if !n.known.has(i) && x.Dot.Origin.Line() == n.r.Self().Line() && crdt.Seq(x.Dot.Origin.Number()) < line {
			w.oracle.void.set(i)
			w.lost.set(i)
		}
	}
}

// forgetBelow drops what a replica keeps below some line.
func (w *world) forgetBelow(who int, rng *rand.Rand) int {
	ctx := w.nodes[who].r.Context()
	ids := slices.DeleteFunc(ctx.Origins(), func(id crdt.Origin) bool { return !id.IsLine() })
	if len(ids) == 0 {
		return -1
	}
	line := ids[rng.IntN(len(ids))]
	c := w.nodes[who].r.ForgetBelow(line, ctx[line].Base)
	w.say("n%d forgets %d starts below number %d of %v", who, c, ctx[line].Base-crdt.FirstNumber, line)
	w.forgotten += c
	return who
}

package crdt

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Each start of a node that writes is an origin of its own, so a context would grow with every restart. The starts of one
// node are therefore numbered, and together they are its line. Once a node knows that nobody has writes of its earlier starts
// that it has not seen itself, it collapses them (Collapse): one entry of the context, the line, says "everything of starts
// below number m was seen", and their own entries go.
//
//	origin   tag of the node, 6 bytes │ number of the start, 4 │ hash of its nonce, 6
//	line     tag of the node, 6 bytes │ ff ff ff ff │ "line" 0 0       seen up to m-1: Runs{Base: m}
//
// A line is stored, sent, compared and covered like any origin; only what it says is special (Context.Has). It spreads by
// pulls, as part of the sender's context. Who has the line keeps an origin below it only while writes of that
// origin live here (ForgetBelow).
//
// Only the node itself raises its line, never beyond its running start. So whoever meets a line of its own that is further
// than its own was put back to an earlier state, or another process has its key: it keeps what it alone may have
// (protect), and a process whose own number is below the line takes a new one first (ErrRolledBack). What such a
// process wrote, nobody but others of the kind has seen and it does not bring back itself is lost below the line: a
// driver lets a start rest for long before it collapses it.

const (
	tagBytes = 6
	// FirstNumber is the least number of a start. Origins of lower numbers are of the time before lines.
	FirstNumber = 1 << 20
	// numberEpoch is the instant, Unix seconds, from which starts are numbered by the second: 2020-01-01.
	numberEpoch = 1_577_836_800
)

var lineMark = [10]byte{0xff, 0xff, 0xff, 0xff, 'l', 'i', 'n', 'e'}

// allRuns are the runs of an origin below a line.
var allRuns = Runs{Base: maxSeq}

// StartNumber is the number for a start at an instant, Unix milliseconds, whose node has given numbers up to last. Numbers go
// by the clock so that a node put back to an earlier state does not give one twice; where the clock is wrong they
// still grow.
func StartNumber(nowMillis int64, last uint32) uint32 {
	byClock := min(max(nowMillis/1000-numberEpoch, 0), 1<<32-1<<20)
	return uint32(min(max(byClock, int64(last)+1, FirstNumber), 1<<32-1))
}

// StartedAt is about when the start of a number was, Unix milliseconds, if its clock was right.
func StartedAt(number uint32) int64 { return (int64(number) + numberEpoch) * 1000 }

// Line names the line of the origin's node.
func (o Origin) Line() Origin {
	copy(o[tagBytes:], lineMark[:])
	return o
}

// IsLine reports whether o names a line: the sequence numbers of its runs are numbers of starts.
func (o Origin) IsLine() bool { return [10]byte(o[tagBytes:]) == lineMark }

// Number is the number of the start within its node's line.
func (o Origin) Number() uint32 { return binary.BigEndian.Uint32(o[tagBytes:]) }

func (o Origin) sameLine(p Origin) bool { return [tagBytes]byte(o[:]) == [tagBytes]byte(p[:]) }

// below reports whether the context has the origin's line beyond it: everything of it was seen.
func (c Context) below(id Origin) bool {
	line := c[id.Line()]
	return Seq(id.Number()) < line.Base && !id.IsLine()
}

// of is what was seen of an origin.
func (c Context) of(id Origin) Runs {
	if c.below(id) {
		return allRuns
	}
	return c[id]
}

// dropBelow takes out the entries of origins below the lines that changes raised.
func (c Context) dropBelow(changes Context) {
	if !changes.anyLine() {
		return
	}
	for id := range c {
		if _, raised := changes[id.Line()]; raised && c.below(id) {
			delete(c, id)
		}
	}
}

func (c Context) anyLine() bool {
	for id := range c {
		if id.IsLine() {
			return true
		}
	}
	return false
}

// lineBase is how far the region has seen the line of an origin.
func (r *Region) lineBase(id Origin) Seq {
	if i, ok := r.numberOf(id.Line()); ok {
		return r.origins[i].runs.Base
	}
	return 0
}

// below reports whether everything of an origin was seen, because its line is beyond it.
func (r *Region) below(id Origin) bool {
	return !id.IsLine() && Seq(id.Number()) < r.lineBase(id)
}

// raiseLine sees every start of a line below number upto.
func (r *Region) raiseLine(line Origin, upto Seq) {
	o := &r.origins[r.intern(line)]
	if upto <= o.runs.Base {
		return
	}
	o.runs, o.dirty = Runs{Base: upto}, true
	r.version++
	r.markBelow()
}

// markBelow marks the origins that their lines are beyond.
func (r *Region) markBelow() {
	for i := range r.origins {
		if o := &r.origins[i]; !o.below && !o.free() && r.below(o.id) {
			o.below = true
			r.setAside().belows++
		}
	}
}

// Below is how many origins are kept although their lines are beyond them: something of them lives, or not all members are
// known to have the line.
func (r *Region) Below() int { return r.aside().belows }

// Start is one start of this node in a region's context.
type Start struct {
	Origin Origin
	Runs   Runs
	Told   Runs // what others are known to have seen of it, see NoteTold
}

// Starts lists the starts of this node that have written and are not collapsed, by number. The running one is the last.
func (r *Region) Starts() (out []Start) {
	for i := range r.origins {
		if o := &r.origins[i]; r.ours(o) {
			out = append(out, Start{o.id, o.runs.Clone(), o.toldRuns().Clone()})
		}
	}
	slices.SortFunc(out, func(a, b Start) int { return cmp.Compare(a.Origin.Number(), b.Origin.Number()) })
	return out
}

// ours reports whether o is a start of this node above its line.
func (r *Region) ours(o *originState) bool {
	return o.id.sameLine(r.origin) && !o.id.IsLine() && !o.below && !o.runs.Empty()
}

// NoteTold takes down what another member has seen of this node's starts, in all of the space.
func (r *Region) NoteTold(c Context) {
	for i := range r.origins {
		o := &r.origins[i]
		if !r.ours(o) {
			continue
		}
		if seen := c[o.id]; !o.toldRuns().Covers(seen) {
			told := o.toldRuns().Clone()
			told.Union(seen)
			o.told = &told
			o.dirty = true
		}
	}
}

// Collapse raises this node's line: of its starts below number upto everything was seen, and nobody has more. It reports
// how many entries of the context that took out. The running start stays, and so do those after a removal
// that came in part. What is missing in a gap was lost for ever, as is
// what was missing at the end.
func (r *Region) Collapse(upto uint32) (collapsed int) {
	limit := Seq(r.halfRemoved(min(upto, r.origin.Number())))
	for _, s := range r.Starts() {
		if Seq(s.Origin.Number()) < limit {
			collapsed++
		}
	}
	if collapsed > 0 {
		r.raiseLine(r.origin.Line(), limit)
	}
	return collapsed
}

// halfRemoved is the least number below upto of a start of this node of which a removal has come to a part of its scope only, or
// upto. A line would claim it for the rest, where what it removed lives.
func (r *Region) halfRemoved(upto uint32) uint32 {
	for i := range r.origins {
		o := &r.origins[i]
		if len(r.pieces) == 0 || o.below || o.id.IsLine() || !o.id.sameLine(r.origin) || o.id.Number() >= upto {
			continue
		}
		o.index.missing(&r.store, o.runs, func(seq Seq, ref uint64) {
			if x := unpack(r.store.mem.Bytes(ref)); isScope(x.kind) && r.store.isGhost(ref, tip{uint32(i), seq}) {
				upto = min(upto, o.id.Number())
			}
		})
	}
	return upto
}

// ForgetBelow drops what is kept of the origins below number upto of a line: their ghosts, their floors, and where nothing
// of them lives the origins themselves. A peer that has not this much of the line then compares live dots, as below any
// floor. It reports how many origins were forgotten.
func (r *Region) ForgetBelow(line Origin, upto Seq) (forgotten int) {
	l, ok := r.numberOf(line)
	if !ok || !line.IsLine() {
		return 0
	}
	upto = min(upto, r.origins[l].runs.Base)
	named := r.out.origins(len(r.origins))
	for i := range r.origins {
		o := &r.origins[i]
		if !o.below || !o.id.sameLine(line) || Seq(o.id.Number()) >= upto {
			continue
		}
		r.Prune(o.id, maxSeq)
		if o.floor > 0 {
			o.floor, o.dirty = 0, true
			if r.cfg.Mutant != MutantSilentForget {
				r.raiseFloor(l, upto)
			}
		}
		if !named[i] && r.release(uint32(i)) {
			forgotten++
		}
	}
	return forgotten
}

// release frees the slot of an origin if nothing of it lives. No write that waits to be pushed may name it.
func (r *Region) release(i uint32) bool {
	o := &r.origins[i]
	if o.index.n > 0 || o.index.late != nil {
		return false
	}
	delete(r.byID, o.id)
	*o = originState{dirty: true}
	x := r.setAside()
	x.belows--
	x.free = append(x.free, i)
	return true
}

// protect keeps what this replica alone may have of its node's starts, before it takes over a line of its own node that
// another process raised: it writes again what nobody is known to have seen.
func (r *Region) protect(c Context, now int64) {
	line := c[r.origin.Line()]
	if line.Base <= max(r.lineBase(r.origin), r.aside().strange) {
		return
	}
	r.setAside().strange = line.Base
	for i := range r.origins {
		if o := &r.origins[i]; r.ours(o) && o.id != r.origin && Seq(o.id.Number()) < line.Base && !o.toldRuns().Covers(o.runs) {
			r.writeAgain(uint32(i), o.toldRuns().Clone(), now, false)
		}
	}
}

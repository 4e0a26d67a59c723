package crdt

import (
	"encoding/json"
	"slices"
)

// Context is a causal context: the set of dots that a replica has seen. A nil Context has seen nothing. An entry that names a
// line stands for all origins below it (line.go), which then have no entries of their own.
type Context map[Origin]Runs

// Has reports whether d was seen.
func (c Context) Has(d Dot) bool {
	r, ok := c[d.Origin]
	return ok && r.Has(d.Seq) || c.below(d.Origin)
}

// Add sees d.
func (c Context) Add(d Dot) {
	r := c[d.Origin]
	r.Add(d.Seq)
	c[d.Origin] = r
}

// Union sees everything that o saw.
func (c Context) Union(o Context) {
	for id, runs := range o {
		if c.below(id) {
			continue
		}
		r := c[id]
		r.Union(runs)
		c[id] = r
	}
	c.dropBelow(o)
}

// Intersect gives what both saw.
func (c Context) Intersect(o Context) Context {
	out := Context{}
	for id, runs := range c {
		if both := runs.Intersect(o.of(id)); !both.Empty() {
			out[id] = both
		}
	}
	for id, runs := range o {
		if c.below(id) && !runs.Empty() {
			out[id] = runs.Clone()
		}
	}
	return out
}

// Covers reports whether c saw everything that o saw.
func (c Context) Covers(o Context) bool {
	for id, runs := range o {
		if r := c.of(id); !r.Covers(runs) {
			return false
		}
	}
	return true
}

// Missing counts the dots that o saw and c did not. A line that o has further is no write, and counts nothing.
func (c Context) Missing(o Context) uint64 {
	var n uint64
	for id, runs := range o {
		if r := c.of(id); !id.IsLine() {
			n += r.Missing(runs)
		}
	}
	return n
}

// Equal reports whether both saw the same dots.
func (c Context) Equal(o Context) bool { return c.Covers(o) && o.Covers(c) }

// Count is how many dots were seen, a line counted as one.
func (c Context) Count() uint64 {
	var n uint64
	for id, r := range c {
		n += r.countOf(id)
	}
	return n
}

func (r *Runs) countOf(id Origin) uint64 {
	if id.IsLine() {
		return min(r.Count(), 1)
	}
	return r.Count()
}

// Clone copies the context so that neither copy changes with the other.
func (c Context) Clone() Context {
	out := make(Context, len(c))
	for id, r := range c {
		out[id] = r.Clone()
	}
	return out
}

// Origins lists the origins in byte order, so that what is derived from a context replays.
func (c Context) Origins() []Origin {
	ids := make([]Origin, 0, len(c))
	for id := range c {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, Origin.Compare)
	return ids
}

// Hash is a 64-bit fingerprint: equal contexts have equal hashes, whatever order they grew in.
func (c Context) Hash() uint64 {
	var h uint64
	for id, r := range c {
		if !r.Empty() {
			h ^= r.hash(id)
		}
	}
	return h
}

func (r *Runs) hash(id Origin) uint64 {
	h := mix(originHash(id), uint64(r.Base)+1)
	for _, a := range r.Above {
		h = mix(h^uint64(a.Lo), uint64(a.Hi)+1)
	}
	return h
}

// changesTo gives what makes another context of c: with undoes it. An origin that the other lacks has empty runs.
func (c Context) changesTo(to Context) Context {
	out := Context{}
	for id, runs := range to {
		if !c[id].Equal(runs) {
			out[id] = runs
		}
	}
	for id, runs := range c {
		if _, ok := to[id]; !ok && !runs.Empty() {
			out[id] = Runs{}
		}
	}
	return out
}

// with replaces the runs of the origins that changed.
func (c Context) with(changes Context) Context {
	out := c.Clone()
	for id, runs := range changes {
		if runs.Empty() {
			delete(out, id)
		} else {
			out[id] = runs
		}
	}
	return out
}

// MarshalJSON writes {origin: {"base": n, "above": [[lo, hi], …]}}.
func (c Context) MarshalJSON() ([]byte, error) {
	type runs struct {
		Base  Seq      `json:"base"`
		Above [][2]Seq `json:"above,omitempty"`
	}
	out := make(map[Origin]runs, len(c))
	for id, r := range c {
		j := runs{Base: r.Base}
		for _, a := range r.Above {
			j.Above = append(j.Above, [2]Seq{a.Lo, a.Hi})
		}
		out[id] = j
	}
	return json.Marshal(out)
}

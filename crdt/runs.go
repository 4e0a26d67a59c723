package crdt

import "slices"

// Span is a closed run of sequence numbers, Lo ≤ Hi.
type Span struct{ Lo, Hi Seq }

// Runs is the part of a causal context that belongs to one origin: every number up to Base, and the
// spans above it. Above is sorted, its spans are disjoint and not adjacent, and none touches Base.
// (A version vector with exceptions: Malkhi and Terry, "Concise version vectors in WinFS", 2005.)
type Runs struct {
	Base  Seq
	Above []Span
}

// Has reports whether s was seen.
func (r *Runs) Has(s Seq) bool {
	if s <= r.Base || len(r.Above) == 0 {
		return s <= r.Base && s > 0
	}
	i, found := slices.BinarySearchFunc(r.Above, s, func(a Span, s Seq) int {
		switch {
		case a.Hi < s:
			return -1
		case a.Lo > s:
			return 1
		}
		return 0
	})
	return found && r.Above[i].Lo <= s
}

// Empty reports whether nothing was seen.
func (r *Runs) Empty() bool { return r.Base == 0 && len(r.Above) == 0 }

// Top is the highest number seen.
func (r *Runs) Top() Seq {
	if n := len(r.Above); n > 0 {
		return r.Above[n-1].Hi
	}
	return r.Base
}

// Count is how many numbers were seen.
func (r *Runs) Count() uint64 {
	n := uint64(r.Base)
	for _, a := range r.Above {
		n += uint64(a.Hi-a.Lo) + 1
	}
	return n
}

// Add sees s and reports whether it was new.
func (r *Runs) Add(s Seq) bool {
	if s == r.Base+1 && len(r.Above) == 0 {
		r.Base = s
		return true
	}
	if r.Has(s) {
		return false
	}
	r.AddSpan(s, s)
	return true
}

// AddSpan sees every number from lo to hi.
func (r *Runs) AddSpan(lo, hi Seq) {
	if hi <= r.Base {
		return
	}
	if lo <= r.Base+1 {
		r.Base = hi
		r.absorb()
		return
	}
	i := 0
	for i < len(r.Above) && r.Above[i].Hi+1 < lo {
		i++
	}
	j := i
	for j < len(r.Above) && r.Above[j].Lo <= hi+1 {
		lo, hi = min(lo, r.Above[j].Lo), max(hi, r.Above[j].Hi)
		j++
	}
	r.Above = slices.Replace(slices.Clip(r.Above), i, j, Span{lo, hi})
}

// absorb moves spans that Base has reached into Base.
func (r *Runs) absorb() {
	i := 0
	for i < len(r.Above) && r.Above[i].Lo <= r.Base+1 {
		r.Base = max(r.Base, r.Above[i].Hi)
		i++
	}
	if i > 0 {
		r.Above = slices.Clone(r.Above[i:])
	}
}

// Union sees everything that o saw. It takes time in proportion to the spans of both.
func (r *Runs) Union(o Runs) {
	if len(o.Above) == 0 {
		r.AddSpan(1, o.Base)
		return
	}
	all := make([]Span, 0, len(r.Above)+len(o.Above)+2)
	a, b := r.spans(), o.spans()
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].Lo <= b[0].Lo {
			all, a = appendSpan(all, a[0]), a[1:]
		} else {
			all, b = appendSpan(all, b[0]), b[1:]
		}
	}
	*r = runsOf(all)
}

// appendSpan adds a span that begins no earlier than the last, and joins them where they touch.
func appendSpan(out []Span, s Span) []Span {
	if n := len(out); n > 0 && s.Lo <= out[n-1].Hi+1 {
		out[n-1].Hi = max(out[n-1].Hi, s.Hi)
		return out
	}
	return append(out, s)
}

// runsOf makes runs of sorted spans that do not touch. It keeps the slice.
func runsOf(all []Span) Runs {
	switch {
	case len(all) == 0:
		return Runs{}
	case all[0].Lo > 1:
		return Runs{Above: all}
	case len(all) == 1:
		return Runs{Base: all[0].Hi}
	}
	return Runs{Base: all[0].Hi, Above: all[1:]}
}

// Intersect gives what both saw.
func (r Runs) Intersect(o Runs) Runs {
	var all []Span
	a, b := r.spans(), o.spans()
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if lo, hi := max(a[i].Lo, b[j].Lo), min(a[i].Hi, b[j].Hi); lo <= hi {
			all = append(all, Span{lo, hi})
		}
		if a[i].Hi < b[j].Hi {
			i++
		} else {
			j++
		}
	}
	return runsOf(all)
}

// spans lists the runs with Base as a span of its own.
func (r Runs) spans() []Span {
	if r.Base == 0 {
		return r.Above
	}
	return append([]Span{{1, r.Base}}, r.Above...)
}

// Covers reports whether r saw everything that o saw.
func (r *Runs) Covers(o Runs) bool { return r.Missing(o) == 0 }

// Missing counts what o saw and r did not.
func (r *Runs) Missing(o Runs) uint64 {
	if len(r.Above) == 0 && len(o.Above) == 0 {
		if o.Base > r.Base {
			return uint64(o.Base - r.Base)
		}
		return 0
	}
	both := r.Intersect(o)
	return o.Count() - both.Count()
}

// Equal reports whether both saw the same.
func (r Runs) Equal(o Runs) bool { return r.Base == o.Base && slices.Equal(r.Above, o.Above) }

// Clone copies the runs so that neither copy changes with the other.
func (r Runs) Clone() Runs { return Runs{r.Base, slices.Clone(r.Above)} }

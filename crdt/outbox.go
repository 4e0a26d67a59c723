package crdt

import (
	"bytes"
	"cmp"
	"slices"
)

// outOp is a local write on its way out.
type outOp struct {
	tip
	hlc    HLC
	val    []byte
	deps   []tip  // what it covers
	after  []tip  // scope ghosts that it follows
	folded []Span // earlier numbers of ours in the same cell that it covers and stands for
	scope  Context
	name   []byte // of the cell: key, then name. It is a part of outbox.names
	keyLen int32
	kind   CellKind // 0: folded into a later one
	absent bool     // only its number is told
	tag    Tag
}

func (p *outOp) key() []byte { return p.name[:p.keyLen] }
func (p *outOp) sub() []byte { return p.name[p.keyLen:] }

// of reports whether the write is to cell c.
func (p *outOp) of(c *cell) bool {
	return p.kind == c.kind && bytes.Equal(p.key(), c.key) && bytes.Equal(p.sub(), c.sub)
}

// outbox holds local writes that were not pushed yet; ops[i] has number first+i.
type outbox struct {
	ops       []outOp
	names     []byte // room for names, so that a write needs no allocation for its own
	bytes     int
	inherited []tip // used by add alone
	fence     Seq   // the last scoped write: it covers all before it, which therefore must go out before it
	past      past  // of a causal region: what the last write comes after
}

func (o *outbox) first() Seq { return o.ops[0].seq }

func (o *outbox) add(c *cell, op outOp) {
	o.identify(&op, c)
	kept := op.deps[:0]
	for _, d := range op.deps {
		p := o.pending(d, op.org, c)
		if p == nil {
			kept = append(kept, d)
			continue
		}
		op.folded = joinFolded(op.folded, appendSpan(p.folded, Span{p.seq, p.seq}))
		op.after = append(op.after, p.after...)
		op.absent = op.absent || p.absent
		o.inherited = append(o.inherited, p.deps...)
		o.bytes -= p.size()
		*p = outOp{tip: p.tip}
	}
	op.deps = dedupe(append(kept, o.inherited...))
	o.inherited = o.inherited[:0]
	op.after = slices.DeleteFunc(dedupe(op.after), func(t tip) bool { // what it stands for itself comes with it
		return t.org == op.org && inSpans(op.folded, t.seq)
	})
	o.ops = append(o.ops, op)
	o.bytes += op.size()
}

// outboxNames bounds the room that is made for names at once.
const outboxNames = 16 << 10

// identify says which cell a write is to, in words that outlast the cell.
func (o *outbox) identify(op *outOp, c *cell) {
	n := len(c.key) + len(c.sub)
	if cap(o.names)-len(o.names) < n {
		o.names = make([]byte, 0, max(min(2*cap(o.names), outboxNames), 4*n))
	}
	at := len(o.names)
	o.names = append(append(o.names, c.key...), c.sub...)
	op.name, op.keyLen, op.kind = o.names[at:len(o.names):len(o.names)], int32(len(c.key)), c.kind
}

// joinFolded merges two lists of spans. Mostly the first is empty.
func joinFolded(a, b []Span) []Span {
	if len(a) == 0 {
		return b
	}
	all := append(a, b...)
	slices.SortFunc(all, func(x, y Span) int { return cmp.Compare(x.Lo, y.Lo) })
	out := all[:1]
	for _, s := range all[1:] {
		out = appendSpan(out, s)
	}
	return out
}

func inSpans(in []Span, s Seq) bool {
	r := Runs{Above: in}
	return r.Has(s)
}

func dedupe(ts []tip) []tip {
	if len(ts) < 2 {
		return ts
	}
	slices.SortFunc(ts, func(a, b tip) int {
		if a.org != b.org {
			return int(a.org) - int(b.org)
		}
		return int(int64(a.seq) - int64(b.seq))
	})
	return slices.Compact(ts)
}

// pending finds the unpushed write of ours, whose origin is self, that has dot d.
func (o *outbox) pending(d tip, self uint32, c *cell) *outOp {
	if len(o.ops) == 0 || d.org != self || d.seq < o.first() || d.seq <= o.fence {
		return nil
	}
	i := int(d.seq - o.first())
	if i >= len(o.ops) || !o.ops[i].of(c) {
		return nil
	}
	return &o.ops[i]
}

func (o *outbox) scope(ctx Context) {
	last := &o.ops[len(o.ops)-1]
	last.scope, o.fence = ctx, last.seq
	o.bytes += 24 * len(ctx)
}

func (p *outOp) size() int {
	if p.kind == 0 {
		return 0
	}
	return 24 + len(p.name) + len(p.val) + 12*(len(p.deps)+len(p.after)) + 6*len(p.folded)
}

// origins marks which of n slots for origins the waiting writes name.
func (o *outbox) origins(n int) []bool {
	named := make([]bool, n)
	if o == nil {
		return named
	}
	for i := range o.ops {
		p := &o.ops[i]
		for _, t := range p.deps {
			named[t.org] = true
		}
		for _, t := range p.after {
			named[t.org] = true
		}
	}
	return named
}

// Outbound is how many bytes of local writes wait to be pushed.
func (r *Region) Outbound() int {
	if r.out == nil {
		return 0
	}
	return r.out.bytes
}

// outgoing is the outbox, to be added to.
func (r *Region) outgoing() *outbox {
	if r.out == nil {
		r.out = &outbox{}
	}
	return r.out
}

// pushed empties the outbox. Where few writes were in it it goes, unless it knows what a causal region has said: most regions rest.
func (r *Region) pushed() {
	if r.out == nil {
		return
	}
	few := len(r.out.ops) < handleKeep
	if r.out.reset(); few && !r.causal {
		r.out = nil
	}
	r.rest()
}

// outboxKeep is how many writes the outbox keeps room for.
const outboxKeep = 1 << 10

// reset empties the outbox, and keeps its memory where that is little.
func (o *outbox) reset() {
	clear(o.ops)
	o.ops, o.names, o.bytes, o.fence = o.ops[:0], o.names[:0], 0, 0
	if cap(o.ops) > outboxKeep {
		o.ops = nil
	}
}

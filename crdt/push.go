package crdt

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A push carries an interval of one origin's writes. Writes to one cell within the interval are folded:
// the last of them travels, with the numbers of those it covers and all that they covered, so a hot
// key costs one write a push. A pushed write applies only where everything that it covers was seen;
// otherwise it waits a little, and then a pull brings it.

// maxPushBytes bounds one pushed message. A write that does not fit travels without its value: the
// receivers see the gap, and pull.
const maxPushBytes = 64 << 10

// TakePush encodes the local writes that were not pushed yet, in messages of at most 64 KiB, and forgets them.
func (r *Region) TakePush() [][]byte {
	if r.out == nil {
		return nil
	}
	var out [][]byte
	ops := r.out.ops
	defer r.pushed()
	for len(ops) > 0 {
		n, size := 0, 0
		for n < len(ops) && (n == 0 || size+ops[n].size() <= maxPushBytes-1024) {
			size += ops[n].size()
			n++
		}
		if r.causal {
			if n = wholeUpTo(ops, n); n == 0 {
				return append(out, r.encodePush([]outOp{{tip: ops[len(ops)-1].tip, kind: ops[len(ops)-1].kind, absent: true}}))
			}
		}
		if msg := r.encodePush(ops[:n]); msg != nil {
			out = append(out, msg)
		}
		ops = ops[n:]
	}
	return out
}

func (r *Region) encodePush(ops []outOp) []byte {
	var t originTable
	t.index(r.origin)
	size := 16
	for i := range ops {
		size += ops[i].size()
	}
	body := make([]byte, 0, size)
	n := 0
	base := HLC(0)
	flags := byte(0)
	for i := range ops {
		if p := &ops[i]; p.kind != 0 {
			if n == 0 {
				base = p.hlc
				body = binary.AppendUvarint(body, uint64(ops[0].seq))
				body = binary.AppendUvarint(body, uint64(base))
				if r.causal {
					flags |= pushCausal
					body = appendContext(body, &t, r.out.past.news())
				}
			}
			body = r.appendOp(body, &t, p, base, ops[0].seq)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	head := append(appendBytes([]byte{wireVersion}, r.name), flags)
	return t.seal(binary.AppendUvarint(head, uint64(n)), body)
}

// pushCausal is a message's flag: it tells what its writes come after, see causal.go.
const pushCausal = 1

// Flags of a pushed write.
const (
	opScoped = 1 << iota // a context says what it covers
	opAbsent             // too large to push
	opFolded
	opDeps
	opAfter
	opKnown = opScoped | opAbsent | opFolded | opDeps | opAfter
)

func (r *Region) appendOp(b []byte, t *originTable, p *outOp, base HLC, first Seq) []byte {
	var flags byte
	if p.scope != nil {
		flags |= opScoped
	}
	if p.absent || p.size() > maxPushBytes-1024 {
		flags |= opAbsent
	}
	for _, f := range []struct {
		n   int
		bit byte
	}{{len(p.folded), opFolded}, {len(p.deps), opDeps}, {len(p.after), opAfter}} {
		if f.n > 0 {
			flags |= f.bit
		}
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(p.seq-first))
	if flags&opAbsent != 0 {
		return b
	}
	b = append(b, byte(p.kind), byte(p.tag))
	b = appendBytes(b, p.key())
	b = appendBytes(b, p.sub())
	b = binary.AppendVarint(b, int64(p.hlc-base))
	b = appendBytes(b, p.val)
	if flags&opFolded != 0 {
		b = appendFolded(b, p.folded, p.seq)
	}
	if flags&opDeps != 0 {
		b = appendDots(b, t, r.dotsOf(p.deps))
	}
	if flags&opAfter != 0 {
		b = appendDots(b, t, r.dotsOf(p.after))
	}
	if flags&opScoped != 0 {
		b = appendContext(b, t, p.scope)
	}
	return b
}

// appendFolded tells spans below seq, the last first.
func appendFolded(b []byte, folded []Span, seq Seq) []byte {
	b = binary.AppendUvarint(b, uint64(len(folded)))
	for i := len(folded) - 1; i >= 0; i-- {
		s := folded[i]
		b = binary.AppendUvarint(b, uint64(seq-s.Hi))
		b = binary.AppendUvarint(b, uint64(s.Hi-s.Lo))
		seq = s.Lo
	}
	return b
}

func (d *decoder) folded(seq Seq) (out []Span) {
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		back, more := d.uvarint(), d.uvarint()
		if back == 0 || back >= uint64(seq) || more >= uint64(seq)-back {
			d.fail("a write folds %d more than %d back from %d", more, back, seq)
			return nil
		}
		hi := seq - Seq(back)
		seq = hi - Seq(more)
		out = append(out, Span{seq, hi})
	}
	slices.Reverse(out)
	return out
}

func (r *Region) dotsOf(ts []tip) []Dot {
	out := make([]Dot, len(ts))
	for i, t := range ts {
		out[i] = r.dot(t)
	}
	return out
}

// delta is a decoded push.
type delta struct {
	region string
	origin Origin
	ops    []deltaOp
	causal bool
	first  Seq     // the first number that the message stands for
	after  Context // of a causal message: what it comes after, as far as messages before it did not say so
}

type deltaOp struct {
	dot    Dot
	folded []Span
	deps   []Dot
	after  []Dot
	scope  Context
	key    string
	sub    string
	val    []byte
	hlc    HLC
	kind   CellKind
	tag    Tag
	absent bool
}

// PushRegion tells the name of the region that a pushed message is for, without decoding the rest. A push
// names its region, so that a node which never heard of it can merge the first write at once.
func PushRegion(msg []byte) (name string, err error) {
	d := decoder{b: msg}
	d.version("a push")
	name = string(d.bytes(MaxRegionName))
	return name, d.err
}

// MaxPushValue is the longest value of which a push tells, whatever else it tells.
const MaxPushValue = 48 << 10

// PushSeen gives the dots that a pushed message stands for. whole is false where some were too large to travel in it. Errors: ErrMalformed,
// ErrVersion.
func PushSeen(msg []byte) (seen Context, whole bool, err error) {
	d, err := decodePush(msg)
	if err != nil {
		return nil, false, fmt.Errorf("push: %w", err)
	}
	var runs Runs
	whole = true
	for i := range d.ops {
		op := &d.ops[i]
		whole = whole && !op.absent
		for _, s := range op.folded {
			runs.AddSpan(s.Lo, s.Hi)
		}
		runs.Add(op.dot.Seq)
	}
	return Context{d.origin: runs}, whole, nil
}

func decodePush(msg []byte) (*delta, error) {
	d := decoder{b: msg}
	d.version("a push")
	var out delta
	out.region = string(d.bytes(MaxRegionName))
	flags := d.byte()
	if flags&^pushCausal != 0 {
		d.fail("a push with flags %#x", flags)
	}
	out.causal = flags&pushCausal != 0
	n := d.count(2)
	ids := d.origins()
	if len(ids) == 0 {
		d.fail("a push names no origin")
		return nil, d.err
	}
	if out.origin = ids[0]; out.origin.IsLine() {
		d.fail("a push of a line's writes")
	}
	out.first = d.seq()
	base := HLC(d.uvarint())
	if out.causal {
		out.after = d.context(ids)
	}
	out.ops = make([]deltaOp, 0, min(n, 4096))
	for range n {
		out.ops = append(out.ops, d.op(ids, out.first, base))
		if d.err != nil {
			return nil, d.err
		}
	}
	return &out, d.done()
}

func (d *decoder) op(ids []Origin, first Seq, base HLC) deltaOp {
	flags := d.byte()
	off := d.uvarint()
	if flags&^opKnown != 0 || off > 1<<32 {
		d.fail("a push with flags %#x at offset %d", flags, off)
		return deltaOp{}
	}
	op := deltaOp{dot: Dot{ids[0], first + Seq(off)}, absent: flags&opAbsent != 0}
	if op.dot.Seq > maxSeq {
		d.fail("sequence number %d", op.dot.Seq)
	}
	if op.absent {
		return op
	}
	op.kind, op.tag = CellKind(d.byte()), Tag(d.byte())
	op.key, op.sub = string(d.bytes(MaxKeyBytes)), string(d.bytes(MaxKeyBytes))
	d.checkCell(op.kind, op.key, op.sub)
	op.hlc = base + HLC(d.varint())
	op.val = slices.Clone(d.bytes(MaxValueBytes))
	if flags&opFolded != 0 {
		op.folded = d.folded(op.dot.Seq)
	}
	if flags&opDeps != 0 {
		op.deps = d.dots(ids)
	}
	if flags&opAfter != 0 {
		op.after = d.dots(ids)
	}
	if flags&opScoped != 0 {
		op.scope = d.context(ids)
	}
	if scoped := op.kind == CellDrop || op.kind == CellFlush; scoped != (flags&opScoped != 0) || scoped && op.tag != TagRemove {
		d.fail("flags %#x on a cell of kind %d, tag %d", flags, op.kind, op.tag)
	}
	return op
}

// waiter is a pushed write, or a whole message of a causal region, that came before something that it comes after.
type waiter struct {
	op    deltaOp
	group *delta
	size  int
}

// Push merges a pushed message. It reports whether that left a new gap, for a pull to close. The message may be
// reused afterwards. Errors: ErrMalformed, ErrVersion, ErrRolledBack; then nothing was merged.
func (r *Region) Push(msg []byte, now int64) (gap bool, err error) {
	d, err := decodePush(msg)
	if err != nil {
		return false, fmt.Errorf("region %q: push: %w", r.name, err)
	}
	if d.region != r.name {
		return false, fmt.Errorf("region %q: push: %w: it is for region %q", r.name, ErrMalformed, d.region)
	}
	if d.origin == r.origin { // our own, come back
		return false, r.checkOwnTop(d.top())
	}
	holes, version := r.holes(), r.version
	applied := false
	if r.causal {
		applied = r.pushCausally(d, now)
	} else {
		applied = r.pushEach(d, now)
	}
	if applied {
		r.retryWaiting(now)
	}
	if r.version != version {
		r.trimPieces()
	}
	r.absorbResets(now)
	r.rest()
	return r.holes() > holes, nil
}

// pushEach merges the writes of a message one by one.
func (r *Region) pushEach(d *delta, now int64) (applied bool) {
	for i := range d.ops {
		switch r.tryOp(&d.ops[i], now) {
		case opApplied:
			applied = true
		case opEarly:
			r.wait(d.ops[i])
		}
	}
	return applied
}

// top is the highest number in a message.
func (d *delta) top() (top Seq) {
	for i := range d.ops {
		top = max(top, d.ops[i].dot.Seq)
	}
	return top
}

type opResult uint8

const (
	opSeen opResult = iota
	opApplied
	opEarly
)

// tryOp applies one pushed write if rule 1 allows it.
func (r *Region) tryOp(op *deltaOp, now int64) opResult {
	p := r.store.key.pos(op.key, op.kind, op.sub)
	if r.has(p, op.dot) {
		if !op.absent {
			r.claimSeen(op)
			r.compare(op)
		}
		r.stats.PushOld++
		return opSeen
	}
	if op.absent || r.cfg.Mutant != MutantBlindPush && !r.ready(p, op) {
		return opEarly
	}
	r.applyOp(op, now)
	r.stats.PushApplied++
	return opApplied
}

// claimSeen claims a write that a pull has brought to its cell already. A scoped one reaches further than its
// cell, and an unfinished pull may not have come that far: it is claimed only when it can take effect there.
func (r *Region) claimSeen(op *deltaOp) {
	if r.hasEverywhere(op.dot) { // below a line that may be of an origin that was forgotten, or never was
		return
	}
	if op.scope != nil {
		if !r.Covers(op.scope) {
			return
		}
		c := r.upsert(op.key, op.kind, op.sub)
		r.clearScope(c, func(t tip) bool { return op.scope.Has(r.dot(t)) })
	}
	r.claim(tip{r.intern(op.dot.Origin), op.dot.Seq})
}

// ready reports whether everything that op covers was seen here (rule 1).
func (r *Region) ready(p pos, op *deltaOp) bool {
	for _, d := range op.deps {
		if !r.has(p, d) {
			return false
		}
	}
	for _, d := range op.after {
		if !r.has(p, d) {
			return false
		}
	}
	if op.scope != nil && !r.Covers(op.scope) {
		return false
	}
	i, ok := r.numberOf(op.dot.Origin)
	return !ok && r.known() < MaxOrigins || ok && len(r.origins[i].runs.Above) < maxAboveSpans
}

func (r *Region) applyOp(op *deltaOp, now int64) {
	org := r.intern(op.dot.Origin)
	c := r.handle()
	r.seek(c, op.key, op.kind, op.sub)
	covered := make([]tip, 0, len(op.deps))
	for _, d := range op.deps {
		if i, ok := r.numberOf(d.Origin); ok { // of one that is not here nothing lives
			covered = append(covered, tip{i, d.Seq})
		}
	}
	r.change(c, func() {
		for _, t := range covered {
			r.dropTip(c, t)
		}
		if len(op.folded) > 0 {
			folded := func(t tip) bool { return t.org == org && inSpans(op.folded, t.seq) }
			r.dropWhere(c, func(s *sibling) bool { return folded(s.tip) }, folded)
		}
		if r.cfg.Mutant == MutantDropGhosts && op.tag != TagRemove {
			r.dropWhere(c, nil, func(tip) bool { return true })
		}
		r.place(c, sibling{val: op.val, hlc: op.hlc, tip: tip{org, op.dot.Seq}, tag: op.tag}, now)
	})
	for _, t := range covered {
		if t.org == org || r.cfg.Mutant == MutantBlindPush {
			r.claim(t)
		}
	}
	for _, s := range op.folded {
		r.origins[org].runs.AddSpan(s.Lo, s.Hi)
	}
	r.claim(tip{org, op.dot.Seq})
	if op.scope != nil {
		r.clearScope(c, func(t tip) bool { return op.scope.Has(r.dot(t)) })
	}
}

// place adds an arrived dot to its cell.
func (r *Region) place(c *cell, s sibling, now int64) {
	if s.tag == TagRemove {
		r.addGhost(c, s.tip)
		return
	}
	r.clock.Observe(s.hlc, now)
	r.heard = max(r.heard, s.hlc)
	r.addSibling(c, s)
	if r.cfg.Mutant == MutantDropLosers && s.tag == TagReg {
		w := *r.winner(c)
		r.dropWhere(c, func(x *sibling) bool { return x.tag == TagReg && x.tip != w.tip }, nil)
	}
}

// wait keeps a write back. When the bound is reached the oldest is left to a pull.
func (r *Region) wait(op deltaOp) {
	if op.absent {
		r.waitNothing(op.dot)
		return
	}
	r.keep(waiter{op: op, size: op.size()})
}

// size is what a decoded write takes in memory, about.
func (op *deltaOp) size() int {
	return 64 + len(op.key) + len(op.sub) + len(op.val) + 24*(len(op.deps)+len(op.after)+len(op.folded)+len(op.scope))
}

func (r *Region) keep(w waiter) {
	r.stats.PushWaiting++
	x := r.setAside()
	x.waiting = append(x.waiting, w)
	x.waitLen += w.size
	for len(x.waiting) > waitingMax || x.waitLen > waitingMaxSize {
		x.waitLen -= x.waiting[0].size
		x.waiting = slices.Delete(x.waiting, 0, 1)
		r.stats.PushDropped++
	}
}

// waitNothing remembers that a dot exists which only a pull can bring.
func (r *Region) waitNothing(d Dot) {
	x := r.setAside()
	for i := range x.waiting {
		if op := &x.waiting[i].op; op.absent && op.dot.Origin == d.Origin {
			op.dot.Seq = max(op.dot.Seq, d.Seq)
			return
		}
	}
	x.waiting = append(x.waiting, waiter{op: deltaOp{dot: d, absent: true}})
}

// retryWaiting applies what has become ready, until nothing more does.
func (r *Region) retryWaiting(now int64) {
	for again := len(r.aside().waiting) > 0; again; {
		again = false
		x := r.setAside()
		kept := x.waiting[:0]
		x.waitLen = 0
		for _, w := range x.waiting {
			if w.group != nil {
				if res := r.tryGroup(w.group, now); res != opEarly {
					again = again || res == opApplied
					continue
				}
			} else if w.op.absent {
				if r.hasEverywhere(w.op.dot) {
					continue
				}
			} else if res := r.tryOp(&w.op, now); res != opEarly {
				again = again || res == opApplied
				continue
			}
			kept = append(kept, w)
			x.waitLen += w.size
		}
		clear(x.waiting[len(kept):])
		x.waiting = kept
	}
}

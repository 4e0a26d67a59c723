package sim

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

// boundHead and boundRow are the two sorts of writes to a bounded counter, read apart from the core.
type boundHead struct {
	gen            crdt.Dot
	initial, limit int64
	ceiling        bool
}

func (h *boundHead) room() int64 {
	if h.ceiling {
		return h.limit - h.initial
	}
	return h.initial - h.limit
}

type boundRow struct {
	owner         crdt.Origin
	gen           crdt.Dot
	earned, spent int64
	given, got    map[crdt.Origin]int64
}

// byteReader takes a value apart that the core wrote.
type byteReader []byte

func (b *byteReader) origin() (o crdt.Origin) {
	*b = (*b)[copy(o[:], *b):]
	return o
}

func (b *byteReader) number() int64 {
	x, n := binary.Uvarint(*b)
	*b = (*b)[n:]
	return int64(x)
}

func (b *byteReader) signed() int64 {
	x, n := binary.Varint(*b)
	*b = (*b)[n:]
	return x
}

func headOf(val []byte) boundHead {
	b := byteReader(val)
	h := boundHead{gen: crdt.Dot{Origin: b.origin(), Seq: crdt.Seq(b.number())}}
	h.initial, h.limit = b.signed(), b.signed()
	h.ceiling = b[0] == 1
	return h
}

func rowOf(val []byte) boundRow {
	b := byteReader(val)
	w := boundRow{owner: b.origin(), given: map[crdt.Origin]int64{}, got: map[crdt.Origin]int64{}}
	w.gen = crdt.Dot{Origin: b.origin(), Seq: crdt.Seq(b.number())}
	w.earned, w.spent = b.number(), b.number()
	for range b.number() {
		o := b.origin()
		w.given[o] = b.number()
		b.number()
	}
	for range b.number() {
		o := b.origin()
		w.got[o] = b.number()
	}
	return w
}

// boundText is a bounded counter as text: its value, its limit, and the rights that are here.
func boundText(b crdt.Bounded) string {
	return fmt.Sprintf("%d %d %t %d", b.Value, b.Limit, b.Ceiling, b.Here)
}

func boundBefore(was shown) (b crdt.Bounded) {
	_, _ = fmt.Sscanf(was.str, "%d %d %t %d", &b.Value, &b.Limit, &b.Ceiling, &b.Here)
	return b
}

// boundShows is cellShows of a bounded counter at x.
func (o *oracle) boundShows(x replica, ws []*write) (kind crdt.Kind, val string, ok bool) {
	var head *write
	for _, w := range ws {
		if w.Tag == crdt.TagReg && (head == nil || later(w, head)) {
			head = w
		}
	}
	if head == nil {
		return 0, "", false
	}
	h, self := headOf(head.Value), x.r.Self()
	rows := map[crdt.Origin]boundRow{}
	for _, w := range ws {
		if row := rowOf(w.Value); w.Tag == crdt.TagRow && row.gen == h.gen {
			rows[row.owner] = row
		}
	}
	moved, here := int64(0), int64(0)
	if h.gen.Origin == self {
		here = h.room()
	}
	for owner, row := range rows {
		moved += row.earned - row.spent
		for from, n := range row.got {
			if n > rows[from].given[owner] && !o.heirs {
				return crdt.KindBounded, fmt.Sprintf("rights of %v that nobody gave", owner), true
			}
		}
		if owner == self {
			here += row.earned - row.spent
		}
		here += row.given[self]
		if owner == self {
			for _, n := range row.given {
				here -= n
			}
		}
	}
	b := crdt.Bounded{Value: h.initial + moved, Limit: h.limit, Ceiling: h.ceiling, Here: here}
	if h.ceiling {
		b.Value = h.initial - moved
	}
	return crdt.KindBounded, boundText(b), true
}

// ledger is what was ever done to one generation of a bounded counter, by whoever did it, also what was lost since.
type ledger struct {
	room int64
	rows map[crdt.Origin]boundRow
}

// spend notes a write to a bounded counter. Nobody may spend what nobody has, wherever that is known.
func (o *oracle) spend(w *write) error {
	if o.ledgers == nil {
		o.ledgers = map[crdt.Dot]*ledger{}
	}
	switch w.Tag {
	case crdt.TagReg:
		h := headOf(w.Value)
		if h.gen != w.Dot {
			return fmt.Errorf("%v begins %v", w, h.gen)
		}
		o.ledgers[h.gen] = &ledger{room: h.room(), rows: map[crdt.Origin]boundRow{}}
		return nil
	case crdt.TagRow:
	default:
		return nil
	}
	row := rowOf(w.Value)
	if row.owner != w.Dot.Origin {
		return fmt.Errorf("%v is a row of %v", w, row.owner)
	}
	l := o.ledgers[row.gen]
	l.rows[row.owner] = row
	left := l.room
	for _, r := range l.rows {
		left += r.earned - r.spent
		for from, n := range r.got {
			if gave := l.rows[from].given[r.owner]; n > gave && !o.heirs {
				return fmt.Errorf("%v: %v got %d from %v, which gave %d", w, r.owner, n, from, gave)
			}
		}
	}
	if left < 0 {
		return fmt.Errorf("%v passes the limit by %d", w, -left)
	}
	return nil
}

// peer is whom an operation is about.
func (o op) peer() crdt.Origin { return o.peers[int(o.at)%len(o.peers)] }

// doBounded is do of a bounded counter.
func (o op) doBounded(tx *crdt.Tx, n *big.Int) (string, error) {
	switch o.kind {
	case opBoundNew:
		return "", tx.BoundedNew(o.key, n.Int64(), o.at, o.at > n.Int64())
	case opBoundRenew:
		b, err := tx.BoundedRenew(o.key)
		return fmt.Sprint(b.Value), err
	case opBoundGive:
		given, err := tx.BoundedGive(o.key, o.peer(), n.Int64())
		return fmt.Sprint(given), err
	case opBoundAsk:
		return "", tx.BoundedAsk(o.key, o.peer(), n.Int64())
	case opBoundAnswer:
		_, err := tx.BoundedAnswer(o.key)
		return "", err
	}
	b, err := tx.BoundedAdd(o.key, n.Int64())
	if err != nil {
		return "", err
	}
	return fmt.Sprint(b.Value), nil
}

// wantsOfBounded is wantsOfKind of a bounded counter. What an answer gives depends on what others asked for: only the oracle tells.
func (o op) wantsOfBounded(was, is shown) (shown, string, error) {
	x, _ := strconv.ParseInt(o.val, 10, 64)
	b := boundBefore(was)
	if o.kind == opBoundNew {
		if was.kind != crdt.KindNone {
			return was, "", crdt.ErrBoundedExists
		}
		is.str = boundText(crdt.Bounded{Value: x, Limit: o.at, Ceiling: o.at > x, Here: max(x-o.at, o.at-x)})
		return is, "", nil
	}
	if was.kind == crdt.KindNone {
		result := ""
		if o.kind == opBoundRenew || o.kind == opBoundGive {
			result = "0"
		}
		return was, result, crdt.ErrNoBounded
	}
	result := ""
	switch o.kind {
	case opBoundRenew:
		b.Here = b.Left()
		result = fmt.Sprint(b.Value)
	case opBoundGive:
		given := int64(0)
		if o.peer() != o.self {
			given = min(x, b.Here)
		}
		b.Here -= given
		result = fmt.Sprint(given)
	case opBoundAsk:
	default:
		earns := x
		if b.Ceiling {
			earns = -x
		}
		if b.Here+earns < 0 {
			return was, "", crdt.ErrNoRights
		}
		b.Value, b.Here = b.Value+x, b.Here+earns
		result = fmt.Sprint(b.Value)
	}
	is.str = boundText(b)
	return is, result, nil
}

// origins are those that replicas write as now.
func (w *world) origins() (out []crdt.Origin) {
	for _, n := range w.nodes {
		out = append(out, n.r.Self())
	}
	return slices.Clip(out)
}

package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// shown is what one key shows to a reader.
type shown struct {
	kind crdt.Kind
	str  string
	subs map[string]string // members, or fields and their values
	exp  int64
}

func (a shown) equal(b shown) bool {
	return a.kind == b.kind && a.str == b.str && a.exp == b.exp && maps.Equal(a.subs, b.subs)
}

// everywhere is what must be the same at all replicas: who holds the rights of a bounded counter is not.
func (a shown) everywhere() shown {
	if a.kind == crdt.KindBounded {
		b := boundBefore(a)
		b.Here = 0
		a.str = boundText(b)
	}
	return a
}

func (a shown) String() string {
	switch a.kind {
	case crdt.KindNone:
		return "nothing"
	case crdt.KindString, crdt.KindBounded:
		return fmt.Sprintf("%.20q exp %d", a.str, a.exp)
	}
	return fmt.Sprintf("%v %v exp %d", a.kind, a.subs, a.exp)
}

// actual reads a key through the core's view.
func actual(v *crdt.View, key string) shown {
	s := shown{kind: v.Kind(key)}
	s.exp, _ = v.ExpireAt(key)
	switch s.kind {
	case crdt.KindString:
		b, _, _ := v.Get(key)
		s.str = hllText(b)
	case crdt.KindSet:
		s.subs = map[string]string{}
		_ = v.SetEach(key, func(m string) bool { s.subs[m] = ""; return true })
	case crdt.KindMap:
		s.subs = map[string]string{}
		_ = v.MapEach(key, func(f string, b []byte) bool { s.subs[f] = string(b); return true })
	case crdt.KindList:
		var items []string
		_ = v.ListEach(key, 0, false, func(b []byte) bool { items = append(items, string(b)); return true })
		s.str = listText(items)
	case crdt.KindJSON:
		n, _, _ := v.JSON(key, "")
		s.str = jsonText(&n)
	case crdt.KindBlock:
		n, _, _ := v.BlockLen(key)
		buf := make([]byte, n)
		_, _ = v.BlockRead(key, 0, buf)
		s.str = blockText(buf)
	case crdt.KindStream:
		s.str = streamActual(v, key)
	case crdt.KindBounded:
		b, _, _ := v.Bounded(key)
		s.str = boundText(b)
	case crdt.KindFlag:
		on, _, _, _ := v.Flag(key)
		s.str = fmt.Sprint(on)
	case crdt.KindSorted:
		s.subs = map[string]string{}
		_ = v.SortedEach(key, 0, false, func(m []byte, x float64) bool { s.subs[string(m)] = floatText(x); return true })
	}
	return s
}

// cellID names a cell.
type cellID struct {
	key, sub string
	kind     crdt.CellKind
}

// expected computes from the live writes what each key shows at now.
func (o *oracle) expected(x replica, live []*write, now int64) map[string]shown {
	cells := map[cellID][]*write{}
	expiry := map[string]int64{}
	for _, w := range live {
		id := cellID{w.Key, w.Sub, w.Kind}
		cells[id] = append(cells[id], w)
		if w.Tag == crdt.TagExpiry {
			expiry[w.Key] = max(expiry[w.Key], int64(binary.BigEndian.Uint64(w.Value)))
		}
	}
	out := map[string]shown{}
	for id, ws := range cells {
		if id.kind == crdt.CellPage { // shows nothing by itself
			continue
		}
		kind, val, ok := o.cellShows(x, id, ws)
		s := out[id.key]
		if !ok || kind < s.kind {
			continue
		}
		if kind > s.kind {
			s = shown{kind: kind}
		}
		if kind == crdt.KindString || kind == crdt.KindFlag || kind == crdt.KindBlock || kind == crdt.KindBounded {
			s.str = val
		} else {
			if s.subs == nil {
				s.subs = map[string]string{}
			}
			s.subs[id.sub] = val
		}
		out[id.key] = s
	}
	for key, s := range out {
		if s.kind == crdt.KindJSON {
			s.str, s.subs = documentOf(s.subs), nil
			out[key] = s
		}
		if s.kind == crdt.KindStream {
			s.str, s.subs = streamExpected(s.subs, cells[cellID{key, "", crdt.CellStream}]), nil
			out[key] = s
		}
		if s.kind == crdt.KindBlock {
			s.str = blockOf(s.str, key, cells)
			out[key] = s
		}
		if s.kind == crdt.KindList { // positions are ordered as their bytes
			var items []string
			for _, p := range slices.Sorted(maps.Keys(s.subs)) {
				items = append(items, s.subs[p])
			}
			s.str, s.subs = listText(items), nil
			out[key] = s
		}
		if at := expiry[key]; at != 0 && at != math.MaxInt64 {
			if s.exp = at; at <= now {
				delete(out, key)
				continue
			}
			out[key] = s
		}
	}
	return out
}

// cellShows is the view of one cell: presence of a member, or the last register plus the increments.
func (o *oracle) cellShows(x replica, id cellID, ws []*write) (kind crdt.Kind, val string, ok bool) {
	switch id.kind {
	case crdt.CellMember:
		kind = crdt.KindSet
	case crdt.CellField:
		kind = crdt.KindMap
	case crdt.CellItem:
		kind = crdt.KindList
	case crdt.CellEntry:
		kind = crdt.KindStream
	case crdt.CellStream: // read apart
		return crdt.KindStream, "", len(ws) > 0
	case crdt.CellBlock:
		return blockShows(ws)
	case crdt.CellFlag:
		return flagShows(ws)
	case crdt.CellBound:
		return o.boundShows(x, ws)
	case crdt.CellScore:
		return o.scoreShows(x, id, ws)
	case crdt.CellValue:
		kind = crdt.KindString
	case crdt.CellNode:
		if kind = crdt.KindJSON; len(containers(ws)) > 0 {
			return kind, containers(ws), true
		}
	default:
		return 0, "", false
	}
	var reg *write
	counted := false
	for _, w := range ws {
		switch w.Tag {
		case crdt.TagMember:
			return kind, "", true
		case crdt.TagReg:
			if reg == nil || later(w, reg) {
				reg = w
			}
		case crdt.TagCount:
			counted = true
		}
	}
	if !counted {
		if reg == nil {
			return 0, "", false
		}
		return kind, registerShows(reg, ws), true
	}
	sum := o.increments(x, id)
	if reg != nil {
		base, isNum := number(string(reg.Value))
		if !isNum {
			return kind, registerShows(reg, ws), true
		}
		sum.Add(sum, base)
	}
	return kind, decimal(sum), true
}

// flagShows is cellShows of a flag.
func flagShows(ws []*write) (kind crdt.Kind, val string, ok bool) {
	some, every, disable := false, true, false
	for _, w := range ws {
		if w.Tag == crdt.TagFlag {
			ok = true
			some, every, disable = some || w.Value[0]&1 != 0, every && w.Value[0]&1 != 0, disable || w.Value[0]&2 != 0
		}
	}
	if disable {
		some = every
	}
	return crdt.KindFlag, fmt.Sprint(some), ok
}

// scoreShows is cellShows of a member of a sorted set.
func (o *oracle) scoreShows(x replica, id cellID, ws []*write) (kind crdt.Kind, val string, ok bool) {
	var reg *write
	for _, w := range ws {
		if w.Tag == crdt.TagReg && (reg == nil || later(w, reg)) {
			reg = w
		}
		ok = ok || w.Tag == crdt.TagReg || w.Tag == crdt.TagCount
	}
	sum := o.increments(x, id)
	if reg != nil {
		sum.Add(sum, new(big.Rat).SetFloat64(math.Float64frombits(binary.BigEndian.Uint64(reg.Value))))
	}
	f, _ := sum.Float64()
	return crdt.KindSorted, floatText(f), ok
}

func later(a, b *write) bool {
	if a.HLC != b.HLC {
		return a.HLC > b.HLC
	}
	if c := a.Dot.Origin.Compare(b.Dot.Origin); c != 0 {
		return c > 0
	}
	return a.Dot.Seq > b.Dot.Seq
}

// increments adds up those that no removal or SET which saw them takes out.
func (o *oracle) increments(x replica, id cellID) *big.Rat {
	sum := new(big.Rat)
	for i, w := range o.writes {
		if w.Tag == crdt.TagCount && w.Kind == id.kind && w.Key == id.key && w.Sub == id.sub && x.known.has(i) && !o.holds(x, w, w.killers) {
			sum.Add(sum, w.delta)
		}
	}
	return sum
}

// number reads the decimals that the schedules use.
func number(s string) (*big.Rat, bool) {
	for i, c := range s {
		if (c < '0' || c > '9') && c != '.' && !(c == '-' && i == 0) {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}

// decimal writes a number without trailing zeros, as the core does.
func decimal(x *big.Rat) string {
	n, _ := x.FloatPrec()
	return x.FloatString(n)
}

// checkShown compares every key's view with what it must be.
func (o *oracle) checkShown(x replica, live []*write, keys []string, now int64) error {
	want := o.expected(x, live, now)
	v := x.r.View(now)
	for _, key := range keys {
		if got := actual(v, key); !got.equal(want[key]) {
			return fmt.Errorf("key %q shows %v and must show %v", key, got, want[key])
		}
	}
	return nil
}

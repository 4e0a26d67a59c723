package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// State is what one node holds.
type State struct {
	Node    string
	Digest  string // of all regions, however it is spelled
	Context string
	Values  map[Slot]string // counters in decimal
}

// Check judges all slots that were touched since a time: every read of them, and what nodes held that agreed, and whose data
// was read, at another time, when nobody wrote. Without states, reads alone are judged.
func (l *Log) Check(since time.Duration, at time.Duration, states ...State) []Violation {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := unequal(states)
	var nodes []string
	for _, s := range states {
		nodes = append(nodes, s.Node)
	}
	for _, slot := range l.touched(since) {
		t := l.tracks[slot]
		e := l.gather(t)
		out = append(out, e.checkReads(slot, t)...)
		if len(states) > 0 {
			out = append(out, e.checkEnd(slot, t, nodes, at, states[0])...)
		}
	}
	if len(states) > 0 {
		out = append(out, l.strangers(states[0])...)
	}
	return out
}

// touched gives the slots with operations since a time, sorted.
func (l *Log) touched(since time.Duration) (slots []Slot) {
	for slot, t := range l.tracks {
		if t.last() >= since {
			slots = append(slots, slot)
		}
	}
	slices.SortFunc(slots, compareSlots)
	return slots
}

func (t *track) last() (last time.Duration) {
	for _, ops := range [][]*Op{t.changes, t.reads} {
		for _, o := range ops {
			last = max(last, o.Invoked)
		}
	}
	return last
}

func compareSlots(a, b Slot) int {
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Item, b.Item))
}

// checkEnd judges one slot in a state.
func (e *evidence) checkEnd(slot Slot, t *track, nodes []string, at time.Duration, s State) []Violation {
	value, there := s.Values[slot]
	if !there {
		value = Absent
	}
	fault, why := e.atEnd(t, nodes, at).judgeAny(slot.Kind, value)
	if fault == "" {
		return nil
	}
	return []Violation{{fault, slot, "in the end " + why}}
}

func (v *view) judgeAny(kind Kind, value string) (Fault, string) {
	if kind != Counter {
		return v.judge(value)
	}
	n, err := number(value)
	if err != nil {
		return Count, fmt.Sprintf("%q is no number", value)
	}
	return v.judgeCount(n)
}

// number reads a counter; one that is absent is 0.
func number(value string) (int64, error) {
	if value == Absent {
		return 0, nil
	}
	return strconv.ParseInt(value, 10, 64)
}

// checkReads judges what sessions were shown.
func (e *evidence) checkReads(slot Slot, t *track) (out []Violation) {
	for _, r := range t.reads {
		if !r.Answered {
			continue
		}
		var fault Fault
		var why string
		if slot.Kind == Counter {
			fault, why = e.atRead(t, r).judgeCount(r.Number)
		} else {
			fault, why = e.atRead(t, r).judge(r.Value)
		}
		if fault != "" {
			out = append(out, Violation{OutOfOrder, slot, fmt.Sprintf("%s in the %v: %s", fault, r, why)})
		}
	}
	if slot.Kind == Counter {
		out = append(out, checkGrowth(slot, t)...)
	}
	return out
}

// checkGrowth wants a counter that only grows never to shrink before the eyes of one life of a node.
func checkGrowth(slot Slot, t *track) (out []Violation) {
	if slices.ContainsFunc(t.changes, func(o *Op) bool { return o.Number < 0 }) {
		return nil
	}
	highest := map[Life]*Op{} // of the reads that had returned
	ended := slices.Clone(t.reads)
	slices.SortStableFunc(ended, func(a, b *Op) int { return cmp.Compare(a.Returned, b.Returned) })
	began := slices.Clone(t.reads)
	slices.SortStableFunc(began, func(a, b *Op) int { return cmp.Compare(a.Invoked, b.Invoked) })
	for _, r := range began {
		for len(ended) > 0 && ended[0].Returned < r.Invoked {
			if h := highest[ended[0].life]; h == nil || ended[0].Number > h.Number {
				highest[ended[0].life] = ended[0]
			}
			ended = ended[1:]
		}
		if h := highest[r.life]; r.Answered && h != nil && r.Number < h.Number {
			out = append(out, Violation{OutOfOrder, slot, fmt.Sprintf("the %v is less than the %v before", r, h)})
		}
	}
	return out
}

// strangers looks for what nobody ever wrote.
func (l *Log) strangers(s State) (out []Violation) {
	for _, slot := range slices.SortedFunc(maps.Keys(s.Values), compareSlots) {
		if l.tracks[slot] == nil {
			out = append(out, Violation{Invented, slot, fmt.Sprintf("%s holds %q, and nobody ever touched it", s.Node, s.Values[slot])})
		}
	}
	return out
}

// unequal compares each state with the first.
func unequal(states []State) (out []Violation) {
	for _, s := range states[min(1, len(states)):] {
		first := states[0]
		for _, x := range []struct{ what, a, b string }{{"digest", first.Digest, s.Digest}, {"context", first.Context, s.Context}} {
			if x.a != x.b {
				out = append(out, Violation{Kind: Unequal, Text: fmt.Sprintf("the %s of %s is %s, of %s %s", x.what, first.Node, short(x.a), s.Node, short(x.b))})
			}
		}
		all := maps.Clone(first.Values)
		maps.Copy(all, s.Values)
		for _, slot := range slices.SortedFunc(maps.Keys(all), compareSlots) {
			a, inA := first.Values[slot]
			if b, inB := s.Values[slot]; a != b || inA != inB {
				out = append(out, Violation{Unequal, slot, fmt.Sprintf("%s holds %q (%v), %s holds %q (%v)", first.Node, a, inA, s.Node, b, inB)})
			}
		}
	}
	return out
}

// short cuts a context of many origins.
func short(text string) string {
	const shown = 160
	if len(text) <= shown {
		return text
	}
	return text[:shown] + "…"
}

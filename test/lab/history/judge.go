package history

import (
	"fmt"
	"time"
)

// Violation is one way in which the store broke its promise.
type Violation struct {
	Kind Fault
	Slot Slot
	Text string
}

func (v Violation) String() string {
	if v.Slot == (Slot{}) { // it is about a node as a whole
		return fmt.Sprintf("%s: %s", v.Kind, v.Text)
	}
	return fmt.Sprintf("%s: %v: %s", v.Kind, v.Slot, v.Text)
}

// Fault is a kind of violation; the package documentation says what each means.
type Fault string

// The faults.
const (
	Lost       Fault = "lost"
	Returned   Fault = "returned"
	Stale      Fault = "stale"
	Invented   Fault = "invented"
	Count      Fault = "count"
	Unequal    Fault = "unequal"
	OutOfOrder Fault = "session"
)

// view is what an observer must, and may, be shown of one slot: a node in the end, or a read.
type view struct {
	*evidence
	changes []*Op
	must    map[*Op]bool // the observer surely holds these
	may     map[*Op]bool // and perhaps these; those of must are among them
}

// look makes a view.
func (e *evidence) look(t *track, must, may func(*Op) bool) *view {
	v := &view{e, t.changes, map[*Op]bool{}, map[*Op]bool{}}
	for _, o := range t.changes {
		v.must[o] = must(o)
		v.may[o] = v.must[o] || may(o)
	}
	return v
}

// judge says what is wrong with a value that was shown; nothing if all may be well.
func (v *view) judge(value string) (Fault, string) {
	if value == Absent {
		return v.judgeAbsent()
	}
	var candidates []*Op
	for _, o := range v.changes {
		if o.Action == Write && o.Value == value && v.may[o] {
			candidates = append(candidates, o)
		}
	}
	if len(candidates) == 0 {
		return Invented, fmt.Sprintf("%q is there, which nobody had written", value)
	}
	if fault, why := v.judgeCovered(value, candidates); fault != "" {
		return fault, why
	}
	if value == Present {
		return "", ""
	}
	return v.judgeStamp(value, candidates[0])
}

// judgeAbsent: each write that must be there needs a remove that may have seen it, or a later write that may have, and so on.
func (v *view) judgeAbsent() (Fault, string) {
	for _, w := range v.changes {
		if v.must[w] && w.Action == Write && !v.mayBeGone(w, map[*Op]bool{}) {
			return Lost, fmt.Sprintf("nothing is there, and no remove can have seen the %v", w)
		}
	}
	return "", ""
}

func (v *view) mayBeGone(w *Op, visited map[*Op]bool) bool {
	visited[w] = true
	for _, x := range v.changes {
		if visited[x] || !v.may[x] || !v.mayHaveSeen(x, w) {
			continue
		}
		if x.Action == Remove || v.mayBeGone(x, visited) {
			return true
		}
	}
	return false
}

// judgeCovered: a value is not shown when each write that can have given it was surely seen by something that must be there.
func (v *view) judgeCovered(value string, candidates []*Op) (Fault, string) {
	var by *Op
	for _, w := range candidates {
		x := v.coverer(w)
		if x == nil {
			return "", ""
		}
		if by == nil || x.Action == Remove {
			by = x
		}
	}
	if by.Action == Remove {
		return Returned, fmt.Sprintf("%q is back, after the %v had seen it", value, by)
	}
	return Stale, fmt.Sprintf("%q is there, which the %v had replaced", value, by)
}

// coverer finds an operation that must be there and surely saw w; removes come first.
func (v *view) coverer(w *Op) (by *Op) {
	for _, x := range v.changes {
		if v.must[x] && v.saw(x, w) && (by == nil || x.Action == Remove) {
			by = x
		}
	}
	return by
}

// judgeStamp: a write that must be there, and began long after the shown one had ended, is shown in its place unless something
// may have seen it.
func (v *view) judgeStamp(value string, shown *Op) (Fault, string) {
	if shown.Returned == never {
		return "", "" // its stamp is unknown
	}
	for _, w := range v.changes {
		if v.must[w] && w.Action == Write && w.Value != value && w.Invoked > shown.Returned+v.log.settings.Skew && !v.mayBeCovered(w) {
			return Stale, fmt.Sprintf("%q of the %v is there in place of the later %v", value, shown, w)
		}
	}
	return "", ""
}

func (v *view) mayBeCovered(w *Op) bool {
	for _, x := range v.changes {
		if v.may[x] && v.mayHaveSeen(x, w) {
			return true
		}
	}
	return false
}

// judgeCount says whether a counter's value is a sum that may be.
func (v *view) judgeCount(n int64) (Fault, string) {
	low, high := int64(0), int64(0)
	for _, o := range v.changes {
		switch {
		case v.must[o]:
			low, high = low+o.Number, high+o.Number
		case v.may[o]:
			low, high = low+min(0, o.Number), high+max(0, o.Number)
		}
	}
	if low <= n && n <= high {
		return "", ""
	}
	return Count, fmt.Sprintf("it is %d, and must be %s", n, between(low, high))
}

func between(low, high int64) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("from %d to %d", low, high)
}

// atRead is what a read must, and may, be shown.
func (e *evidence) atRead(t *track, r *Op) *view {
	return e.look(t,
		func(o *Op) bool {
			if o.session == r.session {
				return o.Answered && o.serial < r.serial
			}
			return e.held(o, r.life, r.Invoked)
		},
		func(o *Op) bool {
			if o.session == r.session {
				return o.serial < r.serial
			}
			return o.Invoked <= r.Returned
		})
}

// atEnd is what these nodes must, and may, hold at a time.
func (e *evidence) atEnd(t *track, nodes []string, at time.Duration) *view {
	return e.look(t,
		func(o *Op) bool { return o.Invoked <= at && e.certain(o, nodes) },
		func(o *Op) bool { return o.Invoked <= at })
}

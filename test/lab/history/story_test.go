package history

import (
	"slices"
	"testing"
	"time"
)

// story builds a history by hand. Times are whole seconds.
type story struct {
	log      *Log
	sessions map[string]*Session
}

var settings = Settings{OnDiskAfter: 2 * time.Second, DiskRegions: []string{"safe"}, Skew: 100 * time.Millisecond}

func newStory() *story { return &story{New(settings), map[string]*Session{}} }

const s = time.Second

var (
	text   = Slot{"default", String, "k", ""}
	member = Slot{"default", Set, "m", "x"}
	field  = Slot{"default", Hash, "h", "f"}
	count  = Slot{"default", Counter, "c", ""}
	safe   = Slot{"safe", String, "k", ""}
)

// do records an operation of a client at a life of a node: from and to in seconds; to < 0: not answered.
func (h *story) do(client string, life Life, a Action, slot Slot, value string, from, to float64) *story {
	return h.record(client, life, Op{Slot: slot, Action: a, Value: value}, from, to)
}

// add records an increment, or what a read of a counter gave.
func (h *story) add(client string, life Life, a Action, n int64, from, to float64) *story {
	return h.record(client, life, Op{Slot: count, Action: a, Number: n}, from, to)
}

func (h *story) record(client string, life Life, o Op, from, to float64) *story {
	session := h.sessions[client]
	if session == nil {
		session = h.log.Session(client, life)
		h.sessions[client] = session
	}
	o.Invoked, o.Returned, o.Answered = at(from), at(to), to >= 0
	session.Record(o)
	return h
}

func at(seconds float64) time.Duration { return time.Duration(seconds * float64(s)) }

func (h *story) killed(l Life, t float64) *story { h.log.Killed(l, at(t)); return h }
func (h *story) rolledBack(l Life, t float64) *story {
	h.log.RolledBack(l, at(t))
	return h
}
func (h *story) agreed(t float64, lives ...Life) *story { h.log.Agreed(at(t), lives...); return h }
func (h *story) apart(from, to float64, a, b string) *story {
	h.log.Apart(at(from), at(to), []string{a}, []string{b})
	return h
}

// ends judges the history with this value of the slot at n1 and n2 in the end.
func (h *story) ends(slot Slot, value string) []Violation {
	values := map[Slot]string{slot: value}
	if value == Absent {
		values = map[Slot]string{}
	}
	return h.log.Check(0, at(1000), State{Node: "n1", Values: values}, State{Node: "n2", Values: values})
}

// lives of two nodes.
var (
	n1, n1b, n1c = Life{"n1", 0}, Life{"n1", 1}, Life{"n1", 2}
	n2           = Life{"n2", 0}
	n3           = Life{"n3", 0}
)

// tell is one case: what was done, what is there in the end, and the faults that must be found.
type tell struct {
	name  string
	what  *story
	slot  Slot
	value string
	want  []Fault
}

func (c tell) run(t *testing.T) {
	t.Helper()
	t.Run(c.name, func(t *testing.T) {
		t.Parallel()
		var got []Fault
		found := c.what.ends(c.slot, c.value)
		for _, v := range found {
			got = append(got, v.Kind)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("found %v, want %v", found, c.want)
		}
	})
}

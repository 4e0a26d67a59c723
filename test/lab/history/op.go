package history

import (
	"fmt"
	"time"
)

// Kind is what a slot's key holds.
type Kind string

// The kinds, spelled as the Redis command TYPE answers, but for counters.
const (
	String  Kind = "string"
	Set     Kind = "set"
	Hash    Kind = "hash"
	Counter Kind = "counter"
)

// Slot is the smallest thing that is written as a whole: a string or counter (Item empty), one member of a set, one field of a
// hash.
type Slot struct {
	Region string
	Kind   Kind
	Key    string
	Item   string
}

func (s Slot) String() string {
	text := fmt.Sprintf("%s %s", s.Kind, s.Key)
	if s.Item != "" {
		text += " " + s.Item
	}
	return text + " in " + s.Region
}

// Action is what an operation does to its slot.
type Action uint8

// The actions.
const (
	Write  Action = iota // SET, HSET, SADD
	Remove               // DEL, HDEL, SREM
	Add                  // INCRBY
	Read                 // GET, HGET, SISMEMBER
)

func (a Action) String() string { return [...]string{"write", "remove", "add", "read"}[a] }

// Values that are no text.
const (
	Absent  = "\x00absent"
	Present = "\x00present" // a member
)

// Op is one operation of a client. Times count from the beginning of the log.
type Op struct {
	Slot   Slot
	Action Action
	Value  string // written or read
	Number int64  // of a counter: added or read

	Invoked, Returned time.Duration
	Answered          bool // without an error; if not, it may have happened or not, or happen later

	life    Life
	session *Session
	serial  int // within its session
}

// never is the return of what was not answered.
const never = time.Duration(1<<63 - 1)

func (o *Op) String() string {
	what := fmt.Sprintf("%s of %q", o.Action, o.Value)
	if o.Slot.Kind == Counter {
		what = fmt.Sprintf("%s of %d", o.Action, o.Number)
	}
	end := "unanswered"
	if o.Answered {
		end = fmt.Sprint(o.Returned.Round(time.Microsecond))
	}
	return fmt.Sprintf("%s by %s at %v, %v to %s", what, o.session.name, o.life, o.Invoked.Round(time.Microsecond), end)
}

// Life is one process of a node, from its start to its end.
type Life struct {
	Node string
	N    int // grows
}

func (l Life) String() string { return fmt.Sprintf("%s#%d", l.Node, l.N) }

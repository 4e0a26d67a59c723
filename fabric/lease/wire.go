package lease

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// ErrMalformed answers what is not a request, a reply or a record.
var ErrMalformed = errors.New("lease: malformed")

const (
	nodeMax   = 128 // bytes of a node's id
	detailMax = 512
	waitMax   = 4 * TTLMax
)

// Numbers are uvarints, texts have their length before them, times are in microseconds. What follows is for later versions.

type writer struct{ b []byte }

func (w *writer) num(n uint64)         { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) text(s string)        { w.num(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) time(d time.Duration) { w.num(uint64(max(d, 0) / time.Microsecond)) }
func (w *writer) nonce(n Nonce)        { w.b = append(w.b, n[:]...) }
func (w *writer) ballot(b Ballot)      { w.num(b.N); w.nonce(b.By) }
func (w *writer) flag(yes bool) {
	n := uint64(0)
	if yes {
		n = 1
	}
	w.num(n)
}

func (w *writer) value(v Value) {
	w.flag(v.Held)
	w.num(v.Token)
	w.text(v.Owner)
	w.time(v.TTL)
}

func (w *writer) electorate(e *Electorate) {
	w.nonce(e.Root)
	w.num(e.Epoch)
	w.num(uint64(len(e.Voters)))
	for _, m := range e.Voters {
		w.text(string(m.Node))
		w.nonce(m.Nonce)
	}
}

func (w *writer) start(s Start) { w.num(s.Floor); w.time(s.Wait) }

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) num() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) flag() bool {
	n := r.num()
	r.bad = r.bad || n > 1
	return n == 1
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		r.b = nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) text(most int) string {
	n := r.num()
	if n > uint64(most) {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

func (r *reader) time(most time.Duration) time.Duration {
	n := r.num()
	if n > uint64(most/time.Microsecond) {
		r.bad = true
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

func (r *reader) nonce() (n Nonce) {
	copy(n[:], r.take(uint64(len(n))))
	return n
}

func (r *reader) ballot() Ballot { return Ballot{r.num(), r.nonce()} }

func (r *reader) value() Value {
	v := Value{Held: r.flag(), Token: r.num(), Owner: r.text(OwnerMax), TTL: r.time(TTLMax)}
	r.bad = r.bad || v.Held && (v.TTL < TTLMin || v.Token == 0) || !v.Held && v.TTL != 0
	return v
}

// electorate reads one: the zero one, or an epoch with its voters in order.
func (r *reader) electorate() (e Electorate) {
	e.Root, e.Epoch = r.nonce(), r.num()
	n := r.num()
	r.bad = r.bad || n > VotersMax || (e.Epoch == 0) != (n == 0) || (e.Epoch == 0) != (e.Root == Nonce{})
	for i := 0; !r.bad && i < int(n); i++ {
		m := Member{crdt.NodeID(r.text(nodeMax)), r.nonce()}
		r.bad = r.bad || m.Node == "" || m.Nonce == (Nonce{}) || i > 0 && m.Node <= e.Voters[i-1].Node
		e.Voters = append(e.Voters, m)
	}
	return e
}

func (r *reader) start() Start { return Start{r.num(), r.time(waitMax)} }

func (r *reader) err(what string) error {
	if r.bad {
		return fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	return nil
}

// Append encodes the request.
func (q *Request) Append(b []byte) []byte {
	w := writer{b}
	w.num(uint64(q.Kind))
	w.num(q.Epoch)
	w.text(q.Name)
	w.ballot(q.Ballot)
	w.value(q.Value)
	w.electorate(&q.Next)
	w.start(q.Start)
	w.num(uint64(len(q.Asked)))
	for _, id := range q.Asked {
		w.text(string(id))
	}
	return w.b
}

// DecodeRequest reads what Append wrote. What it gives is within its bounds.
func DecodeRequest(b []byte) (q Request, err error) {
	r := reader{b: b}
	q.Kind = Kind(min(r.num(), uint64(kindEnd)))
	q.Epoch, q.Name, q.Ballot, q.Value = r.num(), r.text(NameMax), r.ballot(), r.value()
	q.Next, q.Start = r.electorate(), r.start()
	n := r.num()
	r.bad = r.bad || n > AskedMax
	for i := 0; !r.bad && i < int(n); i++ {
		q.Asked = append(q.Asked, crdt.NodeID(r.text(nodeMax)))
	}
	r.bad = r.bad || !q.whole()
	return q, r.err("request")
}

// whole tells whether there is all that the kind needs.
func (q *Request) whole() bool {
	switch q.Kind {
	case Show:
		return q.Name != ""
	case Prepare, Accept:
		return q.Name != "" && q.Ballot.N > 0 && q.Value.Token <= q.Ballot.N
	case Propose, Decide:
		return q.Ballot.N > 0 && q.Next.Epoch == q.Epoch+1
	case Learn:
		return q.Next.Epoch > 0
	}
	return q.Kind == Ask || q.Kind == Join
}

// Append encodes the reply.
func (x *Reply) Append(b []byte) []byte {
	w := writer{b}
	w.num(uint64(x.Status))
	w.electorate(&x.Known)
	w.start(x.Begin)
	w.ballot(x.Promised)
	w.ballot(x.Accepted)
	w.value(x.Value)
	w.time(x.Left)
	w.num(x.Floor)
	w.electorate(&x.Next)
	w.nonce(x.Nonce)
	w.text(x.Detail[:min(len(x.Detail), detailMax)])
	return w.b
}

// DecodeReply reads what Append wrote.
func DecodeReply(b []byte) (x Reply, err error) {
	r := reader{b: b}
	x.Status = Status(min(r.num(), uint64(statusEnd)))
	x.Known, x.Begin = r.electorate(), r.start()
	x.Promised, x.Accepted, x.Value = r.ballot(), r.ballot(), r.value()
	x.Left, x.Floor, x.Next, x.Nonce = r.time(waitMax), r.num(), r.electorate(), r.nonce()
	x.Detail = strings.ToValidUTF8(r.text(detailMax), "")
	return x, r.err("reply")
}

func (x *entry) encode() []byte {
	var w writer
	w.ballot(x.promised)
	w.ballot(x.accepted)
	w.value(x.value)
	w.num(x.floor)
	w.time(x.keep)
	return w.b
}

func decodeEntry(b []byte) (*entry, error) {
	r := reader{b: b}
	x := &entry{promised: r.ballot(), accepted: r.ballot(), value: r.value(), floor: r.num(), keep: r.time(TTLMax)}
	return x, r.err("record of a lease")
}

func (s *standing) encode() []byte {
	var w writer
	w.nonce(s.nonce)
	w.electorate(&s.known)
	w.start(s.begin)
	w.flag(s.voting)
	w.flag(s.waited)
	w.flag(s.torn)
	w.num(s.floor)
	w.ballot(s.promised)
	w.ballot(s.accepted)
	w.electorate(&s.next)
	return w.b
}

func decodeStanding(b []byte) (s standing, err error) {
	r := reader{b: b}
	s.nonce, s.known, s.begin = r.nonce(), r.electorate(), r.start()
	s.voting, s.waited, s.torn, s.floor = r.flag(), r.flag(), r.flag(), r.num()
	s.promised, s.accepted, s.next = r.ballot(), r.ballot(), r.electorate()
	return s, r.err("record of the electorate")
}

// AppendKnown encodes an electorate and its start, for others to find.
func AppendKnown(b []byte, e *Electorate, begin Start) []byte {
	w := writer{b}
	w.electorate(e)
	w.start(begin)
	return w.b
}

// DecodeKnown reads what AppendKnown wrote.
func DecodeKnown(b []byte) (e Electorate, begin Start, err error) {
	r := reader{b: b}
	e, begin = r.electorate(), r.start()
	return e, begin, r.err("electorate")
}

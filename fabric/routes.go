package fabric

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// tag stands for a node in messages and in words about routes: the beginning of the hash of its id.
type tag [8]byte

func tagOf(id crdt.NodeID) (t tag) {
	sum := sha256.Sum256([]byte(id))
	copy(t[:], sum[:])
	return t
}

func compareTags(a, b tag) int { return bytes.Compare(a[:], b[:]) }

// routes knows who listens to what, and by which neighbour it is reached. It is pure: no clock, no network.
//
// A node that listens says so in a word, with a number that grows. Every node passes the newest word of each on to its other
// neighbours, and the neighbour from whom it came first leads back to who said it. At one number hops only shrink along such
// a way, and a newer number came from a node that knew it before, so a way never goes round in a circle: the rule is that
// of AODV (Perkins, Belding-Royer 1999, RFC 3561).
//
// Where a link breaks, the node in front of it tells the others that the ways over it are lost. That word reaches the
// nodes that are meant, if they are still there: they speak again, with a higher number, and new ways are found. Those that
// do not are forgotten everywhere. So nothing is sent while nothing changes.
type routes struct {
	self  tag
	near  map[tag]neighbour
	known map[tag]*route
	own   own
	bytes int // of what the known nodes want

	refused uint64 // words beyond a bound
}

// neighbour is what a node tells one of its neighbours. What is told twice before it is sent is sent once, and what the
// neighbour turns out to know is not sent.
type neighbour interface {
	word(of tag)
	knows(of tag)
	lost(of tag, seq uint64)
}

// own is what this node says of itself.
type own struct {
	seq    uint64 // 0: nothing yet
	want   interest
	raw    []byte
	said   time.Time
	least  uint64    // the next number is higher: others have heard this one
	fought time.Time // when another's word in our name was answered last
}

// route is what is known of one node that listens.
type route struct {
	seq  uint64
	hops int
	via  tag
	want interest
	raw  []byte

	heard time.Time // when this number came
	doubt time.Time // since when somebody says that it is lost; zero: nobody does
	gone  bool      // our way to it is
	told  uint64    // the highest number whose loss was passed on

	window time.Time // begin of a second,
	count  int       // and the words that came in it
}

const (
	routesMax    = 4096    // nodes that listen; further ones get no messages through this node
	routesBytes  = 2 << 20 // of what they want; what is beyond is taken, and passed on, as a wish for everything
	hopsMax      = 16
	seqMax       = 1 << 62
	wordsASecond = 40 // that are taken of one node: an honest one says half of that at most

	doubtFor     = 10 * time.Second // a node that does not speak within is forgotten
	fightEvery   = 10 * time.Second
	refreshEvery = 10 * time.Minute // a node that listens says so again, in case that a word was lost
	routeFor     = 35 * time.Minute
)

func newRoutes(self tag) routes {
	return routes{self: self, near: map[tag]neighbour{}, known: map[tag]*route{}}
}

// word is what a node said, as it is passed on.
type word struct {
	of   tag
	seq  uint64
	hops int // from it to who passes it on
	want interest
	raw  []byte // want, encoded
}

// word gives what is to be said of a node now.
func (r *routes) word(of tag) (w word, ok bool) {
	if of == r.self {
		return word{of: of, seq: r.own.seq, raw: r.own.raw}, r.own.seq > 0
	}
	k := r.known[of]
	if k == nil || !k.sure() {
		return w, false
	}
	return word{of: of, seq: k.seq, hops: k.hops, raw: k.raw}, true
}

// sure tells whether nobody says that the node is lost.
func (k *route) sure() bool { return !k.gone && k.doubt.IsZero() }

// say says what this node listens to.
func (r *routes) say(want interest, now time.Time) {
	seq := max(r.own.seq, r.own.least) + 1
	if r.own.seq == 0 {
		seq = max(seq, uint64(max(now.UnixMilli(), 0))) // above what an earlier start of this node said
	}
	r.own = own{seq: seq, want: want, raw: want.encode(), said: now, fought: r.own.fought}
	for _, n := range r.near {
		n.word(r.self)
	}
}

// overdue tells whether this node has to speak again.
func (r *routes) overdue(now time.Time) bool {
	o := &r.own
	return o.least >= o.seq && o.least > 0 || !o.want.empty() && now.Sub(o.said) >= refreshEvery
}

// up takes a neighbour into use, and tells it everything.
func (r *routes) up(id tag, n neighbour) {
	r.near[id] = n
	r.tell(id)
}

// tell tells a neighbour everything.
func (r *routes) tell(id tag) {
	n := r.near[id]
	if n == nil {
		return
	}
	if r.own.seq > 0 {
		n.word(r.self)
	}
	for of, k := range r.known {
		if k.sure() && k.via != id && of != id {
			n.word(of)
		}
	}
}

// down takes a neighbour out of use.
func (r *routes) down(id tag, now time.Time) {
	delete(r.near, id)
	for of, k := range r.known {
		if k.via == id && !k.gone {
			k.gone = true
			r.doubt(k, now)
			r.pass(k, of, k.seq, id)
		}
	}
}

func (r *routes) doubt(k *route, now time.Time) {
	if k.doubt.IsZero() {
		k.doubt = now
	}
}

// pass passes on that a node is lost, once for each number.
func (r *routes) pass(k *route, of tag, seq uint64, from tag) {
	if k.told >= seq {
		return
	}
	k.told = seq
	for id, n := range r.near {
		if id != from {
			n.lost(of, seq)
		}
	}
}

// hear takes in a word that a neighbour passed on.
func (r *routes) hear(from tag, w word, now time.Time) {
	near := r.near[from]
	if near == nil || w.hops >= hopsMax {
		return
	}
	if w.of == r.self {
		r.hearSelf(w.seq, now)
		return
	}
	w.hops++
	switch k := r.known[w.of]; {
	case k == nil && len(r.known) >= routesMax:
		r.refused++
	case k == nil:
		k = &route{window: now}
		r.known[w.of] = k
		r.learn(k, from, w, now)
	case w.seq < k.seq && k.sure():
		near.word(w.of) // it does not know the newest
	case w.seq < k.seq:
		near.lost(w.of, k.seq) // who says this has started anew behind its old number
	case w.seq == k.seq && k.gone:
		near.lost(w.of, w.seq) // by this number alone it cannot be told from our own echo
	case w.seq == k.seq:
		near.knows(w.of)
		if w.hops < k.hops {
			k.hops, k.via = w.hops, from
		}
	case !k.allow(now):
		r.refused++
	default:
		r.learn(k, from, w, now)
	}
}

func (k *route) allow(now time.Time) bool {
	if now.Sub(k.window) >= time.Second {
		k.window, k.count = now, 0
	}
	k.count++
	return k.count <= wordsASecond
}

var wantAll = (&interest{all: true}).encode()

// learn takes over a newer word, and passes it on.
func (r *routes) learn(k *route, from tag, w word, now time.Time) {
	r.bytes -= len(k.raw)
	if r.bytes+len(w.raw) > routesBytes && len(w.raw) > len(wantAll) {
		w.want, w.raw = interest{all: true}, wantAll
	}
	r.bytes += len(w.raw)
	k.seq, k.hops, k.via, k.want, k.raw = w.seq, w.hops, from, w.want, w.raw
	k.heard, k.doubt, k.gone = now, time.Time{}, false
	r.near[from].knows(w.of)
	for id, n := range r.near {
		if id != from && id != w.of {
			n.word(w.of)
		}
	}
}

// hearSelf answers a word in this node's name: of an earlier start whose clock was ahead, or of a copy of this node.
func (r *routes) hearSelf(seq uint64, now time.Time) {
	if seq > r.own.seq && (r.own.fought.IsZero() || now.Sub(r.own.fought) >= fightEvery) {
		r.own.least, r.own.fought = max(r.own.least, seq), now
	}
}

// lost takes in that a node cannot be reached by somebody.
func (r *routes) lost(from, of tag, seq uint64, now time.Time) {
	near := r.near[from]
	if near == nil {
		return
	}
	if of == r.self {
		if r.own.seq > 0 && seq >= r.own.seq {
			r.own.least = max(r.own.least, seq)
		}
		return
	}
	k := r.known[of]
	switch {
	case k == nil:
		return
	case seq < k.seq && k.sure():
		near.word(of)
		return
	case seq < k.seq:
		return
	}
	if k.via == from {
		k.gone = true
	}
	r.doubt(k, now)
	r.pass(k, of, seq, from)
}

// listeners are the other nodes that a message is for, in order.
func (r *routes) listeners(key string) (to []tag) {
	w := newWanted(key)
	for of, k := range r.known {
		if !k.gone && k.want.wants(&w) {
			to = append(to, of)
		}
	}
	slices.SortFunc(to, compareTags)
	return to
}

// leg is what goes to one neighbour: the nodes for whom it is to take care.
type leg struct {
	via tag
	to  []tag
}

// legs divides nodes by the neighbours that lead to them. Those that no way leads to, but back, are left out.
func (r *routes) legs(to []tag, from tag) (out []leg) {
	at := map[tag]int{}
	for _, of := range to {
		k := r.known[of]
		if k == nil || k.gone || k.via == from {
			continue
		}
		i, ok := at[k.via]
		if !ok {
			i = len(out)
			at[k.via] = i
			out = append(out, leg{via: k.via})
		}
		out[i].to = append(out[i].to, of)
	}
	return out
}

// audience counts the other nodes that listen to something.
func (r *routes) audience() (n int) {
	for _, k := range r.known {
		if !k.gone && !k.want.empty() {
			n++
		}
	}
	return n
}

// tidy forgets who did not speak in time.
func (r *routes) tidy(now time.Time) {
	for of, k := range r.known {
		if !k.doubt.IsZero() && now.Sub(k.doubt) >= doubtFor || now.Sub(k.heard) >= routeFor {
			r.bytes -= len(k.raw)
			delete(r.known, of)
		}
	}
}

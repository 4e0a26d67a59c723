package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// session is one pull in chunks.
type session struct {
	puller, server int
	hello          []byte
	rc             *crdt.Receiver
	pull           *crdt.Pull
	chunks         [][]byte
	maxBytes       int
	reply          []byte   // of the puller, on its way to the server
	back           [][]byte // and its chunks, which the server merges when it has made its own
	broken         bool     // the puller refused a message
	blind          bool     // the server's disk was
}

var chunkSizes = []int{1, 40, 150, 600, 1 << 16}

func (w *world) newSession(who, from int, rng *rand.Rand) *session {
	r := w.nodes[who].r
	s := &session{puller: who, server: from, rc: r.NewReceiver()}
	wanted := w.wanted(rng)
	s.maxBytes = chunkSizes[rng.IntN(len(chunkSizes))]
	var base crdt.Context
	if rng.IntN(2) == 0 {
		base = w.bases[[2]int{who, from}]
	}
	s.hello = r.HelloSince(base, wanted)
	return s
}

// wanted picks entries that a puller wants first, also such as nobody has.
func (w *world) wanted(rng *rand.Rand) (hashes []uint64) {
	for range rng.IntN(3) {
		hashes = append(hashes, w.nodes[0].r.EntryHash(w.s.keys[rng.IntN(len(w.s.keys))]))
	}
	if rng.IntN(8) == 0 {
		hashes = append(hashes, rng.Uint64())
	}
	return hashes
}

func (w *world) pullWhole(who int, rng *rand.Rand) int {
	from := w.other(who, rng)
	if !w.linked(who, from) {
		return -1
	}
	w.pull(who, from, rng)
	return who
}

// pull runs one session to its end and reports whether anything came.
func (w *world) pull(who, from int, rng *rand.Rand) (got bool) {
	s := w.newSession(who, from, rng)
	w.say("n%d pulls from n%d, %d bytes a chunk", who, from, s.maxBytes)
	defer w.together(who)()
	for w.err == nil && !s.broken {
		switch {
		case w.produce(s):
			got = true
			w.merge(s)
		case s.reply != nil:
			w.deliverReply(s)
		case len(s.back) > 0:
			w.mergeBack(s)
		default:
			return got
		}
	}
	return got
}

// together makes one batch for the disk of all that is taken until the function that it gives is called, where a
// pull is merged whole.
func (w *world) together(who int) (done func()) {
	n := w.nodes[who]
	before := len(n.queue)
	return func() {
		if w.s.whole && len(n.queue) > before {
			n.queue = append(n.queue[:before], slices.Concat(n.queue[before:]...))
		}
	}
}

func (w *world) open(who int, rng *rand.Rand) {
	if from := w.other(who, rng); w.linked(who, from) {
		w.say("n%d begins to pull from n%d", who, from)
		w.sessions = append(w.sessions, w.newSession(who, from, rng))
	}
}

// produce makes the next chunk at the server, and answers false at the end.
func (w *world) produce(s *session) bool {
	if s.pull == nil && !w.takeHello(s) {
		return false
	}
	var msg []byte
	n := w.nodes[s.server]
	n.blindly(func() { msg = s.pull.Next(s.maxBytes) })
	if s.blind = s.blind || n.blind; s.pull.Err() != nil {
		w.unread++
		if !s.blind {
			w.fail(s.pull.Err())
		}
	}
	if msg == nil {
		return false
	}
	s.chunks = append(s.chunks, msg)
	return true
}

// takeHello begins a pull at the server. A hello that tells a change needs the one before, which both ends remember while
// they run; if another came meanwhile, the session breaks.
func (w *world) takeHello(s *session) bool {
	peer, err := crdt.DecodeHello(s.hello)
	if err != nil {
		w.fail(err)
		return false
	}
	ends := [2]int{s.puller, s.server}
	if peer.Since != 0 && !peer.Resolve(w.bases[ends]) {
		s.broken = true
		return false
	}
	w.bases[ends] = peer.Context.Clone()
	s.pull = w.nodes[s.server].r.NewPull(peer)
	switch form := (w.now + int64(s.puller)) % 4; {
	case form == 0: // an earlier version
	case form == 1 || w.s.whole || w.s.causal:
		s.pull.Narrow()
	default:
		s.pull.BothWays()
	}
	return true
}

func (w *world) merge(s *session) {
	msg := s.chunks[0]
	s.chunks = s.chunks[1:]
	w.say("n%d merges a chunk of n%d, %d bytes", s.puller, s.server, len(msg))
	s.broken = !w.event(s.puller, crdt.Answered{To: s.rc, Msg: msg})
	if reply := s.rc.TakeReply(); reply != nil {
		s.reply, s.back = reply, nil // what answered an earlier offer is void
	}
	if back := s.rc.TakeBack(); back != nil && !s.broken {
		w.nodes[s.puller].blindly(func() {
			for msg := back.Next(s.maxBytes); msg != nil; msg = back.Next(s.maxBytes) {
				s.back = append(s.back, msg)
			}
		})
		w.say("n%d gives n%d back what it lacks, %d chunks", s.puller, s.server, len(s.back))
	}
}

// mergeBack merges at the server what the puller sent with its last reply.
func (w *world) mergeBack(s *session) {
	msg, to := s.back[0], s.pull.Back()
	s.back = s.back[1:]
	if s.broken = to == nil; s.broken {
		return
	}
	w.say("n%d merges a chunk that n%d gave back, %d bytes", s.server, s.puller, len(msg))
	s.broken = !w.event(s.server, crdt.Answered{To: to, Msg: msg})
	w.given++
	if w.err == nil {
		w.fail(w.check(s.server))
	}
}

// deliverReply hands the puller's reply to the server, which waits for it.
func (w *world) deliverReply(s *session) {
	w.say("n%d replies to n%d, %d bytes", s.puller, s.server, len(s.reply))
	err := s.pull.Reply(s.reply)
	if s.broken, s.reply = err != nil, nil; !w.mode.outcome {
		w.fail(err)
	}
}

// chunksAhead is how far the server may run ahead of the puller.
const chunksAhead = 3

// advance lets one session go on: its puller merges a message, its server takes a reply, or makes the next message.
func (w *world) advance(rng *rand.Rand) (changed int) {
	if len(w.sessions) == 0 {
		return -1
	}
	i := rng.IntN(len(w.sessions))
	s := w.sessions[i]
	changed = -1
	merge := len(s.chunks) > 0 && (len(s.chunks) == chunksAhead || rng.IntN(2) == 0)
	if w.s.whole {
		return w.advanceWhole(i)
	}
	switch {
	case (merge || s.reply != nil) && !w.linked(s.puller, s.server):
		return -1
	case merge:
		w.merge(s)
		changed = s.puller
	case s.reply != nil && s.pull.Waiting():
		w.deliverReply(s)
	case w.produce(s):
		w.say("n%d makes a message for n%d", s.server, s.puller)
	case len(s.back) > 0 && s.reply == nil && !s.pull.Waiting():
		if !w.linked(s.puller, s.server) {
			return -1
		}
		w.mergeBack(s)
		changed = s.server
	case len(s.chunks) == 0:
		w.say("the session of n%d with n%d is over", s.puller, s.server)
		s.broken = true
	}
	if s.broken {
		w.sessions = slices.Delete(w.sessions, i, i+1)
	}
	return changed
}

// advanceWhole lets a session go on whose chunks are made together, and merged together. Where it is to reconcile again,
// because floors rose in the middle, it breaks.
func (w *world) advanceWhole(i int) (changed int) {
	s := w.sessions[i]
	over := false
	changed = -1
	switch {
	case !w.linked(s.puller, s.server):
		return -1
	case s.reply != nil:
		w.deliverReply(s)
	case w.produce(s):
		for !s.pull.Waiting() && w.produce(s) {
		}
		if s.pull.Waiting() {
			if over = len(s.chunks) > 1; !over {
				w.merge(s)
			}
		}
	default:
		defer w.together(s.puller)()
		for over = true; len(s.chunks) > 0 && !s.broken; changed = s.puller {
			w.merge(s)
		}
	}
	if over || s.broken {
		w.sessions = slices.Delete(w.sessions, i, i+1)
	}
	return changed
}

func (w *world) cutSession(rng *rand.Rand) {
	if len(w.sessions) > 0 {
		i := rng.IntN(len(w.sessions))
		w.say("the session of n%d with n%d breaks", w.sessions[i].puller, w.sessions[i].server)
		w.sessions = slices.Delete(w.sessions, i, i+1)
	}
}

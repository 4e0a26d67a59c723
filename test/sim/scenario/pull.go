package scenario

import (
	"github.com/edgemem/edgemem/crdt"
)

// Sizes of the small messages of a session, beside streamOverhead.
const (
	checkBytes  = 8  // a fingerprint of all regions
	answerBytes = 2  // same, differ, busy
	listBytes   = 26 // one region and its fingerprint
)

// session is one pull: a check or a hello, then chunks. The bytes are those of the core.
type session struct {
	f     *follower // the puller's link to the server
	back  *follower // and the server's to the puller
	why   reason
	epoch int
	rc    *crdt.Receiver
	pull  *crdt.Pull
	hello []byte
	print uint64 // what the puller had seen when it asked for a check
	check bool
	place bool // the server has a place for it
	over  bool
	news  bool
}

// ending is how a session ends.
type ending uint8

const (
	endDone ending = iota
	endBusy
	endBroken
)

func (w *world) pull(f *follower) {
	n := f.self
	s := &session{f: f, back: f.peer.follower(n), why: f.why, check: f.why <= becauseChanged, print: n.r.ContextHash()}
	n.pulling = s
	w.pulls++
	if s.check {
		w.stream(s, f, checkBytes, nil, func() { w.admit(s) })
		return
	}
	w.sayHello(s, func() { w.admit(s) })
}

// stream sends a message of a session, which the session's end makes void.
func (w *world) stream(s *session, f *follower, size int, sent, arrive func()) {
	unless := func(fn func()) func() {
		if fn == nil {
			return nil
		}
		return func() {
			if !s.over {
				fn()
			}
		}
	}
	w.send(f, size+streamOverhead, true, unless(sent), unless(arrive))
}

func (w *world) sayHello(s *session, arrive func()) {
	r := s.f.self.r
	s.check, s.hello, s.rc = false, r.Hello(), r.NewReceiver()
	w.stream(s, s.f, len(s.hello)+listBytes, nil, arrive)
}

// admit gives a session a place at the server, lets it wait for one, or refuses it.
func (w *world) admit(s *session) {
	n := s.f.peer
	switch {
	case len(n.serving) < w.s.Pull.Serving:
		w.serve(s)
	case len(n.waiting) < w.s.Pull.Waiting:
		n.waiting = append(n.waiting, s)
		n.use.waited = max(n.use.waited, len(n.waiting))
	default:
		w.refused++
		w.stream(s, s.back, answerBytes, nil, func() { w.end(s, endBusy) })
	}
}

func (w *world) serve(s *session) {
	n := s.f.peer
	s.place = true
	n.serving = append(n.serving, s)
	n.use.served = max(n.use.served, len(n.serving))
	switch {
	case !s.check:
		w.answer(s)
	case n.r.ContextHash() == s.print:
		w.stream(s, s.back, answerBytes, func() { w.leave(s) }, func() { w.end(s, endDone) })
	default:
		w.stream(s, s.back, answerBytes, nil, func() {
			w.sayHello(s, func() { w.answer(s) })
		})
	}
}

// leave gives the place to the next.
func (w *world) leave(s *session) {
	n := s.f.peer
	n.waiting = without(n.waiting, s)
	if !s.place {
		return
	}
	s.place = false
	n.serving = without(n.serving, s)
	if len(n.waiting) > 0 && len(n.serving) < w.s.Pull.Serving {
		next := n.waiting[0]
		n.waiting = n.waiting[1:]
		w.serve(next)
	}
}

// answer sends what the puller lacks, and pulls in turn when the puller has more.
func (w *world) answer(s *session) {
	r := s.f.peer.r
	seen, err := crdt.DecodeHello(s.hello)
	w.must(err)
	if !r.Covers(seen.Context) {
		w.ask(s.back, becauseBehind)
	}
	s.pull = r.NewPull(seen)
	w.more(s)
}

// more sends the next chunk when the one before has left.
func (w *world) more(s *session) {
	msg := s.pull.Next(w.s.Pull.ChunkBytes)
	if msg == nil {
		w.stream(s, s.back, listBytes, func() { w.leave(s) }, func() { w.end(s, endDone) })
		return
	}
	w.chunks++
	w.chunkBytes += int64(len(msg))
	w.stream(s, s.back, len(msg), func() { w.more(s) }, func() { w.merge(s, msg) })
}

func (w *world) merge(s *session, msg []byte) {
	n := s.f.self
	before := n.r.Version()
	w.must(s.rc.Merge(msg, w.clock()))
	s.news = s.news || n.r.Version() != before
	w.took(n, s.f.peer, 0)
}

// end closes a session at both sides.
func (w *world) end(s *session, how ending) {
	if s.over {
		return
	}
	s.over = true
	n := s.f.self
	w.leave(s)
	if n.pulling == s {
		n.pulling = nil
	}
	w.followed(s.f, how, s.news)
	w.nextPull(n)
}

package scenario

import (
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Sizes of the small messages of a session, beside streamOverhead.
const (
	checkBytes  = 8  // a fingerprint of all regions
	answerBytes = 8  // same, differ, come back later
	listBytes   = 26 // one region and its fingerprint
)

// session is one pull: a check or a hello, then chunks. The bytes are those of the core.
type session struct {
	f     *follower // the puller's link to the server
	back  *follower // and the server's to the puller
	why   reason
	began time.Duration
	rc    *crdt.Receiver
	pull  *crdt.Pull
	hello []byte
	print uint64 // what the puller had seen when it asked for a check
	late  *timer // ends the puller's turn
	over  bool
	news  bool

	place    bool // at the server, since then,
	slow     bool // beside the others
	since    time.Duration
	patience *timer // in the line
	retry    time.Duration
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
	s := &session{f: f, back: f.peer.follower(n), why: f.why, print: n.r.ContextHash(), began: w.now}
	n.pulls = append(n.pulls, s)
	n.turn = s
	s.late = w.after(pullTurn, func() { w.giveTurn(s) })
	f.asked = true
	w.pulls++
	if f.why <= becauseChanged {
		w.stream(s, f, checkBytes, nil, func() { w.check(s) })
		return
	}
	w.sayHello(s)
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

// check tells the puller whether both have seen the same. That takes no place.
func (w *world) check(s *session) {
	same := s.f.peer.r.ContextHash() == s.print
	w.stream(s, s.back, answerBytes, nil, func() {
		s.f.measured(w.now - s.began)
		if same {
			w.end(s, endDone)
			return
		}
		w.sayHello(s)
	})
}

func (w *world) sayHello(s *session) {
	r := s.f.self.r
	s.hello, s.rc = r.Hello(), r.NewReceiver()
	w.stream(s, s.f, len(s.hello)+listBytes, nil, func() { w.enter(s) })
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

// more sends the next message when the one before has left.
func (w *world) more(s *session) {
	if !w.yield(s) {
		w.sendAway(s)
		return
	}
	msg := s.pull.Next(w.s.Pull.ChunkBytes)
	switch {
	case msg == nil && s.pull.Waiting():
	case msg == nil:
		w.stream(s, s.back, listBytes, func() { w.leave(s) }, func() { w.end(s, endDone) })
	default:
		w.chunks++
		w.chunkBytes += int64(len(msg))
		w.stream(s, s.back, len(msg), func() { w.more(s) }, func() { w.merge(s, msg) })
	}
}

// merge takes a message of the server, and replies where it must.
func (w *world) merge(s *session, msg []byte) {
	n := s.f.self
	before := n.r.Version()
	w.must(s.rc.Merge(msg, w.clock()))
	if n.r.Version() != before {
		s.news = true
		w.took(n, s.f.peer, 0)
	}
	if reply := s.rc.TakeReply(); reply != nil {
		w.replies++
		w.stream(s, s.f, len(reply), nil, func() {
			w.must(s.pull.Reply(reply))
			w.more(s)
		})
	}
}

// end closes a session at both sides.
func (w *world) end(s *session, how ending) {
	if s.over {
		return
	}
	s.over = true
	n := s.f.self
	w.leave(s)
	n.pulls = without(n.pulls, s)
	w.followed(s, how)
	w.giveTurn(s)
}

package scenario

import "time"

// How a node admits pulls, as package fabric does: some are answered at once, and some more that took longer than
// placeTurn while others waited. A line of those that wait is short, and nobody waits long in it: who is sent away gets
// a time, each a later one, and turns to another peer meanwhile.
const (
	placeTurn = 3 * time.Second
	retryMin  = 200 * time.Millisecond
	retryMax  = 30 * time.Second
)

type gate struct {
	served, slow int
	line         []*session
	takes        time.Duration // how long a place is held, smoothed
	booked       time.Duration // the last time that somebody was given
}

// enter gives a session a place at its server, lets it wait for one, or sends it away.
func (w *world) enter(s *session) {
	n := s.f.peer
	g := &n.gate
	switch {
	case g.served < w.s.Pull.Serving && len(g.line) == 0:
		w.admit(s)
	case len(g.line) < w.s.Pull.Line:
		g.line = append(g.line, s)
		n.use.waited = max(n.use.waited, len(g.line))
		s.patience = w.after(time.Duration(w.s.Pull.LineWait), func() {
			g.line = without(g.line, s)
			w.sendAway(s)
		})
	default:
		w.sendAway(s)
	}
}

// admit takes a place for a session and answers it.
func (w *world) admit(s *session) {
	n := s.f.peer
	s.patience.stop()
	s.place, s.since = true, w.now
	n.gate.served++
	n.use.served = max(n.use.served, n.gate.served+n.gate.slow)
	w.answer(s)
}

// sendAway ends a session, and tells its puller when to come back.
func (w *world) sendAway(s *session) {
	w.refused++
	s.retry = w.book(&s.f.peer.gate)
	w.stream(s, s.back, answerBytes, func() { w.leave(s) }, func() { w.end(s, endBusy) })
}

// book gives the time until a place may be free for one more.
func (w *world) book(g *gate) time.Duration {
	each := g.takes / time.Duration(w.s.Pull.Serving)
	g.booked = max(g.booked, w.now+each*time.Duration(len(g.line)))
	g.booked = min(g.booked+each, w.now+retryMax)
	return max(g.booked-w.now, retryMin)
}

// freed gives a place to the line.
func (w *world) freed(s *session) {
	g := &s.f.peer.gate
	g.takes += (w.now - s.since - g.takes) / 8
	g.served--
	for len(g.line) > 0 && g.served < w.s.Pull.Serving {
		next := g.line[0]
		g.line = g.line[1:]
		w.admit(next)
	}
}

// yield lets an answer that takes long go on beside those who wait, and reports whether it may go on at all.
func (w *world) yield(s *session) bool {
	g := &s.f.peer.gate
	if s.slow || !s.place || len(g.line) == 0 || w.now-s.since < placeTurn {
		return true
	}
	if g.slow >= w.s.Pull.Slow {
		return false
	}
	s.slow = true
	g.slow++
	w.freed(s)
	return true
}

// leave gives back what a session holds at its server.
func (w *world) leave(s *session) {
	g := &s.f.peer.gate
	s.patience.stop()
	g.line = without(g.line, s)
	if !s.place {
		return
	}
	s.place = false
	if s.slow {
		g.slow--
		return
	}
	w.freed(s)
}

package scenario

import (
	"cmp"
	"slices"
	"time"
)

// reason says why a pull is due, as in package fabric. A larger one is more urgent.
type reason uint8

const (
	noReason reason = iota
	becauseTime
	becauseChanged
	becauseBehind
	becauseGap
	becauseConnected
)

// How long a pull waits for its reason to go away by itself, how long it may hold up others of the same node, and over what
// first pulls are spread when many peers come at once: as in package fabric.
const (
	gapDelay     = 20 * time.Millisecond
	behindDelay  = 250 * time.Millisecond
	changedDelay = time.Second
	pullTurn     = 5 * time.Second
	rushWindow   = time.Second
	rushFree     = 4
	rushEach     = 5 * time.Millisecond
)

func (why reason) delay() time.Duration {
	switch why {
	case becauseGap:
		return gapDelay
	case becauseBehind:
		return behindDelay
	}
	return 0
}

// follower is what a node keeps about one neighbour: the link, and when to pull from it.
type follower struct {
	self, peer *node
	mesh       bool
	on         bool
	since      time.Duration // when it came up
	epoch      int           // grows when the link breaks
	arrived    time.Duration // when the last that was sent to peer arrives there,
	taken      time.Duration // and has been taken in whole

	why   reason
	again reason        // asked for while a pull is queued or runs
	due   *timer        // the pull waits for its reason to go away, or for the peer to be free
	busy  bool          // the pull is queued, or runs
	idle  *timer        // the next pull that nothing asks for
	quiet time.Duration // how long a quiet peer is left alone
	until time.Duration // before which the peer is not to be asked
	asked bool          // since it came up
	rtt   time.Duration // of a check, smoothed; 0: not measured
}

func (f *follower) measured(d time.Duration) {
	or(&f.rtt, d)
	f.rtt += (d - f.rtt) / 4
}

// connected asks for a pull. Where many peers come at once, the pulls are spread.
func (w *world) connected(f *follower) {
	f.on, f.since, f.asked, f.rtt = true, w.now, false, 0
	f.quiet, f.until = time.Duration(w.s.Pull.Every), 0
	came := 0
	for _, g := range f.self.links {
		if g.on && w.now-g.since < rushWindow {
			came++
		}
	}
	if rush := rushEach * time.Duration(came-rushFree); rush > 0 {
		f.until = w.now + time.Duration(w.rng.Int64N(int64(rush)))
	}
	w.ask(f, becauseConnected)
}

// disconnected ends what was under way on the link.
func (w *world) disconnected(f *follower) {
	f.on = false
	f.epoch++
	f.due.stop()
	f.idle.stop()
	f.due, f.idle, f.again = nil, nil, noReason
	for _, s := range slices.Concat(f.self.pulls, f.peer.pulls) {
		if s.f == f || s.back == f {
			w.end(s, endBroken)
		}
	}
	f.busy = false
	f.self.queue = without(f.self.queue, f)
}

func without[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(list, func(y T) bool { return y == x })
}

// ask requests a pull. A more urgent request replaces one that waits.
func (w *world) ask(f *follower, why reason) {
	switch {
	case !f.on:
	case f.busy:
		f.again = max(f.again, why)
	case f.due == nil || why > f.why:
		f.due.stop()
		f.idle.stop()
		f.why, f.idle = why, nil
		f.due = w.after(max(why.delay(), f.until-w.now), func() {
			f.due, f.busy = nil, true
			f.self.queue = append(f.self.queue, f)
			w.nextPull(f.self)
		})
	}
}

// before orders pulls that wait for their node's turn: the most urgent, then peers not asked since they came, then the
// nearest.
func (f *follower) before(g *follower) int {
	if n := cmp.Compare(g.why, f.why); n != 0 {
		return n
	}
	if f.asked != g.asked {
		if g.asked {
			return -1
		}
		return 1
	}
	return cmp.Compare(f.rtt, g.rtt)
}

// nextPull begins the next queued pull: one at a time, so that no two peers send the same.
func (w *world) nextPull(n *node) {
	if n.turn != nil || len(n.queue) == 0 {
		return
	}
	w.rng.Shuffle(len(n.queue), func(i, j int) { n.queue[i], n.queue[j] = n.queue[j], n.queue[i] })
	f := slices.MinFunc(n.queue, (*follower).before)
	n.queue = without(n.queue, f)
	w.pull(f)
}

// giveTurn hands a session's turn on, at its end or when it takes long.
func (w *world) giveTurn(s *session) {
	s.late.stop()
	if n := s.f.self; n.turn == s {
		n.turn = nil
		w.nextPull(n)
	}
}

// followed plans the next pull from a peer after one that ended.
func (w *world) followed(s *session, how ending) {
	f := s.f
	f.busy = false
	if !f.on {
		return
	}
	if how == endBusy { // meanwhile the turn is another peer's
		f.until = w.now + w.spread(s.retry)
		f.again = max(f.again, becauseBehind)
	} else {
		f.until = 0
		if f.quiet = min(2*f.quiet, time.Duration(w.s.Pull.EveryMax)); s.news || s.why != becauseTime {
			f.quiet = time.Duration(w.s.Pull.Every)
		}
		f.idle = w.after(w.spread(f.quiet), func() {
			f.idle = nil
			w.ask(f, becauseTime)
		})
	}
	if again := f.again; again != noReason {
		f.again = noReason
		w.ask(f, again)
	}
}

// spread is jitter: ¾ d … 1¼ d.
func (w *world) spread(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(w.rng.Int64N(int64(d)/2+1))
}

// changed asks all neighbours whether they are in step, a second after a change, at most once a second.
func (w *world) changed(n *node) {
	if n.herald != nil {
		return
	}
	n.herald = w.after(changedDelay, func() {
		n.herald = nil
		for _, f := range n.links {
			w.ask(f, becauseChanged)
		}
	})
}

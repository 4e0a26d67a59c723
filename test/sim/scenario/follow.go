package scenario

import "time"

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

// How long a pull waits for its reason to go away by itself, and for the next try, as in package fabric.
const (
	gapDelay     = 20 * time.Millisecond
	behindDelay  = 250 * time.Millisecond
	changedDelay = time.Second
	retryMax     = 30 * time.Second
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
	epoch      int           // grows when the link breaks
	arrived    time.Duration // when the last that was sent to peer arrives there,
	taken      time.Duration // and has been taken in whole

	why    reason
	again  reason // asked for while a pull is queued or runs
	due    *timer // the pull waits for its reason to go away
	busy   bool   // the pull is queued, or runs
	idle   *timer
	quiet  time.Duration // how long a quiet peer is left alone
	retry  time.Duration // after a refusal
	refuse time.Duration // until when the peer is known to be busy
}

// connected asks for a pull, after a random part of the spread.
func (w *world) connected(f *follower) {
	f.on = true
	f.quiet, f.retry, f.refuse = time.Duration(w.s.Pull.Every), 0, 0
	wait := time.Duration(0)
	if s := int64(w.s.Pull.Spread); s > 0 {
		wait = time.Duration(w.rng.Int64N(s))
	}
	epoch := f.epoch
	w.after(wait, func() {
		if f.epoch == epoch {
			w.ask(f, becauseConnected)
		}
	})
}

// disconnected ends what was under way on the link.
func (w *world) disconnected(f *follower) {
	f.on = false
	f.epoch++
	f.due.stop()
	f.idle.stop()
	f.due, f.idle, f.again = nil, nil, noReason
	for _, n := range []*node{f.self, f.peer} {
		if s := n.pulling; s != nil && (s.f == f || s.back == f) {
			w.end(s, endBroken)
		}
	}
	f.busy = false
	f.self.queue = without(f.self.queue, f)
}

func without[T comparable](list []T, x T) []T {
	kept := list[:0]
	for _, y := range list {
		if y != x {
			kept = append(kept, y)
		}
	}
	return kept
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
		f.due = w.after(why.delay(), func() {
			f.due, f.busy = nil, true
			f.self.queue = append(f.self.queue, f)
			w.nextPull(f.self)
		})
	}
}

// nextPull begins the next queued pull: one at a time, so that no two peers send the same.
func (w *world) nextPull(n *node) {
	if n.pulling == nil && len(n.queue) > 0 {
		f := n.queue[0]
		n.queue = n.queue[1:]
		w.pull(f)
	}
}

// followed plans the next pull from a peer after one that ended.
func (w *world) followed(f *follower, how ending, news bool) {
	f.busy = false
	if !f.on {
		return
	}
	wait := f.quiet
	switch {
	case how == endBusy:
		f.retry = min(max(2*f.retry, time.Duration(w.s.Pull.BusyRetry)), retryMax)
		wait = f.retry
		f.refuse = w.now + wait
		w.askAnother(f)
	case news || f.why != becauseTime:
		f.quiet, f.retry = time.Duration(w.s.Pull.Every), 0
		wait = f.quiet
	default:
		f.quiet, f.retry = min(2*f.quiet, time.Duration(w.s.Pull.EveryMax)), 0
		wait = f.quiet
	}
	why := becauseTime
	if how == endBusy {
		why = f.why
	}
	f.idle = w.after(w.spread(wait), func() {
		f.idle = nil
		w.ask(f, why)
	})
	if again := f.again; again != noReason && how != endBusy {
		f.again = noReason
		w.ask(f, again)
	}
}

// askAnother turns to a neighbour that has not refused lately.
func (w *world) askAnother(f *follower) {
	n := f.self
	for _, i := range w.rng.Perm(len(n.links)) {
		if g := n.links[i]; g != f && g.on && g.refuse <= w.now {
			w.ask(g, f.why)
			return
		}
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

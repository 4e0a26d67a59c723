package p2p

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	dialTimeout   = 10 * time.Second
	dialsMax      = 8                // at once
	spanHealthy   = 5 * time.Second  // a span this long makes the next attempt count as the first
	loneliness    = 15 * time.Second // without any connection, somebody is tried this often, whatever the backoffs say
	secondDialler = 150 * time.Millisecond
	candidatesMax = 256 // peers known by an address only, found by mDNS; a further one is ignored until some end
	candidateLife = 10 * time.Minute
)

// target is a peer that the keeper tries to stay connected to.
type target struct {
	sticky   bool      // dialled even when there are PeersLow connections: static addresses
	lapse    time.Time // a candidate's end; zero: never
	next     time.Time // not before
	seen     time.Time // when it was last connected; zero: not that we know
	backoff  time.Duration
	dialling bool
	began    time.Time          // of the attempt under way
	giveUp   context.CancelFunc // ends the attempt under way; nil before it has come to the dial
	failed   bool               // the last attempt, and no connection since
	fails    int                // attempts in vain since the last connection
	sought   int                // how many of them when it was last sought
	again    bool               // once more, soon, if the attempt under way fails
}

// keeper dials: every known member, static addresses and candidates, each with a backoff of its own, as long
// as there are fewer than PeersLow connections. While everyone is connected it sleeps without a timer.
type keeper struct {
	h       *Host
	mu      sync.Mutex // a leaf
	targets map[peer.ID]*target
	dialing int
	dialled time.Time           // when the last attempt began
	connect func(peer.ID) error // dial, but in tests
	seek    func(peer.ID)       // has others asked where a member is
	urgent  func(peer.ID) bool  // who may be dialled beyond PeersLow, by relaysWanted
	wake    chan struct{}       // room for one: a wake-up that finds one pending has nothing to add
}

func newKeeper(h *Host) *keeper {
	k := &keeper{h: h, targets: map[peer.ID]*target{}, wake: make(chan struct{}, 1)}
	k.connect = k.dial
	k.urgent, k.seek = func(peer.ID) bool { return false }, func(peer.ID) {}
	return k
}

// watch makes a member a target for good. seen is when it was last connected, zero if it never was.
func (k *keeper) watch(id peer.ID, seen time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.target(id)
	t.lapse = time.Time{}
	if seen.After(t.seen) {
		t.seen = seen
	}
	k.kick()
}

// stick makes a peer a target that is always dialled.
func (k *keeper) stick(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id != k.h.id {
		k.target(id).sticky = true
	}
	k.kick()
}

// sighted says that a peer is near: a known target is due at once, it may have come to this network; another one
// becomes a target for a while, because it says, unproven, that it is of this fabric.
func (k *keeper) sighted(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.kick()
	if t, known := k.targets[id]; known {
		t.next = time.Time{}
	} else if id != k.h.id && k.candidates() < candidatesMax {
		k.target(id).lapse = time.Now().Add(candidateLife)
	}
}

func (k *keeper) candidates() (n int) {
	for _, t := range k.targets {
		if !t.lapse.IsZero() {
			n++
		}
	}
	return n
}

// target finds or makes one. Of two nodes that know each other the one with the larger id waits a little,
// so that they do not dial each other at the same time.
func (k *keeper) target(id peer.ID) *target {
	t, ok := k.targets[id]
	if !ok {
		t = &target{backoff: backoffMin}
		if k.h.id > id {
			t.next = time.Now().Add(secondDialler)
		}
		k.targets[id] = t
	}
	return t
}

func (k *keeper) forget(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.targets, id)
}

// isDialling tells whether an attempt at a peer has just begun. One that has gone on for longer than glareDial is
// likely to be into the void, as at a peer behind an address translator, and no reason to refuse the peer's own.
func (k *keeper) isDialling(id peer.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.targets[id]
	return ok && t.dialling && time.Since(t.began) < glareDial
}

// kick wakes the loop; called with or without mu.
func (k *keeper) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// reset makes every target due at once: the network has changed, or the node is on line again.
func (k *keeper) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.targets {
		t.next, t.backoff = time.Time{}, backoffMin
	}
	k.kick()
}

// reached tells that a peer has proven itself, on whichever connection; an attempt at it that is still under way
// has nothing left to gain. If the peer was out of reach before, so may others have been for the same reason, now
// over: each of them gets one attempt soon, and keeps its backoff for when that fails.
func (k *keeper) reached(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.kick()
	t, ok := k.targets[id]
	if !ok {
		return
	}
	t.seen, t.fails, t.sought = time.Now(), 0, 0
	if t.giveUp != nil {
		t.giveUp()
	}
	if !t.failed {
		return
	}
	t.failed = false
	for _, o := range k.targets {
		if o.again = o.dialling; o.failed {
			o.hasten()
		}
	}
}

// moved tells that there is a new way to a member: it is due soon.
func (k *keeper) moved(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t, ok := k.targets[id]; ok {
		t.again = t.dialling
		t.hasten()
		k.kick()
	}
}

// hasten makes a target due within backoffMin.
func (t *target) hasten() {
	if soon := time.Now().Add(rand.N(backoffMin)); t.next.After(soon) {
		t.next = soon
	}
}

// ended schedules the next attempt after a span.
func (k *keeper) ended(id peer.ID, lasted time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.targets[id]
	if !ok {
		return
	}
	t.seen = time.Now()
	if lasted >= spanHealthy {
		t.backoff = backoffMin
	}
	t.postpone()
	k.kick()
}

// snooze puts a peer off that said it will be gone for a while.
func (k *keeper) snooze(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t, ok := k.targets[id]; ok {
		t.wait(snoozeFor)
		t.backoff = min(snoozeFor, backoffCap(time.Since(t.seen)))
	}
}

// postpone sets the next attempt after the backoff, and doubles the backoff.
func (t *target) postpone() {
	most := backoffCap(time.Since(t.seen))
	if t.sticky {
		most = min(most, backoffToday)
	}
	t.wait(min(t.backoff, most))
	t.backoff = min(2*t.backoff, most)
}

// wait puts the next attempt off by d ± 50 %, so that those who lost the same peer do not come back together.
func (t *target) wait(d time.Duration) {
	next := time.Now().Add(time.Duration((0.5 + rand.Float64()) * float64(d)))
	if next.After(t.next) {
		t.next = next
	}
}

// loop dials until the host closes.
func (k *keeper) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.h.ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		timer.Stop()
		if wait, ok := k.dialDue(time.Now()); ok {
			timer.Reset(wait)
		}
	}
}

// dialDue starts what is due and returns the time until the next target is; false if there is none.
func (k *keeper) dialDue(now time.Time) (wait time.Duration, ok bool) {
	if !k.h.gate.is(modeOpen) {
		return 0, false
	}
	connected := k.h.links.proving()
	k.mu.Lock()
	defer k.mu.Unlock()
	wait = backoffMax
	for _, id := range k.shuffled() {
		t := k.targets[id]
		room := k.h.cfg.PeersLow - len(connected) - k.dialing
		full := room <= 0 && !t.sticky && !(k.urgent(id) && room > -relaysWanted)
		if connected[id] || t.dialling || full || k.dialing >= dialsMax {
			continue // the end of the span or of the dial wakes the loop
		}
		if until := t.next.Sub(now); until > 0 {
			wait, ok = min(wait, until), true
			continue
		}
		if !t.lapse.IsZero() && now.After(t.lapse) {
			delete(k.targets, id)
			continue
		}
		k.start(id, t)
	}
	if len(connected) == 0 {
		return k.seekCompany(now, wait, ok)
	}
	return wait, ok
}

// seekCompany shortens the wait of a node without a connection: with backoffs alone, one that was cut off for long
// would notice late that it no longer is. It costs one attempt at a time, however many members there are.
func (k *keeper) seekCompany(now time.Time, wait time.Duration, ok bool) (time.Duration, bool) {
	first := k.firstDue()
	if first == "" || k.dialing > 0 {
		return wait, ok // the end of the dial wakes the loop
	}
	if until := k.dialled.Add(loneliness).Sub(now); until > 0 {
		return min(wait, until), true
	}
	k.start(first, k.targets[first])
	return wait, ok
}

// firstDue is the target whose turn comes first.
func (k *keeper) firstDue() (first peer.ID) {
	for id, t := range k.targets {
		if first == "" || t.next.Before(k.targets[first].next) {
			first = id
		}
	}
	return first
}

// shuffled gives the targets in a random order: in a large fabric each node picks other neighbours.
func (k *keeper) shuffled() []peer.ID {
	ids := make([]peer.ID, 0, len(k.targets))
	for id := range k.targets {
		ids = append(ids, id)
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// start is called with mu held.
func (k *keeper) start(id peer.ID, t *target) {
	t.dialling, t.again, t.began = true, false, time.Now()
	k.dialing++
	k.dialled = t.began
	if !k.h.goes.run(func() { k.finish(id, k.connect(id)) }) {
		k.dialing--
	}
}

func (k *keeper) finish(id peer.ID, err error) {
	if err != nil && k.h.links.proving()[id] {
		err = nil // the peer came by another way
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dialing--
	k.kick()
	t, ok := k.targets[id]
	if !ok {
		return
	}
	t.dialling, t.giveUp = false, nil
	if err != nil {
		t.failed = true
		t.fails++
		if t.fails >= max(seekFailures, 2*t.sought) {
			t.sought = t.fails
			k.seek(id)
		}
		t.postpone()
		if t.again {
			t.hasten()
		}
		k.h.log.Debug("p2p: dial failed", "peer", id, "next", time.Until(t.next).Round(time.Millisecond), "err", err)
	}
}

// dial connects to a peer and waits for the outcome of the proof.
func (k *keeper) dial(id peer.ID) error {
	ctx, cancel := context.WithTimeout(k.h.ctx, dialTimeout)
	defer cancel()
	k.canGiveUp(id, cancel)
	k.h.net.Backoff().Clear(id) // libp2p has a backoff too; ours knows more
	_, err := k.h.reach(ctx, id)
	return err
}

func (k *keeper) canGiveUp(id peer.ID, cancel context.CancelFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t, ok := k.targets[id]; ok {
		t.giveUp = cancel
	}
}

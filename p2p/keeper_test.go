package p2p

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/edgemem/edgemem/test/bubble"
)

// dialler is a keeper in virtual time whose peers answer only when they are in reach.
type dialler struct {
	*keeper
	mu      sync.Mutex
	reach   map[peer.ID]bool
	attempt map[peer.ID]int
}

var errOutOfReach = errors.New("out of reach")

// silence is how long an attempt takes that nobody answers.
const silence = dialTimeout

func newDialler(t *testing.T, peers ...peer.ID) *dialler {
	ctx, cancel := context.WithCancel(t.Context())
	h := &Host{ctx: ctx, cfg: Config{PeersLow: 8}, log: slog.New(slog.DiscardHandler), gate: newGate(), goes: &goes{}}
	h.links = &links{h: h, m: map[network.Conn]*link{}}
	h.gate.set(modeOpen)
	d := &dialler{keeper: newKeeper(h), reach: map[peer.ID]bool{}, attempt: map[peer.ID]int{}}
	d.connect = d.try
	for _, p := range peers {
		d.watch(p, time.Time{})
	}
	h.goes.run(d.loop)
	t.Cleanup(func() { cancel(); h.goes.wait() })
	return d
}

func (d *dialler) try(id peer.ID) error {
	d.mu.Lock()
	d.attempt[id]++
	up := d.reach[id]
	d.mu.Unlock()
	if !up {
		time.Sleep(silence)
		return errOutOfReach
	}
	d.arrive(id)
	return nil
}

// arrive is what a proven connection does, whoever dialled.
func (d *dialler) arrive(id peer.ID) {
	l := &link{peer: id}
	l.standing.Store(int32(proven))
	d.h.links.mu.Lock()
	d.h.links.m[struct{ network.Conn }{fakeConn{id: id}}] = l
	d.h.links.mu.Unlock()
	d.reached(id)
}

type fakeConn struct {
	network.Conn
	id peer.ID
}

func (d *dialler) set(up bool, peers ...peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range peers {
		d.reach[p] = up
	}
}

func (d *dialler) attempts() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.attempt {
		n += k
	}
	return n
}

// TestLonelyNode: however long a node was cut off, it notices soon that it no longer is; and it does not try more
// often for having more members.
func TestLonelyNode(t *testing.T) {
	t.Parallel()
	for _, members := range [][]peer.ID{{"a"}, {"a", "b", "c"}} {
		bubble.Test(t, func(t *testing.T) {
			d := newDialler(t, members...)
			time.Sleep(time.Hour)
			before := d.attempts()
			time.Sleep(time.Hour)
			if tries, most := d.attempts()-before, int(time.Hour/loneliness)+len(members)*int(time.Hour/(backoffMax/2)); tries > most {
				t.Errorf("%d attempts in an hour alone, want at most %d", tries, most)
			}
			d.set(true, members...)
			time.Sleep(loneliness + silence + backoffMin)
			synctest.Wait()
			if got := len(d.h.links.proving()); got != len(members) {
				t.Errorf("%d of %d members are connected", got, len(members))
			}
		})
	}
}

// TestOneBackBringsAll: when a peer that was out of reach is back, whoever dialled, the others are tried at once.
func TestOneBackBringsAll(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		d := newDialler(t, "near", "a", "b", "c")
		d.set(true, "near")
		time.Sleep(time.Hour)
		d.set(true, "b", "c")
		d.arrive("a")
		time.Sleep(silence + backoffMin) // an attempt may just have begun in vain
		synctest.Wait()
		if got := len(d.h.links.proving()); got != 4 {
			t.Errorf("%d of 4 members are connected", got)
		}
	})
}

// TestFlappingPeer: a peer that comes and goes does not reset the patience with those that are gone for good.
func TestFlappingPeer(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		d := newDialler(t, "near", "gone")
		d.set(true, "near")
		time.Sleep(time.Hour)
		before := d.attempts()
		for range 60 {
			d.arrive("near") // it never failed, so it says nothing about others
			time.Sleep(time.Minute)
		}
		if tries := d.attempts() - before; tries > int(time.Hour/(backoffMax/2)) {
			t.Errorf("%d attempts in an hour at a peer that is gone", tries)
		}
	})
}

// TestPatience: a member that went a moment ago is back on line soon after it is back; one that has been away for long
// costs an attempt every few minutes.
func TestPatience(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		d := newDialler(t, "near", "went")
		d.watch("old", time.Now().Add(-48*time.Hour))
		d.set(true, "near")
		time.Sleep(time.Hour)
		d.keeper.ended("went", time.Minute)
		time.Sleep(recently - time.Minute)
		d.set(true, "went")
		time.Sleep(backoffRecent*3/2 + silence)
		synctest.Wait()
		if !d.h.links.proving()["went"] {
			t.Error("a member that went ten minutes ago is not back")
		}
		before := d.attempts()
		time.Sleep(time.Hour)
		if tries := d.attempts() - before; tries > int(time.Hour/(backoffMax/2)) || tries < int(time.Hour/(2*backoffMax)) {
			t.Errorf("%d attempts in an hour at a member that is long gone", tries)
		}
	})
}

// TestGiveUp: an attempt into the void ends when the peer comes by another way, and does not count as a failure.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		d := newDialler(t)
		ended := make(chan time.Duration, 1)
		d.connect = func(id peer.ID) error {
			ctx, cancel := context.WithCancel(d.h.ctx)
			defer cancel()
			d.canGiveUp(id, cancel)
			start := time.Now()
			<-ctx.Done()
			ended <- time.Since(start)
			return ctx.Err()
		}
		d.watch("a", time.Time{})
		time.Sleep(time.Minute)
		d.arrive("a")
		synctest.Wait()
		if took := <-ended; took > time.Minute {
			t.Errorf("the attempt ended after %v", took)
		}
		if d.keeper.targets["a"].failed || d.isDialling("a") {
			t.Error("the attempt counts as failed, or goes on")
		}
	})
}

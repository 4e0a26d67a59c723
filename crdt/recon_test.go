package crdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// reconcile lets to pull from from, replies included, and gives the round trips and the bytes both ways.
func reconcile(t testing.TB, to, from *Region, max int) (rounds, size int) {
	t.Helper()
	rc, hello := to.NewReceiver(), to.Hello()
	peer, err := DecodeHello(hello)
	if err != nil {
		t.Fatal(err)
	}
	p := from.NewPull(peer)
	rounds, size = 1, len(hello)
	for {
		msg := p.Next(max)
		if msg == nil && !p.Waiting() {
			return rounds, size
		}
		if msg != nil {
			size += len(msg)
			if err := rc.Merge(msg, testNow); err != nil {
				t.Fatal(err)
			}
			continue
		}
		reply := rc.TakeReply()
		if reply == nil {
			t.Fatal("the sender waits, and the puller has nothing to say")
		}
		rounds++
		size += len(reply)
		if err := p.Reply(reply); err != nil {
			t.Fatal(err)
		}
	}
}

// pair makes two replicas with n shared registers, then removes gone of them and overwrites changed others in the first,
// and forgets its ghosts.
func pair(t testing.TB, n, gone, changed int, rng *rand.Rand) (a, b *Region) {
	t.Helper()
	a, b = newTestRegion(1), newTestRegion(2)
	set := func(i int, val string) {
		update(t, a, func(tx *Tx) error { tx.Set(fmt.Sprintf("key-%06d", i), []byte(val), false); return nil })
	}
	for i := range n {
		set(i, "first")
	}
	pullAll(t, b, a, 1<<20)
	order := rng.Perm(n)
	for _, i := range order[:gone] {
		update(t, a, func(tx *Tx) error { tx.Del(fmt.Sprintf("key-%06d", i)); return nil })
	}
	for _, i := range order[gone : gone+changed] {
		set(i, "second")
	}
	a.TakePush()
	a.Prune(a.Self(), a.OwnTop())
	return a, b
}

func TestReconcileBelowFloor(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ n, gone, changed, rounds int }{
		{300, 0, 0, 1}, {300, 1, 0, 2}, {2000, 10, 10, 2}, {5000, 50, 50, 3}, {5000, 400, 0, 3}, {5000, 4000, 500, 3}, {5000, 5000, 0, 3}, {200, 100, 0, 1},
	} {
		t.Run(fmt.Sprintf("%d-%d-%d", x.n, x.gone, x.changed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(x.gone)))
			a, b := pair(t, x.n, x.gone, x.changed, rng)
			rounds, size := reconcile(t, b, a, 64<<10)
			t.Logf("%d of %d differ: %d round trips, %d bytes", x.gone+x.changed, x.n, rounds, size)
			if rounds > x.rounds {
				t.Errorf("%d round trips, want %d", rounds, x.rounds)
			}
			same(t, a, b)
			if most := 40*(x.gone+2*x.changed) + 30*x.changed + 2048; x.n > 300 && size > most {
				t.Errorf("%d bytes, want at most %d", size, most)
			}
			if rounds, _ := reconcile(t, b, a, 64<<10); rounds != 1 {
				t.Errorf("the next pull took %d round trips", rounds)
			}
		})
	}
}

// TestReconcileKeepsWhatCameMeanwhile: what the puller wrote, and what a late push brought, between the offer and the chunks.
func TestReconcileKeepsWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	a, b := pair(t, 1000, 30, 0, rng)
	c := newTestRegion(3)
	update(t, c, func(tx *Tx) error { tx.Set("late", []byte("c"), false); return nil })
	late := c.TakePush()
	pullAll(t, a, c, 1<<20)
	update(t, a, func(tx *Tx) error { tx.Del("late"); return nil })
	a.Prune(a.Self(), a.OwnTop()) // a has seen and removed what b has not even seen, and forgot so

	rc := b.NewReceiver()
	peer, _ := DecodeHello(b.Hello())
	p := a.NewPull(peer)
	if err := rc.Merge(p.Next(1000), testNow); err != nil || p.Next(1) != nil || !p.Waiting() {
		t.Fatal("no offer", err)
	}
	reply := rc.TakeReply()
	update(t, b, func(tx *Tx) error { tx.Set("mine", []byte("b"), false); return nil })
	for _, msg := range late {
		if _, err := b.Push(msg, testNow); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if err := p.Reply(reply); err != nil {
			t.Fatal(err)
		}
		msg := p.Next(1000)
		for ; msg != nil; msg = p.Next(1000) {
			if err := rc.Merge(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
		if reply = rc.TakeReply(); reply == nil {
			break
		}
	}
	v := b.View(testNow)
	if _, ok, _ := v.Get("late"); ok {
		t.Error("a late push came back from the dead")
	}
	if _, ok, _ := v.Get("mine"); !ok {
		t.Error("a write of the puller is lost")
	}
	if v.Len() != 971 {
		t.Errorf("%d entries, want 971", v.Len())
	}
	if err := b.Audit(); err != nil {
		t.Error(err)
	}
}

// TestReconcileAgain: the sender forgets more between the offer and the chunks, and offers again.
func TestReconcileAgain(t *testing.T) {
	t.Parallel()
	a, b := pair(t, 1000, 30, 0, rand.New(rand.NewPCG(3, 3)))
	rc := b.NewReceiver()
	peer, _ := DecodeHello(b.Hello())
	p := a.NewPull(peer)
	offers := 0
	for !p.Done() {
		msg := p.Next(2000)
		if msg != nil {
			if err := rc.Merge(msg, testNow); err != nil {
				t.Fatal(err)
			}
			continue
		}
		offers++
		i := 0
		update(t, a, func(tx *Tx) error {
			tx.KeysWithPrefix("", func(key string, _ Kind) bool { i++; tx.Del(key); return false })
			return nil
		})
		a.Prune(a.Self(), a.OwnTop())
		if err := p.Reply(rc.TakeReply()); err != nil {
			t.Fatal(err)
		}
	}
	if offers < 2 {
		t.Errorf("%d offers", offers)
	}
	same(t, a, b)
}

func same(t testing.TB, a, b *Region) {
	t.Helper()
	if a.Digest() != b.Digest() || a.Siblings() != b.Siblings() || !a.Context().Equal(b.Context()) {
		t.Errorf("digests %x and %x, %d and %d siblings", a.Digest(), b.Digest(), a.Siblings(), b.Siblings())
	}
	for _, r := range []*Region{a, b} {
		if err := r.Audit(); err != nil {
			t.Error(err)
		}
	}
}

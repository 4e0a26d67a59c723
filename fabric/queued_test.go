package fabric

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// queueing has a fleet in which "c" has no copy of a region that queues writes, and the others hold it.
func queueing(t *testing.T, seed uint64, order Consistency) *fleet {
	t.Helper()
	x := newFleet(t, seed, "a", "b", "c")
	yes := true
	create(t, x.nodes["a"], "maps", RegionConfig{Placement: Placement{Kind: "demand"}, QueueWrites: &yes, Consistency: order})
	time.Sleep(time.Minute)
	take(t, "maps", x.nodes["b"])
	time.Sleep(time.Minute)
	return x
}

func (x *fleet) apart(cut bool) {
	for _, id := range []crdt.NodeID{"a", "b"} {
		if cut {
			x.m.Cut("c", id)
		} else {
			x.m.Heal("c", id)
		}
	}
}

func (x *fleet) queue(fn func(tx *crdt.Tx) error) error {
	r, err := x.nodes["c"].Region("maps")
	if err == nil {
		err = r.Queue(x.t.Context(), fn)
	}
	return err
}

func (x *fleet) counted(id crdt.NodeID, key string) int64 {
	x.t.Helper()
	n, err := CounterOf(region(x.t, x.nodes[id], "maps"), key).Value()
	if err != nil {
		x.t.Error(err)
	}
	return n
}

// TestQueuedWritesAreDone: once each, all types, before what is asked after; and they count as concurrent to what was done meanwhile.
func TestQueuedWritesAreDone(t *testing.T) {
	for _, order := range []Consistency{Eventual, Causal} {
		t.Run(string(order), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { queuedWritesAreDone(t, queueing(t, 1, order)) })
		})
	}
}

func queuedWritesAreDone(t *testing.T, x *fleet) {
	for _, f := range x.nodes {
		registerService(f)
	}
	ra := region(t, x.nodes["a"], "maps")
	set(t, ra, "n", "10")
	set(t, ra, "k", "before")
	time.Sleep(time.Second)
	x.apart(true)
	for i := range 5 {
		if err := x.queue(func(tx *crdt.Tx) error {
			tx.Set("k", []byte(fmt.Sprint(i)), false)
			_, err := tx.SetAdd("s", fmt.Sprint(i))
			_, err2 := tx.Incr("n", 2)
			return errors.Join(err, err2)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CounterOf(ra, "n").Add(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if n, _ := region(t, x.nodes["c"], "maps").Queued(); n == 0 || x.nodes["c"].QueueStats().Waiting != n {
		t.Errorf("%d writes wait, %+v", n, x.nodes["c"].QueueStats())
	}
	x.apart(false)
	b, _, err := x.nodes["c"].Ask(t.Context(), Request{Region: "maps", Service: "kv", Body: []byte("k")})
	if err != nil || string(b) != "4" {
		t.Errorf("read %q after 4 was queued: %v", b, err)
	}
	time.Sleep(time.Minute)
	for _, id := range []crdt.NodeID{"a", "b"} {
		r := region(t, x.nodes[id], "maps")
		members := 0
		_ = r.View(func(v *crdt.View) { members, _ = v.SetLen("s") })
		if n := x.counted(id, "n"); n != 120 || get(t, r, "k") != "4" || members != 5 {
			t.Errorf("%s has n %d, k %s, %d members", id, n, get(t, r, "k"), members)
		}
	}
	sameState(t, ra, region(t, x.nodes["b"], "maps"))
	if found, err := CounterOf(ra, "n").Delete(t.Context()); !found || err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second)
	x.apart(true)
	if err := x.queue(func(tx *crdt.Tx) error { _, err := tx.Incr("n", 2); return err }); err != nil {
		t.Error(err)
	}
	x.apart(false)
	time.Sleep(time.Minute)
	if n := x.counted("b", "n"); n != 2 {
		t.Errorf("after a removal of what was queued before, 2 more are %d", n)
	}
	if s := x.nodes["c"].QueueStats(); s.Waiting != 0 || s.Bytes != 0 || s.Delivered != s.Queued {
		t.Errorf("%+v", s)
	}
}

// TestQueueIsBounded: what is beyond, too large, or not allowed is refused, and nothing of it is done.
func TestQueueIsBounded(t *testing.T) {
	for _, order := range []Consistency{Eventual, Causal} {
		t.Run(string(order), func(t *testing.T) { bubble.Test(t, func(t *testing.T) { queueIsBounded(t, queueing(t, 1, order)) }) })
	}
}

func queueIsBounded(t *testing.T, x *fleet) {
	x.apart(true)
	add := func(tx *crdt.Tx) error { _, err := tx.Incr("n", 1); return err }
	if err := x.queue(func(tx *crdt.Tx) error { tx.Set("first", nil, false); return nil }); err != nil {
		t.Fatal(err)
	}
	large := func(tx *crdt.Tx) error { tx.Set("large", make([]byte, 100<<10), false); return nil }
	if err := x.queue(large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large value: %v", err)
	}
	failed := errors.New("as the caller says")
	if err := x.queue(func(*crdt.Tx) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	n := int64(0)
	some := func(tx *crdt.Tx) error { tx.Set(fmt.Sprint("v", n), make([]byte, 40<<10), false); return add(tx) }
	var err error
	for ; err == nil; n++ {
		err = x.queue(some)
	}
	if n--; !errors.Is(err, ErrQueueFull) || n < 90 || n > 110 {
		t.Errorf("after %d writes: %v", n, err)
	}
	x.disks["c"].Fill(errors.New("full"))
	if err := x.queue(add); err == nil {
		t.Error("a full disk takes a write")
	}
	x.disks["c"].Fill(nil)
	if err := x.queue(add); err != nil {
		t.Errorf("there is room for a small one: %v", err)
	}
	x.apart(false)
	time.Sleep(time.Minute)
	if got := x.counted("a", "n"); got != n+1 {
		t.Errorf("%d writes were done, %d queued", got, n+1)
	}
	if s := region(t, x.nodes["a"], "maps").status(); s.Gaps || s.Entries != int(n)+2 {
		t.Errorf("%d entries, writes are missing: %v", s.Entries, s.Gaps)
	}
	no := false
	create(t, x.nodes["a"], "maps", RegionConfig{QueueWrites: &no})
	time.Sleep(time.Minute)
	if err := x.queue(add); !errors.Is(err, ErrNotQueued) || !strings.Contains(err.Error(), "--queue-writes") {
		t.Errorf("a region that does not allow it: %v", err)
	}
	if err := region(t, x.nodes["a"], "maps").Queue(t.Context(), add); !errors.Is(err, ErrNotQueued) {
		t.Errorf("a holder: %v", err)
	}
}

// TestQueuedWritesComeHome: a node that takes a copy with writes waiting has them in it, goes on counting, and others have them from it.
func TestQueuedWritesComeHome(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		x := queueing(t, 1, Eventual)
		rc := region(t, x.nodes["c"], "maps")
		for round := range 3 {
			x.apart(true)
			if err := x.queue(func(tx *crdt.Tx) error { _, err := tx.Incr("n", 1); return err }); err != nil {
				t.Fatal(err)
			}
			if round > 0 {
				x.restart("c")
				rc = region(t, x.nodes["c"], "maps")
			}
			x.apart(false)
			if err := rc.TakeCopy(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if _, err := CounterOf(rc, "n").Add(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			for _, id := range []crdt.NodeID{"a", "b", "c"} {
				if n := x.counted(id, "n"); n != int64(11*(round+1)) {
					t.Errorf("round %d: %s counts %d", round, id, n)
				}
			}
			if err := rc.GiveCopy(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
	})
}

// TestQueuedWritesAreDoneOnce: kill -9 of either end at any moment, links that break, holders that come and go: what was queued is done once, what
// was refused is not done.
func TestQueuedWritesAreDoneOnce(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		bubble.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			x := queueing(t, seed, []Consistency{Eventual, Causal}[seed%2])
			queued, maybe := int64(0), int64(0)
			for range 40 {
				switch rng.IntN(8) {
				case 0, 1, 2:
					held := region(t, x.nodes["c"], "maps").Held()
					crash := rng.IntN(8) == 0
					if crash {
						_ = x.disks["c"].Crash()
					}
					switch err := x.queue(func(tx *crdt.Tx) error { _, err := tx.Incr("n", 1); return err }); {
					case err == nil:
						queued++
					case !held && !crash:
						t.Errorf("seed %d: %v", seed, err)
					}
					if crash {
						_ = x.nodes["c"].Close()
						x.start("c")
					}
				case 3:
					x.apart(true)
				case 4:
					x.apart(false)
				case 5:
					x.restart([]crdt.NodeID{"a", "b", "c"}[rng.IntN(3)])
				case 6:
					x.m.Cut("c", []crdt.NodeID{"a", "b"}[rng.IntN(2)])
				case 7:
					r := region(t, x.nodes["c"], "maps")
					if r.Held() {
						_ = r.GiveCopy(t.Context())
					} else if rng.IntN(3) == 0 {
						x.apart(false)
						_ = r.TakeCopy(t.Context())
					}
				}
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			}
			x.apart(false)
			time.Sleep(10 * time.Minute)
			for _, id := range []crdt.NodeID{"a", "b"} {
				if n := x.counted(id, "n"); n < queued || n > queued+maybe {
					t.Errorf("seed %d: %s counts %d, queued were %d", seed, id, n, queued)
				}
			}
			if s := x.nodes["c"].QueueStats(); s.Waiting != 0 {
				t.Errorf("seed %d: %+v", seed, s)
			}
			for id, f := range x.nodes {
				if list := f.Alarms(); len(list) > 0 {
					t.Errorf("seed %d: %s: %+v", seed, id, list)
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

// FuzzQueued: what a member says has waited is read or refused.
func FuzzQueued(f *testing.F) {
	f.Add(appendQueued(nil, []kept{{1, []byte("a")}, {2, []byte("bc")}}))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		pushes, err := decodeQueued(b)
		if err != nil {
			return
		}
		size := 0
		for _, p := range pushes {
			size += len(p)
			_, _, _ = crdt.PushSeen(p)
		}
		if size > len(b) {
			t.Errorf("%d bytes of %d", size, len(b))
		}
	})
}

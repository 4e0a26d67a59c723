package crdt

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// bothWays lets to pull from from, and give back what from lacks; meanwhile, where it is not nil, is called before each turn of
// the sender. It gives the round trips until both have all, and the bytes.
func bothWays(t testing.TB, to, from *Region, max int, meanwhile func()) (rounds, size int, gave bool) {
	t.Helper()
	rc, hello := to.NewReceiver(), to.Hello()
	peer, err := DecodeHello(hello)
	if err != nil {
		t.Fatal(err)
	}
	p := from.NewPull(peer)
	p.BothWays()
	rounds, size = 1, len(hello)
	var back [][]byte
	for {
		if msg := p.Next(max); msg != nil {
			size += len(msg)
			if err := rc.Merge(msg, testNow); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !p.Waiting() {
			break
		}
		reply := rc.TakeReply()
		back = nil // what answered an earlier offer is void
		if x := rc.TakeBack(); x != nil {
			for msg := x.Next(max); msg != nil; msg = x.Next(max) {
				back, size = append(back, msg), size+len(msg)
			}
		}
		rounds++
		size += len(reply)
		if meanwhile != nil {
			meanwhile()
		}
		if err := p.Reply(reply); err != nil {
			t.Fatal(err)
		}
	}
	x := p.Back()
	for _, msg := range back {
		if x == nil {
			t.Fatal("chunks for nobody")
		}
		if err := x.Merge(msg, testNow); err != nil {
			t.Fatal(err)
		}
	}
	return rounds, size, x != nil
}

func TestBothWays(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ n, gone, changed, forget int }{
		{5000, 25, 25, 2}, {5000, 25, 25, 1}, {5000, 1, 0, 2}, {20000, 50, 0, 2},
	} {
		t.Run(fmt.Sprintf("%d-%d-%d-%d", x.n, x.gone, x.changed, x.forget), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(x.gone)))
			a, b := pair(t, x.n, x.gone, x.changed, rng)
			i := 0
			update(t, b, func(tx *Tx) error {
				var keys []string
				tx.KeysWithPrefix("key-", func(key string, _ Kind) bool { keys = append(keys, key); return true })
				rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
				for _, key := range keys[:x.gone+x.changed] {
					if i++; i <= x.gone {
						tx.Del(key)
					} else {
						tx.Set(key, []byte("third"), false)
					}
				}
				return nil
			})
			b.TakePush()
			if x.forget == 2 {
				b.Prune(b.Self(), b.OwnTop())
			}
			rounds, size, gave := bothWays(t, b, a, 64<<10, nil)
			differ := 2 * (x.gone + x.changed)
			t.Logf("%d of %d differ: %d round trips, %d bytes, %.1f each", differ, x.n, rounds, size, float64(size)/float64(differ))
			if rounds > 3 || !gave {
				t.Errorf("%d round trips, gave back: %v", rounds, gave)
			}
			same(t, a, b)
			if most := 40*differ + 1024; size > most {
				t.Errorf("%d bytes, want at most %d", size, most)
			}
		})
	}
}

// TestBothWaysOfOneCell: a cell that the sender's chunks name, since another wrote there too, holds what both have seen and the puller
// removed, and forgot so.
func TestBothWaysOfOneCell(t *testing.T) {
	t.Parallel()
	a, b := pair(t, 300, 10, 10, rand.New(rand.NewPCG(4, 4)))
	c := newTestRegion(3)
	set := func(r *Region, val string) {
		update(t, r, func(tx *Tx) error { tx.Set("n", []byte(val), false); return nil })
	}
	d := newTestRegion(4)
	set(d, "shared")
	reconcile(t, a, d, 1<<20)
	reconcile(t, b, d, 1<<20)
	set(c, "concurrent")
	reconcile(t, a, c, 1<<20)
	update(t, b, func(tx *Tx) error { tx.Del("n"); return nil })
	b.TakePush()
	b.Prune(b.Self(), b.OwnTop())
	if _, _, gave := bothWays(t, b, a, 1<<16, nil); !gave {
		t.Error("nothing was given back")
	}
	same(t, a, b)
	if n := len(a.View(testNow).Siblings("n")); n != 1 {
		t.Errorf("%d siblings, want the one that was written concurrently", n)
	}
}

// TestBothWaysForgettingMeanwhile: the puller removes and forgets after it has compared: nothing may rest on what it found.
func TestBothWaysForgettingMeanwhile(t *testing.T) {
	t.Parallel()
	a, b := pair(t, 5000, 50, 50, rand.New(rand.NewPCG(5, 5)))
	remove := func(prefix string) {
		update(t, b, func(tx *Tx) error {
			var keys []string
			tx.KeysWithPrefix(prefix, func(key string, _ Kind) bool { keys = append(keys, key); return len(keys) < 20 })
			for _, key := range keys {
				tx.Del(key)
			}
			return nil
		})
		b.TakePush()
		b.Prune(b.Self(), b.OwnTop())
	}
	remove("key-0010")
	once := sync.OnceFunc(func() { remove("key-0020") })
	bothWays(t, b, a, 1<<16, once)
	reconcile(t, a, b, 1<<16)
	reconcile(t, b, a, 1<<16)
	same(t, a, b)
}

// TestBothWaysAsTwoPulls compares with two pulls, over entries of several types that both sides and a third wrote and removed, and
// while things go on.
func TestBothWaysAsTwoPulls(t *testing.T) {
	t.Parallel()
	gaveBack := 0
	for seed := range uint64(300) {
		build := func() (rs [3]*Region, rng *rand.Rand) {
			rng = rand.New(rand.NewPCG(seed, 9))
			for i := range rs {
				rs[i] = newTestRegion(i)
				rs[i].cfg.Small = -1
			}
			for range 60 {
				r := rs[rng.IntN(3)]
				backChange(t, r, rng)
				if rng.IntN(4) == 0 {
					reconcile(t, rs[rng.IntN(2)], rs[2], 1<<20)
				}
				if rng.IntN(12) == 0 {
					reconcile(t, rs[0], rs[1], 1<<20)
					reconcile(t, rs[1], rs[0], 1<<20)
				}
				if r = rs[rng.IntN(2)]; rng.IntN(6) == 0 {
					r.TakePush()
					for id, runs := range r.Context() {
						r.Prune(id, runs.Base)
					}
				}
			}
			return rs, rng
		}
		one, rng := build()
		var meanwhile func()
		if seed%2 == 1 {
			meanwhile = func() {
				switch rng.IntN(4) {
				case 0:
					backChange(t, one[0], rng)
				case 1:
					backChange(t, one[1], rng)
				case 2:
					reconcile(t, one[rng.IntN(2)], one[2], 1<<20)
				}
			}
		}
		if _, _, gave := bothWays(t, one[1], one[0], 1<<(4+rng.IntN(12)), meanwhile); gave {
			gaveBack++
		}
		for range 2 {
			reconcile(t, one[1], one[0], 1<<20)
			reconcile(t, one[0], one[1], 1<<20)
		}
		same(t, one[0], one[1])
		if meanwhile == nil {
			two, _ := build()
			for range 2 {
				reconcile(t, two[1], two[0], 1<<20)
				reconcile(t, two[0], two[1], 1<<20)
			}
			same(t, one[0], two[0])
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if gaveBack < 30 {
		t.Errorf("%d of 300 gave back", gaveBack)
	}
}

// backChange makes a change of some kind.
func backChange(t *testing.T, r *Region, rng *rand.Rand) {
	k := fmt.Sprint("k", rng.IntN(12))
	update(t, r, func(tx *Tx) error {
		switch rng.IntN(8) {
		case 0:
			_, _ = tx.Incr("c"+k, int64(rng.IntN(9)))
		case 1:
			_, _ = tx.SetAdd("s"+k, fmt.Sprint("m", rng.IntN(4)))
		case 2:
			_, _ = tx.SetRemove("s"+k, fmt.Sprint("m", rng.IntN(4)))
		case 3:
			tx.Del([]string{"", "c", "s"}[rng.IntN(3)] + k)
		case 4:
			tx.Del(k)
		default:
			tx.Set(k, fmt.Append(nil, rng.IntN(100)), false)
		}
		return nil
	})
}

func TestUnique(t *testing.T) {
	t.Parallel()
	s := newNarrowSketch(1, []uint64{1, 2, 3, 3})
	for _, x := range []struct {
		hashes []uint64
		want   bool
	}{{nil, true}, {[]uint64{1, 2, 9}, true}, {[]uint64{1, 3}, false}} {
		if got := s.unique(x.hashes); got != x.want {
			t.Errorf("%v: %v", x.hashes, got)
		}
	}
}

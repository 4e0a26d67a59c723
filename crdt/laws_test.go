package crdt

import (
	"math/rand/v2"
	"testing"
)

const lawRuns = 300

// mesh makes replicas that share some past and then wrote apart.
func mesh(t *testing.T, rng *rand.Rand, n int) []*Region {
	t.Helper()
	rs := make([]*Region, n)
	for i := range rs {
		rs[i] = newTestRegion(i)
	}
	for range 6 {
		a, b := rs[rng.IntN(n)], rs[rng.IntN(n)]
		scribble(rng, a, 1+rng.IntN(5))
		if a != b && rng.IntN(2) == 0 {
			pullAll(t, b, a, 1+rng.IntN(300))
		}
	}
	return rs
}

// join gives an onlooker that writes nothing and pulls from each in turn.
func join(t *testing.T, rs ...*Region) *Region {
	t.Helper()
	x := newTestRegion(99)
	for _, r := range rs {
		pullAll(t, x, r, 1<<20)
	}
	mustAudit(t, x)
	return x
}

func TestMergeLaws(t *testing.T) {
	t.Parallel()
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 11))
		rs := mesh(t, rng, 3)
		a, b, c := rs[0], rs[1], rs[2]
		want := state(join(t, a, b, c))
		for name, x := range map[string]*Region{
			"commutative": join(t, c, a, b),
			"associative": join(t, join(t, a, b), join(t, b, c)),
			"idempotent":  join(t, a, b, a, c, b, c, a),
		} {
			if got := state(x); got != want {
				t.Fatalf("seed %d: the join is not %s:\n%s\nwant\n%s", seed, name, got, want)
			}
		}
	}
}

// TestDeltaJoinIsStateJoin: what pushes bring is what pulls bring, whatever the order and the folding.
func TestDeltaJoinIsStateJoin(t *testing.T) {
	t.Parallel()
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 12))
		a, b := newTestRegion(1), newTestRegion(2)
		byPush, byPull := newTestRegion(3), newTestRegion(4)
		var msgs [][]byte
		for range 8 {
			w, other := a, b
			if rng.IntN(2) == 0 {
				w, other = b, a
			}
			scribble(rng, w, 1+rng.IntN(6))
			if rng.IntN(2) == 0 {
				out := w.TakePush()
				msgs = append(msgs, out...)
				for _, m := range out {
					if _, err := other.Push(m, testNow); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		msgs = append(append(msgs, a.TakePush()...), b.TakePush()...)
		rng.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
		for range 2 { // twice: what waited too long comes again
			for _, m := range msgs {
				if _, err := byPush.Push(m, testNow); err != nil {
					t.Fatal(err)
				}
			}
		}
		pullAll(t, byPull, a, 1<<20)
		pullAll(t, byPull, b, 1<<20)
		if n, _ := byPush.Waiting(); n > 0 {
			t.Fatalf("seed %d: %d writes wait for ever", seed, n)
		}
		if got, want := state(byPush), state(byPull); got != want {
			t.Fatalf("seed %d: pushes give\n%s\npulls give\n%s", seed, got, want)
		}
		mustAudit(t, byPush, byPull)
	}
}

// TestStepIsTheSameDoor: events through Step leave what the methods leave, and their effects are complete.
func TestStepIsTheSameDoor(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	write := func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil }
	fx, err := a.Step(Write{write}, testNow)
	if err != nil || len(fx.Push) != 1 || len(fx.Commit) != 3 {
		t.Fatalf("%+v %v", fx, err)
	}
	if fx, err = b.Step(Arrived{fx.Push[0]}, testNow); err != nil || fx.Gap || len(fx.Commit) != 3 {
		t.Fatalf("%+v %v", fx, err)
	}
	if _, err = a.Step(Write{write}, testNow); err != nil {
		t.Fatal(err)
	}
	rc := b.NewReceiver()
	fx, err = a.Step(Asked{b.Hello()}, testNow)
	if err != nil || fx.Answer == nil || fx.Behind {
		t.Fatalf("%+v %v", fx, err)
	}
	if _, err = b.Step(Answered{rc, fx.Answer.Next(1 << 16)}, testNow); err != nil || !rc.Done() {
		t.Fatal(err)
	}
	if fx, err = a.Step(Timer{}, testNow); err != nil || fx.More {
		t.Fatalf("%+v %v", fx, err)
	}
	if state(a) != state(b) {
		t.Fatal("unequal")
	}
}

package crdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// causalWorld is a few replicas of a causal region, and what each write came after.
type causalWorld struct {
	t        *testing.T
	rng      *rand.Rand
	replicas []*Region
	flight   []flying
	past     map[Dot]Context
}

type flying struct {
	to  int
	msg []byte
}

func newCausalWorld(t *testing.T, seed uint64, causal bool) *causalWorld {
	w := &causalWorld{t: t, rng: rand.New(rand.NewPCG(seed, 9)), past: map[Dot]Context{}}
	for i := range 4 {
		var r *Region
		r = NewRegion(Config{Name: "t", Self: testOrigin(i), Push: true, Causal: causal, Trace: func(x Written) { w.past[x.Dot] = r.Context() }})
		w.replicas = append(w.replicas, r)
	}
	return w
}

func (w *causalWorld) write() {
	r := w.replicas[w.rng.IntN(len(w.replicas))]
	update(w.t, r, func(tx *Tx) error {
		for range 1 + w.rng.IntN(2) {
			key := fmt.Sprint("k", w.rng.IntN(4))
			switch w.rng.IntN(5) {
			case 0:
				tx.Del(key)
			case 1:
				_, _ = tx.Incr("n", 1)
			default:
				tx.Set(key, []byte{byte(w.rng.IntN(256))}, false)
			}
		}
		return nil
	})
}

func (w *causalWorld) push() {
	i := w.rng.IntN(len(w.replicas))
	for _, msg := range w.replicas[i].TakePush() {
		for j := range w.replicas {
			if j != i && w.rng.IntN(4) > 0 {
				w.flight = append(w.flight, flying{j, msg})
			}
		}
	}
}

func (w *causalWorld) deliver() {
	if n := len(w.flight); n > 0 {
		i := w.rng.IntN(n)
		f := w.flight[i]
		w.flight = append(w.flight[:i], w.flight[i+1:]...)
		if _, err := w.replicas[f.to].Push(f.msg, testNow); err != nil {
			w.t.Fatal(err)
		}
	}
}

// pull is whole: its chunks are made together and merged together.
func (w *causalWorld) pull(i, j int) { pullAll(w.t, w.replicas[i], w.replicas[j], 100) }

// early gives a write that a replica shows before what it comes after.
func (w *causalWorld) early() (d Dot, found bool) {
	for _, r := range w.replicas {
		ctx := r.Context()
		r.EachTip(func(x Tip) {
			if !ctx.Covers(w.past[x.Dot]) {
				d, found = x.Dot, true
			}
		})
	}
	return d, found
}

func (w *causalWorld) run(steps int) (d Dot, early bool) {
	for range steps {
		switch x := w.rng.IntN(100); {
		case x < 35:
			w.write()
		case x < 60:
			w.push()
		case x < 92:
			w.deliver()
		default:
			i := w.rng.IntN(4)
			w.pull(i, (i+1+w.rng.IntN(3))%4)
		}
		if d, early = w.early(); early {
			return d, true
		}
	}
	return d, false
}

func TestCausalShowsNothingEarly(t *testing.T) {
	t.Parallel()
	applied, waited := uint64(0), uint64(0)
	for seed := range uint64(300) {
		w := newCausalWorld(t, seed, true)
		if d, early := w.run(120); early {
			t.Fatalf("seed %d: %v shows before what it comes after", seed, d)
		}
		for _, r := range w.replicas {
			applied, waited = applied+r.Stats().PushApplied, waited+r.Stats().PushWaiting
		}
		for range 3 {
			for i := range w.replicas {
				for j := range w.replicas {
					if i != j {
						w.pull(i, j)
					}
				}
			}
		}
		for _, r := range w.replicas[1:] {
			same(t, w.replicas[0], r)
		}
	}
	if applied < 10_000 || waited < 1000 {
		t.Errorf("%d pushed writes applied, %d kept back: too few to say anything", applied, waited)
	}
}

// TestEventualShowsEarly: the check above sees what a region that is not causal does.
func TestEventualShowsEarly(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		if _, early := newCausalWorld(t, seed, false).run(120); early {
			return
		}
	}
	t.Error("no write showed before what it comes after: the check is blind")
}

func TestCausalLoading(t *testing.T) {
	t.Parallel()
	a, b, c := newTestRegion(1), newTestRegion(2), newTestRegion(3)
	for _, r := range []*Region{a, b, c} {
		r.SetCausal(true)
	}
	update(t, a, func(tx *Tx) error {
		for i := range 20 {
			tx.Set(fmt.Sprint("k", i), make([]byte, 100), false)
		}
		return nil
	})
	rc := b.NewReceiver()
	peer, _ := DecodeHello(b.Hello())
	p := a.NewPull(peer)
	for n := 0; !p.Done(); n++ {
		if err := rc.Merge(p.Next(300), testNow); err != nil {
			t.Fatal(err)
		}
		if b.Loading() == p.Done() {
			t.Fatalf("after chunk %d: loading %v", n, b.Loading())
		}
		if b.Loading() && pullAll(t, c, b, 1<<20) > 0 {
			t.Fatal("a region that is loading was pulled from")
		}
	}
	if pullAll(t, c, b, 1<<20) == 0 {
		t.Error("nothing to pull")
	}
}

package crdt

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// fuzzRegions are a populated replica, one with another past, and one in the middle of a pull.
func fuzzRegions(t testing.TB) (a, b, c *Region) {
	t.Helper()
	rng := rand.New(rand.NewPCG(16, 16))
	a, b, c = newTestRegion(1), newTestRegion(2), newTestRegion(3)
	for range 6 {
		scribble(rng, a, 4)
		scribble(rng, b, 4)
		pullAll(t, b, a, 100)
	}
	rc := c.NewReceiver()
	peer, err := DecodeHello(c.Hello())
	if err != nil {
		t.Fatal(err)
	}
	if err := rc.Merge(b.NewPull(peer).Next(60), testNow); err != nil {
		t.Fatal(err)
	}
	b.Prune(a.Self(), 10)
	return a, b, c
}

func wantTold(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrRolledBack) {
		t.Fatalf("an error of no known kind: %v", err)
	}
}

func FuzzPush(f *testing.F) {
	a, b, _ := fuzzRegions(f)
	for _, msg := range append(a.TakePush(), b.TakePush()...) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		_, _ = PushRegion(msg)
		_, r, c := fuzzRegions(t)
		causal := newTestRegion(8)
		causal.SetCausal(true)
		for _, x := range []*Region{r, c, causal} {
			before := state(x)
			_, err := x.Push(msg, testNow)
			wantTold(t, err)
			if err != nil && state(x) != before {
				t.Fatal("refused, and changed something")
			}
			if err == nil && !forged(x) {
				mustAudit(t, x)
			}
			exercise(x, newTestRegion(9))
		}
	})
}

// forged reports whether the fuzzer made a dot that lives in two places, which no right origin does: two writes
// of one name are a fork, which the core does not heal.
func forged(r *Region) bool {
	seen := map[Dot]bool{}
	twice := false
	r.EachTip(func(t Tip) {
		twice = twice || seen[t.Dot]
		seen[t.Dot] = true
	})
	return twice
}

func FuzzHello(f *testing.F) {
	a, b, c := fuzzRegions(f)
	for _, r := range []*Region{a, b, c} {
		f.Add(r.Hello())
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		seen, err := DecodeHello(msg)
		wantTold(t, err)
		if err != nil {
			return
		}
		for _, r := range []*Region{b, c} {
			p := r.NewPull(seen)
			for range 100 {
				if p.Next(50) == nil {
					break
				}
			}
			r.Covers(seen.Context)
			r.MissingFrom(seen.Context)
		}
	})
}

func FuzzChunk(f *testing.F) {
	a, b, c := fuzzRegions(f)
	for _, r := range []*Region{a, b, c} {
		for _, to := range []*Region{newTestRegion(8), c, a} {
			peer, err := DecodeHello(to.Hello())
			if err != nil {
				f.Fatal(err)
			}
			p := r.NewPull(peer)
			for msg := p.Next(80); msg != nil; msg = p.Next(80) {
				f.Add(msg)
			}
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		_, r, c := fuzzRegions(t)
		for _, x := range []*Region{r, c, newTestRegion(8)} {
			before := state(x)
			err := x.NewReceiver().Merge(msg, testNow)
			wantTold(t, err)
			if err != nil && state(x) != before {
				t.Fatal("refused, and changed something")
			}
			if err == nil && !forged(x) {
				mustAudit(t, x)
			}
			exercise(x, newTestRegion(9))
		}
	})
}

// FuzzReconcile sends one side's messages of a reconciliation and of a scrub, in any order, to sessions of every kind.
func FuzzReconcile(f *testing.F) {
	for _, m := range goldenRecon(f) {
		f.Add(m.msg, m.msg)
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, b := NewRegion(Config{Name: "golden", Self: testOrigin(1), Small: -1}), NewRegion(Config{Name: "golden", Self: testOrigin(2)})
		update(t, a, func(tx *Tx) error { tx.Set("stays", nil, false); tx.Set("goes", nil, false); return nil })
		pullAll(t, b, a, 1<<20)
		update(t, a, func(tx *Tx) error { tx.Del("goes"); return nil })
		a.Prune(a.Self(), a.OwnTop())
		rc, p, s, x := b.NewReceiver(), a.NewPull(hello(t, b)), a.NewScrub(), b.NewScrubber()
		p.Next(100)
		s.Next()
		q := a.NewPull(hello(t, b))
		q.BothWays()
		q.Next(100)
		for _, msg := range [][]byte{one, two} {
			wantTold(t, rc.Merge(msg, testNow))
			wantTold(t, p.Reply(msg))
			p.Next(100)
			wantTold(t, q.Reply(msg))
			q.Next(100)
			if back := q.Back(); back != nil {
				wantTold(t, back.Merge(two, testNow))
			}
			wantTold(t, s.Reply(msg, testNow))
			if err := x.Merge(msg, testNow); !errors.Is(err, ErrTooDifferent) {
				wantTold(t, err)
			}
			s.Next()
		}
		for _, r := range []*Region{a, b} {
			if !forged(r) {
				mustAudit(t, r)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	_, b, c := fuzzRegions(f)
	for _, rec := range append(b.TakeDirty(), c.TakeDirty()...) {
		f.Add(rec.Key, rec.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r := newTestRegion(4)
		if err := r.Load(Record{key, value}); err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("neither ErrDamaged nor ErrVersion: %v", err)
			}
			return
		}
		_, _ = RecordRegion(key)
		_, _, _ = RecordName(Record{key, value})
		r.Loaded(testNow)
		exercise(r, newTestRegion(9))
	})
}

func FuzzContribution(f *testing.F) {
	f.Add(contribution{total: num{small: 7}, baseSeq: 3, base: num{small: 2}}.encode())
	f.Add(reset{origin: testOrigin(1), seq: 9, baseSeq: 2, total: num{small: 5, scale: 1}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, x := decodeContribution(b), decodeReset(b)
		if k2 := decodeContribution(k.encode()); k2.total.String() != k.total.String() || k2.baseSeq != k.baseSeq || k2.base.String() != k.base.String() {
			t.Fatalf("%+v reads back as %+v", k, k2)
		}
		if x2 := decodeReset(x.encode()); x2.origin != x.origin || x2.seq != x.seq || x2.baseSeq != x.baseSeq || x2.total.String() != x.total.String() {
			t.Fatalf("%+v reads back as %+v", x, x2)
		}
	})
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "-1.50", "1e3", "+.5", "0.000000000000000015", "9223372036854775808", strings.Repeat("9", maxDigits)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseNum(s)
		if err != nil {
			if !errors.Is(err, ErrNotNumber) && !errors.Is(err, ErrOverflow) {
				t.Fatal(err)
			}
			return
		}
		m, err := parseNum(n.String())
		if err != nil || m.String() != n.String() {
			t.Fatalf("%q is %s, which reads back as %s, %v", s, n, m, err)
		}
		if i, ok := parseInt([]byte(s)); ok && (!n.isInt64() || n.small != i) {
			t.Fatalf("%q is %d and %s", s, i, n)
		}
	})
}

package crdt

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// boundedAt reads the counter "b".
func boundedAt(t testing.TB, r *Region) Bounded {
	t.Helper()
	b, ok, err := r.View(testNow).Bounded("b")
	if !ok || err != nil {
		t.Fatalf("%v %v", ok, err)
	}
	return b
}

func newBounded(t testing.TB, r *Region, initial, limit int64, ceiling bool) {
	t.Helper()
	update(t, r, func(tx *Tx) error { return tx.BoundedNew("b", initial, limit, ceiling) })
}

// addTo gives the error of an addition.
func addTo(r *Region, delta int64) error {
	return r.Update(testNow, func(tx *Tx) error { _, err := tx.BoundedAdd("b", delta); return err })
}

func TestBoundedLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		initial, limit int64
		ceiling        bool
		deltas         []int64
		refused        []int // of the deltas
		want           Bounded
	}{
		{10, 0, false, []int64{-4, -7, 3, -9, -1}, []int{1, 4}, Bounded{Value: 0, Limit: 0}},
		{-3, -5, false, []int64{-2, -1, 5, -5}, []int{1}, Bounded{Value: -5, Limit: -5}},
		{0, 7, true, []int64{5, 3, -1, 3, 1}, []int{1, 4}, Bounded{Value: 7, Limit: 7, Ceiling: true}},
		{0, 7, true, []int64{-10, 17, 1}, []int{2}, Bounded{Value: 7, Limit: 7, Ceiling: true}},
		{5, 5, false, []int64{0, -1, 2}, []int{1}, Bounded{Value: 7, Limit: 5, Here: 2}},
		{math.MinInt32, -MaxBounded, false, []int64{-MaxBounded, math.MinInt64, MaxBounded}, []int{0, 1, 2}, Bounded{Value: math.MinInt32, Limit: -MaxBounded, Here: MaxBounded + math.MinInt32}},
	} {
		r := newTestRegion(1)
		newBounded(t, r, c.initial, c.limit, c.ceiling)
		for i, d := range c.deltas {
			if err := addTo(r, d); (err != nil) != slices.Contains(c.refused, i) {
				t.Errorf("%+v: %d gives %v", c, d, err)
			}
		}
		if b := boundedAt(t, r); b != c.want {
			t.Errorf("%+v: shows %+v", c, b)
		}
		mustAudit(t, r)
	}
}

func TestBoundedRefuses(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	begin := func(initial, limit int64, ceiling bool) error {
		return r.Update(testNow, func(tx *Tx) error { return tx.BoundedNew("b", initial, limit, ceiling) })
	}
	for _, c := range []struct {
		err, want error
	}{
		{addTo(r, 1), ErrNoBounded},
		{begin(1, 2, false), ErrBeyondLimit},
		{begin(2, 1, true), ErrBeyondLimit},
		{begin(MaxBounded, -1, false), ErrOverflow},
		{begin(math.MaxInt64, 0, false), ErrOverflow},
		{begin(1, 0, false), nil},
		{begin(1, 0, false), ErrBoundedExists},
		{r.Update(testNow, func(tx *Tx) error { _, err := tx.Incr("b", 1); return err }), ErrWrongType},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%v, want %v", c.err, c.want)
		}
	}
	err := addTo(r, -2)
	var short *RightsError
	if !errors.As(err, &short) || !errors.Is(err, ErrNoRights) || *short != (RightsError{Want: 2, Here: 1, All: 1}) {
		t.Errorf("%v", err)
	}
	update(t, r, func(tx *Tx) error { tx.Set("s", []byte("v"), false); return nil })
	if err := r.Update(testNow, func(tx *Tx) error { return tx.BoundedNew("s", 1, 0, false) }); !errors.Is(err, ErrWrongType) {
		t.Errorf("over a string: %v", err)
	}
}

// TestBoundedTransfers: rights move by gift and by request, and are spent once.
func TestBoundedTransfers(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	newBounded(t, a, 10, 0, false)
	pushTo(t, a, b)
	if err := addTo(b, -1); !errors.Is(err, ErrNoRights) {
		t.Fatalf("without rights: %v", err)
	}
	update(t, b, func(tx *Tx) error { return tx.BoundedAsk("b", a.Self(), 3) })
	pushTo(t, b, a)
	if keys := a.TakeAsked(); !slices.Equal(keys, []string{"b"}) {
		t.Fatalf("asked for %q", keys)
	}
	answer := func(r *Region, want int64) {
		t.Helper()
		update(t, r, func(tx *Tx) error {
			if n, err := tx.BoundedAnswer("b"); n != want || err != nil {
				t.Errorf("answers %d %v, want %d", n, err, want)
			}
			return nil
		})
	}
	answer(a, 3)
	answer(a, 0) // the same request
	update(t, b, func(tx *Tx) error { return tx.BoundedAsk("b", a.Self(), 100) })
	pushTo(t, b, a)
	pushTo(t, a, b)
	answer(a, 4) // half of 7
	if boundedAt(t, a).Here != 3 || boundedAt(t, b).Here != 3 {
		t.Errorf("%+v %+v", boundedAt(t, a), boundedAt(t, b))
	}
	pushTo(t, a, b)
	if err := addTo(b, -7); err != nil {
		t.Fatal(err)
	}
	if err := addTo(b, -1); !errors.Is(err, ErrNoRights) {
		t.Fatalf("a right is spent twice: %v", err)
	}
	pushTo(t, b, a)
	if got := boundedAt(t, a); got != (Bounded{Value: 3, Here: 3}) {
		t.Errorf("%+v", got)
	}
	if all, _ := a.View(testNow).BoundedRights("b"); !slices.Equal(all, []BoundedRights{{a.Self(), 3}}) {
		t.Errorf("%+v", all)
	}
	held := map[string]int64{}
	a.BoundedHeld(func(key string, n int64) { held[key] = n })
	if fmt.Sprint(held) != "map[b:3]" {
		t.Error(held)
	}
	mustAudit(t, a, b)
}

// TestBoundedDelete: a removal ends the generation, whatever others do to it meanwhile, and what they did goes by itself.
func TestBoundedDelete(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	newBounded(t, a, 10, 0, false)
	update(t, a, func(tx *Tx) error { _, err := tx.BoundedGive("b", b.Self(), 6); return err })
	pushTo(t, a, b)
	if err := addTo(b, -6); err != nil {
		t.Fatal(err)
	}
	update(t, a, func(tx *Tx) error { tx.Del("b"); return nil })
	update(t, a, func(tx *Tx) error { return tx.BoundedNew("b", 2, 0, false) })
	pullAll(t, a, b, 1<<20)
	pullAll(t, b, a, 1<<20)
	for _, r := range []*Region{a, b} {
		if got := boundedAt(t, r); got.Value != 2 {
			t.Errorf("%+v", got)
		}
	}
	update(t, a, func(tx *Tx) error { tx.Del("b"); return nil })
	if err := addTo(b, 1); err != nil {
		t.Fatal(err)
	}
	pullAll(t, b, a, 1<<20)
	pullAll(t, a, b, 1<<20)
	for _, r := range []*Region{a, b} {
		if r.View(testNow).Kind("b") != KindNone || r.Siblings() != 0 || r.Bounds() != 0 {
			t.Errorf("%d siblings are left", r.Siblings())
		}
	}
	mustAudit(t, a, b)
}

// TestBoundedRenew: the rights of an incarnation that ended are there again, by a new generation.
func TestBoundedRenew(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	newBounded(t, a, 10, 0, false)
	if err := addTo(a, -3); err != nil {
		t.Fatal(err)
	}
	pullAll(t, b, a, 1<<20)
	if got := boundedAt(t, b); got != (Bounded{Value: 7}) {
		t.Errorf("%+v", got)
	}
	update(t, b, func(tx *Tx) error { _, err := tx.BoundedRenew("b"); return err })
	if got := boundedAt(t, b); got != (Bounded{Value: 7, Here: 7}) {
		t.Errorf("%+v", got)
	}
	if err := addTo(a, -7); err != nil { // it has not seen it
		t.Fatal(err)
	}
	pullAll(t, a, b, 1<<20)
	if got := boundedAt(t, a); got != (Bounded{Value: 7}) {
		t.Errorf("%+v", got)
	}
	mustAudit(t, a, b)
}

// TestBoundedTwoLives: a process that was put back spends rights again which its other life spent; no value passes the limit.
func TestBoundedTwoLives(t *testing.T) {
	t.Parallel()
	a, twin, b := newTestRegion(1), newTestRegion(1), newTestRegion(2)
	newBounded(t, a, 10, 0, false)
	for _, rec := range a.TakeDirty() {
		if err := twin.Load(rec); err != nil {
			t.Fatal(err)
		}
	}
	twin.Loaded(testNow)
	pullAll(t, b, a, 1<<20)
	_, _ = addTo(a, -8), addTo(twin, 1)
	update(t, twin, func(tx *Tx) error { _, err := tx.BoundedGive("b", b.Self(), 11); return err })
	pullAll(t, b, twin, 1<<20)
	if err := addTo(b, -11); err != nil {
		t.Fatal(err)
	}
	twin.Reincarnate(testOrigin(3), 1, testNow)
	for range 2 {
		for _, x := range []*Region{a, b, twin} {
			for _, y := range []*Region{a, b, twin} {
				if x != y && x.CheckHello(must(DecodeHello(y.Hello()))) == nil {
					pullAll(t, x, y, 1<<20)
				}
			}
		}
	}
	for i, r := range []*Region{a, b, twin} {
		if got, ok, err := r.View(testNow).Bounded("b"); ok && got.Value < 0 || err != nil {
			t.Errorf("%d shows %+v %v", i, got, err)
		}
	}
}

// TestBoundedAfterReplica: who gave up a replica and took another does not spend the rights of a row that it may know of old.
func TestBoundedAfterReplica(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	newBounded(t, a, 10, 0, false)
	pullAll(t, b, a, 1<<20)
	if err := addTo(a, -10); err != nil { // nobody hears of it
		t.Fatal(err)
	}
	again := newTestRegion(1)
	again.Wrote(a.OwnTop())
	pullAll(t, again, b, 1<<20)
	if err := addTo(again, -1); !errors.Is(err, ErrNoRights) {
		t.Errorf("rights are spent again: %v", err)
	}
	if err := addTo(again, 5); !errors.Is(err, ErrNoRights) {
		t.Errorf("its row is written anew: %v", err)
	}
	if got := boundedAt(t, again); got != (Bounded{Value: 10}) {
		t.Errorf("%+v", got)
	}
	update(t, again, func(tx *Tx) error { tx.Del("b"); return tx.BoundedNew("b", 3, 0, false) })
	if err := addTo(again, -3); err != nil {
		t.Error(err)
	}
	again.EachTip(func(x Tip) {
		if x.Kind == CellBound && x.Tag == TagReg {
			if h, ok := decodeBoundHead(x.Value); !ok || h.gen != x.Dot {
				t.Errorf("%v begins %v", x.Dot, h.gen)
			}
		}
	})
	mustAudit(t, again)
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// TestBoundedOracle plays random replicas beside one pot of rights that nobody takes more out of than is in it.
func TestBoundedOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 77))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		pot := int64(20)
		newBounded(t, rs[0], pot, 0, false)
		for range 60 {
			r, peer := rs[rng.IntN(3)], rs[rng.IntN(3)]
			switch rng.IntN(8) {
			case 0, 1, 2:
				delta := rng.Int64N(9) - 6
				if addTo(r, delta) == nil {
					pot += delta
				}
			case 3:
				_ = r.Update(testNow, func(tx *Tx) error { _, err := tx.BoundedGive("b", peer.Self(), rng.Int64N(5)); return err })
			case 4:
				_ = r.Update(testNow, func(tx *Tx) error { return tx.BoundedAsk("b", peer.Self(), rng.Int64N(9)) })
			case 5:
				_ = r.Update(testNow, func(tx *Tx) error { _, err := tx.BoundedAnswer("b"); return err })
			default:
				if r != peer {
					pullAll(t, r, peer, 1<<20)
				}
			}
			if pot < 0 {
				t.Fatalf("seed %d: the limit is passed", seed)
			}
		}
		for range 2 {
			for i := range 3 {
				pullAll(t, rs[i], rs[(i+1)%3], 1<<20)
				pullAll(t, rs[i], rs[(i+2)%3], 1<<20)
			}
		}
		here := int64(0)
		for _, r := range rs {
			b := boundedAt(t, r)
			if here += b.Here; b.Value != pot {
				t.Fatalf("seed %d: shows %d, want %d", seed, b.Value, pot)
			}
		}
		if here != pot {
			t.Fatalf("seed %d: %d rights for %d", seed, here, pot)
		}
		mustAudit(t, rs...)
	}
}

func TestWide(t *testing.T) {
	t.Parallel()
	var w wide
	for range 5 {
		w.add(math.MaxInt64)
	}
	if w.int64() != math.MaxInt64 {
		t.Error(w)
	}
	for range 10 {
		w.add(-math.MaxInt64)
	}
	if w.int64() != math.MinInt64 {
		t.Error(w)
	}
	for range 5 {
		w.add(math.MaxInt64)
	}
	if w.int64() != 0 {
		t.Error(w)
	}
}

// FuzzBounded: any bytes as heads and rows give a counter that can be read and written.
func FuzzBounded(f *testing.F) {
	h := boundHead{gen: Dot{testOrigin(1), 1}, initial: 9, limit: 1}
	w := boundRow{owner: testOrigin(2), gen: h.gen, earned: 3, spent: 1, given: []boundTransfer{{testOrigin(1), 1, 2}},
		got: []boundTransfer{{testOrigin(1), 2, 0}}, want: boundTransfer{testOrigin(1), 7, 1}}
	f.Add(h.encode(), w.encode())
	f.Add(h.encode(), []byte{})
	f.Add(h.encode(), (&boundRow{owner: testOrigin(2), gen: h.gen, spent: 100}).encode())
	f.Fuzz(func(t *testing.T, head, row []byte) {
		if x, ok := decodeBoundHead(head); ok && string(x.encode()) != string(head) {
			if y, again := decodeBoundHead(x.encode()); !again || y != x {
				t.Fatalf("%+v reads back as %+v", x, y)
			}
		}
		if x, ok := decodeBoundRow(row); ok {
			if y, again := decodeBoundRow(x.encode()); !again || fmt.Sprint(x) != fmt.Sprint(y) {
				t.Fatalf("%+v reads back as %+v", x, y)
			}
		}
		r := newTestRegion(2)
		update(t, r, func(tx *Tx) error {
			c := r.upsert("b", CellBound, "")
			tx.write(c, TagReg, head, nil)
			tx.write(r.upsert("b", CellBound, ""), TagRow, row, func(*sibling) bool { return false })
			return nil
		})
		for range 2 {
			_ = addTo(r, -1)
			_ = addTo(r, 1)
			_ = r.Update(testNow, func(tx *Tx) error {
				_, err := tx.BoundedAnswer("b")
				_, err2 := tx.BoundedGive("b", testOrigin(1), 5)
				return errors.Join(err, err2, tx.BoundedAsk("b", testOrigin(1), 5))
			})
			b, ok, err := r.View(testNow).Bounded("b")
			if ok && b.Left() < 0 || err != nil {
				t.Fatalf("shows %+v %v", b, err)
			}
			_, _ = r.View(testNow).BoundedRights("b")
		}
		mustAudit(t, r)
	})
}

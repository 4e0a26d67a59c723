package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// rust is what a disk says of a record that is damaged.
type rust struct{}

func (rust) Error() string      { return "rust" }
func (rust) DamagedKey() []byte { return nil }

// testDisk is a durable image that counts what is read of it.
type testDisk struct {
	recs  map[string][]byte
	reads int
	bad   error
}

func (d *testDisk) Value(key []byte) ([]byte, error) {
	d.reads++
	return d.recs[string(key)], d.bad
}

// commit takes what changed in the region.
func (d *testDisk) commit(r *Region) {
	for _, rec := range r.TakeDirty() {
		if d.recs[string(rec.Key)] = rec.Value; rec.Value == nil {
			delete(d.recs, string(rec.Key))
		}
	}
}

func (d *testDisk) open(t testing.TB, i int, away bool) *Region {
	t.Helper()
	r := NewRegion(Config{Name: "t", Self: testOrigin(i), Push: true, Memory: &slabs{poison: true}, Values: d, MinAway: 8})
	r.LoadAway(away)
	for _, k := range slices.Sorted(maps.Keys(d.recs)) {
		if err := r.Load(Record{[]byte(k), d.recs[k]}); err != nil {
			t.Fatal(err)
		}
	}
	r.Loaded(testNow)
	return r
}

func newDisk() *testDisk { return &testDisk{recs: map[string][]byte{}} }

// evictAll commits, and sends away all that may leave.
func (d *testDisk) evictAll(t testing.TB, r *Region) (n int) {
	t.Helper()
	d.commit(r)
	var ids []uint64
	r.EachEvictable(0, 1<<30, func(id uint64, _ int) { ids = append(ids, id) })
	for _, id := range ids {
		if r.Evict(id) > 0 {
			n++
		}
	}
	mustAudit(t, r)
	d.reads = 0
	return n
}

func long(s string) []byte { return []byte(strings.Repeat(s+"-", 40)) }

func TestAwayValuesAreReadBack(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r, other := d.open(t, 1, false), newTestRegion(2)
	update(t, r, func(tx *Tx) error {
		tx.Set("k", long("v"), false)
		tx.Set("n", []byte("12345678"), false)
		tx.Set("short", []byte("s"), false)
		_, _ = tx.MapSet("m", "f", long("f"))
		_, _ = tx.MapSet("m", "g", long("g"))
		return nil
	})
	before := state(r)
	if n := d.evictAll(t, r); n != 4 {
		t.Fatalf("%d cells left, want 4", n)
	}
	if n, bytes := r.AwayValues(); n != 4 || bytes != int64(3*len(long("v"))+8) {
		t.Errorf("%d values of %d bytes are away", n, bytes)
	}
	if state(r) != before {
		t.Error("the region shows something else with its values away")
	}
	v := r.View(testNow)
	if b, ok, err := v.Get("k"); !ok || err != nil || !bytes.Equal(b, long("v")) {
		t.Errorf("k is %q %v %v", b, ok, err)
	}
	if s := v.MapSiblings("m", "f"); len(s) != 1 || !bytes.Equal(s[0].Value, long("f")) {
		t.Errorf("siblings of m/f: %+v", s)
	}
	update(t, r, func(tx *Tx) error {
		if n, err := tx.Incr("n", 1); n != 12345679 || err != nil {
			t.Errorf("INCR of a register that is away: %d, %v", n, err)
		}
		return nil
	})
	if pullAll(t, other, r, 100); state(other) != state(r) {
		t.Error("a pull of values that are away brings something else")
	}
	if n, _ := r.AwayValues(); n != 4 {
		t.Errorf("reads leave %d values away, want 4", n)
	}
	mustAudit(t, r, other)
}

// TestCoveringReadsNothing: overwrites, removes, digests and pushes need no value.
func TestCoveringReadsNothing(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r, other := d.open(t, 1, false), newTestRegion(2)
	write := func(round int) {
		update(t, r, func(tx *Tx) error {
			for i := range 20 {
				tx.Set(fmt.Sprint("k", i), long(fmt.Sprint(round)), false)
				_, _ = tx.MapSet("m", fmt.Sprint("f", i), long(fmt.Sprint(round)))
			}
			return nil
		})
	}
	write(0)
	pushTo(t, r, other)
	d.evictAll(t, r)
	write(1)
	update(t, r, func(tx *Tx) error {
		for i := range 10 {
			tx.Del(fmt.Sprint("k", i))
			_, _ = tx.MapDel("m", fmt.Sprint("f", i))
		}
		return nil
	})
	update(t, other, func(tx *Tx) error { tx.Set("k19", long("other"), false); return nil })
	pushTo(t, r, other)
	pushTo(t, other, r)
	check := r.NewCheck()
	if _, err := check.Step(1 << 20); err != nil {
		t.Error(err)
	}
	d.commit(r)
	if d.reads != 0 {
		t.Errorf("%d reads of the disk", d.reads)
	}
	if state(r) != state(other) {
		t.Error("the replicas differ")
	}
	mustAudit(t, r, other)
}

func TestLazyViewsNote(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r := d.open(t, 1, false)
	update(t, r, func(tx *Tx) error {
		tx.Set("k", long("v"), false)
		_, _ = tx.MapSet("m", "f", long("f"))
		return nil
	})
	d.evictAll(t, r)
	v := r.View(testNow)
	v.Lazy(true)
	if _, _, err := v.Get("k"); !errors.Is(err, ErrAway) {
		t.Errorf("GET: %v", err)
	}
	if _, _, err := v.MapGet("m", "f"); !errors.Is(err, ErrAway) {
		t.Errorf("HGET: %v", err)
	}
	missing := v.Missing()
	if len(missing) != 2 || d.reads != 0 || v.Err() != nil {
		t.Fatalf("%d are missing, %d reads, %v", len(missing), d.reads, v.Err())
	}
	for _, m := range missing {
		rec, _ := d.Value(m.Key)
		if n := r.Return(m.Key, rec); n != 1 {
			t.Errorf("%d values came back", n)
		}
	}
	if n, _ := r.AwayValues(); n != 0 || r.Dirty() {
		t.Errorf("%d values are away, dirty: %v", n, r.Dirty())
	}
	if b, ok, err := v.Get("k"); !ok || err != nil || !bytes.Equal(b, long("v")) {
		t.Errorf("k is %q %v %v", b, ok, err)
	}
	update(t, r, func(tx *Tx) error { tx.Set("k", long("w"), false); return nil })
	rec, _ := d.Value(missing[0].Key)
	if r.Return(missing[0].Key, rec) != 0 {
		t.Error("an older record puts its value back over a newer one")
	}
	mustAudit(t, r)
}

// TestUnreadableValues: they are errors that name the key, not absent; what covers them works, and a commit goes on.
func TestUnreadableValues(t *testing.T) {
	t.Parallel()
	for _, damage := range []struct {
		name string
		do   func(d *testDisk)
	}{
		{"error", func(d *testDisk) { d.bad = rust{} }},
		{"gone", func(d *testDisk) { d.recs = map[string][]byte{} }},
		{"other", func(d *testDisk) {
			for k, v := range d.recs {
				d.recs[k] = bytes.Replace(v, []byte("v-v"), []byte("v-w"), 1)
			}
		}},
		{"cut", func(d *testDisk) {
			for k, v := range d.recs {
				d.recs[k] = v[:len(v)/2]
			}
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			d := newDisk()
			r := d.open(t, 1, false)
			update(t, r, func(tx *Tx) error {
				tx.Set("k", long("v"), false)
				tx.Set("gone", long("v"), false)
				_, _ = tx.MapSet("m", "f", long("v"))
				return nil
			})
			d.evictAll(t, r)
			damage.do(d)
			v := r.View(testNow)
			_, _, err := v.Get("k")
			var which *UnreadableError
			if !errors.As(err, &which) || !errors.Is(err, ErrUnreadable) || which.Key != "k" || which.Region != "t" || !errors.Is(v.Err(), ErrUnreadable) {
				t.Errorf("GET: %v; the view: %v", err, v.Err())
			}
			if v := r.View(testNow); v.Siblings("k") != nil || v.Err() == nil {
				t.Error("siblings of what cannot be read")
			}
			if err := r.View(testNow).MapEach("m", func(string, []byte) bool { return true }); !errors.As(err, &which) || which.Sub != "f" {
				t.Errorf("HGETALL: %v", err)
			}
			if _, err := r.View(testNow).MapScan("m", 0, 9, func(string, []byte) {}); !errors.Is(err, ErrUnreadable) {
				t.Errorf("HSCAN: %v", err)
			}
			if err := r.Update(testNow, func(tx *Tx) error { _, _, _ = tx.Get("k"); return nil }); !errors.Is(err, ErrUnreadable) {
				t.Errorf("an update that ignored it: %v", err)
			}
			if err := r.Update(testNow, func(tx *Tx) error { _, err := tx.Incr("k", 1); return err }); !errors.Is(err, ErrUnreadable) {
				t.Errorf("INCR: %v", err)
			}
			update(t, r, func(tx *Tx) error { tx.Set("k", long("new"), false); tx.Del("gone"); return nil })
			mustAudit(t, r)
			if b, _, err := r.View(testNow).Get("k"); err != nil || !bytes.Equal(b, long("new")) {
				t.Errorf("after an overwrite: %q, %v", b, err)
			}
		})
	}
}

// TestAPullLeavesOutWhatCannotBeRead: all else arrives, and what is left out is not taken for seen.
func TestAPullLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 300, 1 << 20} {
		d := newDisk()
		r, other := d.open(t, 1, false), newTestRegion(2)
		update(t, r, func(tx *Tx) error {
			for i := range 50 {
				tx.Set(fmt.Sprint("k", i), long(fmt.Sprint(i)), false)
			}
			return nil
		})
		d.evictAll(t, r)
		for _, k := range []string{"k7", "k23"} {
			delete(d.recs, string(r.cellKey([]byte(k), CellValue, nil)))
		}
		peer, _ := DecodeHello(other.Hello())
		p, rc := r.NewPull(peer), other.NewReceiver()
		for msg := p.Next(size); msg != nil; msg = p.Next(size) {
			if err := rc.Merge(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
		if other.Entries() != 48 || rc.Done() || !errors.Is(p.Err(), ErrUnreadable) || !p.Done() {
			t.Fatalf("chunks of %d: %d entries of 48, done: %v, %v", size, other.Entries(), rc.Done(), p.Err())
		}
		mustAudit(t, other)
		update(t, r, func(tx *Tx) error { tx.Set("k7", []byte("again"), false); tx.Del("k23"); return nil })
		if pullAll(t, other, r, size); state(other) != state(r) {
			t.Errorf("chunks of %d: unequal when all can be read", size)
		}
		mustAudit(t, r, other)
	}
}

// TestLostValues: where a value that cannot be read stands beside a new one the record says so, and a peer that has it
// writes it again.
func TestLostValues(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r, other := d.open(t, 1, false), newTestRegion(2)
	update(t, r, func(tx *Tx) error { tx.Set("k", long("lost"), false); tx.Set("x", long("kept"), false); return nil })
	pullAll(t, other, r, 1<<20)
	d.evictAll(t, r)
	apart := newTestRegion(3)
	update(t, apart, func(tx *Tx) error { tx.Set("k", long("beside"), false); return nil })
	pullAll(t, r, apart, 1<<20)
	pullAll(t, other, apart, 1<<20)
	delete(d.recs, string(r.cellKey([]byte("k"), CellValue, nil)))
	d.commit(r)
	if r.LostValues() != 1 || r.Dirty() {
		t.Fatalf("%d values are lost, dirty: %v", r.LostValues(), r.Dirty())
	}
	mustAudit(t, r)
	r = d.open(t, 1, false)
	mustAudit(t, r)
	if n, _ := r.AwayValues(); n != 1 || r.LostValues() != 1 || r.Digest() != other.Digest() {
		t.Fatalf("read back: %d values are away, %d lost, digests %x and %x", n, r.LostValues(), r.Digest(), other.Digest())
	}
	if r.View(testNow).Siblings("k") != nil {
		t.Error("a lost value has siblings")
	}
	r.origin = testOrigin(4)
	a, b := other.NewScrub(), r.NewScrubber()
	for msg := a.Next(); msg != nil; msg = a.Next() {
		if err := b.Merge(msg, testNow); err != nil {
			t.Fatal(err)
		}
		if err := a.Reply(b.TakeReply(), testNow); err != nil {
			t.Fatal(err)
		}
	}
	if a.Report().Mended != 1 {
		t.Fatalf("the scrub: %+v", a.Report())
	}
	pullAll(t, r, other, 1<<20)
	if r.LostValues() != 0 || state(r) != state(other) || len(r.View(testNow).Siblings("k")) != 2 {
		t.Errorf("%d values are lost after the scrub", r.LostValues())
	}
	mustAudit(t, r, other)
}

// TestLostValuesComeByTheSameDot: a push or chunk that brings the very write again mends it.
func TestLostValuesComeByTheSameDot(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"push", "chunk"} {
		d := newDisk()
		r, other := d.open(t, 1, false), newTestRegion(2)
		update(t, other, func(tx *Tx) error { tx.Set("k", long("v"), false); return nil })
		push := other.TakePush()[0]
		if _, err := r.Push(push, testNow); err != nil {
			t.Fatal(err)
		}
		d.evictAll(t, r)
		key := r.cellKey([]byte("k"), CellValue, nil)
		delete(d.recs, string(key))
		if r.Lose(key) != 1 || r.LostValues() != 1 {
			t.Fatal("it is not lost")
		}
		mustAudit(t, r)
		if way == "push" {
			_, _ = r.Push(push, testNow)
		} else {
			rc := r.NewEmptyReceiver()
			p := other.NewPull(&Seen{Region: other.ID()})
			if err := rc.Merge(p.Next(1<<20), testNow); err != nil {
				t.Fatal(err)
			}
		}
		if b, _, err := r.View(testNow).Get("k"); err != nil || !bytes.Equal(b, long("v")) || r.LostValues() != 0 {
			t.Errorf("by a %s: %q, %v", way, b, err)
		}
		mustAudit(t, r)
	}
}

// TestReadBackOfAway: a record of values that are away is held against their hashes.
func TestReadBackOfAway(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r := d.open(t, 1, false)
	update(t, r, func(tx *Tx) error { tx.Set("k", long("v"), false); return nil })
	d.evictAll(t, r)
	key := r.cellKey([]byte("k"), CellValue, nil)
	good := d.recs[string(key)]
	if v, err := r.ReadBack(Record{key, good}); v != ReadSame || err != nil {
		t.Errorf("the record itself: %v, %v", v, err)
	}
	bad := bytes.Replace(good, []byte("v-v"), []byte("v-w"), 1)
	if v, err := r.ReadBack(Record{key, bad}); v != ReadRotten || err != nil {
		t.Errorf("a rotten one: %v, %v", v, err)
	}
	if n, err := r.Restore(Record{key, bad}); n != 0 || err != nil {
		t.Errorf("restored %d, %v", n, err)
	}
	d.recs[string(key)] = bad
	if err := r.Rewrite(key); err != nil {
		t.Fatal(err)
	}
	if d.commit(r); r.LostValues() != 1 {
		t.Error("a rotten value that is nowhere else is not lost")
	}
	if v, err := r.ReadBack(Record{key, d.recs[string(key)]}); v != ReadSame || err != nil {
		t.Errorf("the record that says so: %v, %v", v, err)
	}
	mustAudit(t, r)
}

// ledger is a policy that knows what it should hold.
type ledger struct {
	t     *testing.T
	held  map[uint32]int
	ids   map[uint32]uint64
	next  uint32
	reads int
}

func (l *ledger) Insert(id uint64, bytes int, _ int64) uint32 {
	l.next++
	l.held[l.next], l.ids[l.next] = bytes, id
	return l.next
}
func (l *ledger) know(slot uint32) {
	if l.held[slot] == 0 {
		l.t.Fatalf("slot %d is of no cell", slot)
	}
}
func (l *ledger) Touch(slot uint32)         { l.know(slot); l.reads++ }
func (l *ledger) Resize(slot uint32, n int) { l.know(slot); l.held[slot] = n }
func (l *ledger) Remove(slot uint32)        { l.know(slot); delete(l.held, slot) }

// TestPolicyKnowsAll: whatever happens, the policy holds just the cells with values that may leave, and their bytes.
func TestPolicyKnowsAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		d := newDisk()
		r := NewRegion(Config{Name: "t", Self: testOrigin(1), Values: d, MinAway: 2})
		other := newTestRegion(2)
		l := &ledger{t: t, held: map[uint32]int{}, ids: map[uint32]uint64{}}
		scribble(rng, r, 30)
		r.Govern(l)
		for from := r.Enlist(0, 3); from != 0; from = r.Enlist(from, 3) {
		}
		for range 60 {
			switch rng.IntN(6) {
			case 5:
				r.Compact(1 << 20)
				for from := r.Sweep(0, 2); from != 0; from = r.Sweep(from, 2) {
					scribble(rng, r, 1)
				}
			case 0:
				scribble(rng, other, 5)
				pullAll(t, r, other, 1<<20)
			case 1:
				d.commit(r)
				for slot, id := range l.ids {
					if l.held[slot] > 0 && rng.IntN(2) == 0 && r.Evict(id) > 0 {
						delete(l.held, slot)
					}
				}
			case 2:
				v := r.View(testNow)
				v.Lazy(true)
				for _, k := range []string{"a", "b", "c"} {
					_, _, _ = v.Get(k)
					_, _, _ = v.MapGet(k, "x")
				}
				for _, m := range v.Missing() {
					r.Return(m.Key, d.recs[string(m.Key)])
				}
			default:
				scribble(rng, r, 4)
			}
			mustAudit(t, r)
			want, got := map[uint64]int{}, map[uint64]int{}
			r.EachEvictable(0, 1<<20, func(id uint64, n int) { want[id] = n })
			for slot, n := range l.held {
				got[l.ids[slot]] = n
			}
			if !maps.Equal(want, got) || len(got) != len(l.held) {
				t.Fatalf("seed %d: the policy holds %v, the region %v", seed, got, want)
			}
		}
		if l.reads == 0 {
			t.Error("no read was noted")
		}
	}
}

// TestCompact: when values left here and there, moving the others gives chunks back, and changes nothing.
func TestCompact(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Memory: &slabs{poison: true}, Values: d})
	l := &ledger{t: t, held: map[uint32]int{}, ids: map[uint32]uint64{}}
	r.Govern(l)
	update(t, r, func(tx *Tx) error {
		for i := range 3000 {
			tx.Set(fmt.Sprint("k", i), bytes.Repeat([]byte{byte(i)}, 80+i%700), false)
		}
		for i := range 3000 {
			_, _ = tx.MapSet("m", fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 300))
		}
		return nil
	})
	d.commit(r)
	rng := rand.New(rand.NewPCG(1, 1))
	for slot := uint32(1); slot <= l.next; slot++ {
		if rng.IntN(10) > 1 && r.Evict(l.ids[slot]) > 0 {
			delete(l.held, slot)
		}
	}
	before, held, slack := state(r), r.Held(), r.Memory().Slack
	var freed int64
	for n := r.Compact(1 << 12); n > 0; n = r.Compact(1 << 12) {
		freed += n
	}
	mustAudit(t, r)
	if state(r) != before {
		t.Error("the region shows something else")
	}
	if got := r.Memory().Slack; got > slack/2 || held-r.Held() < freed || freed == 0 || r.Dirty() {
		t.Errorf("slack was %d of %d bytes, and is %d of %d; %d bytes freed", slack, held, got, r.Held(), freed)
	}
	t.Logf("slack was %d of %d bytes, and is %d of %d", slack, held, r.Memory().Slack, r.Held())
}

// TestSweepCloses: after many removes at random the chunks of whatever is left close up, without a policy too.
func TestSweepCloses(t *testing.T) {
	t.Parallel()
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Memory: &slabs{poison: true}, MaxGhosts: 10})
	rng := rand.New(rand.NewPCG(1, 1))
	update(t, r, func(tx *Tx) error {
		for i := range 20_000 {
			tx.Set(fmt.Sprint("k", i), bytes.Repeat([]byte{byte(i)}, i%40), false)
			_, _ = tx.MapSet("m", fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, i%40))
		}
		for i := range 20_000 {
			if rng.IntN(10) > 0 {
				tx.Del(fmt.Sprint("k", i))
				_, _ = tx.MapDel("m", fmt.Sprint(i))
			}
		}
		return nil
	})
	for r.Tick(testNow) || r.OverBudget() {
	}
	before, free := state(r), r.Free()
	for from := r.Sweep(0, 500); from != 0; from = r.Sweep(from, 500) {
	}
	mustAudit(t, r)
	if state(r) != before {
		t.Error("the region shows something else")
	}
	t.Logf("%d bytes were free, and %d are, of %d", free, r.Free(), r.Held())
	if r.Free() > free/2 {
		t.Errorf("%d bytes were free, and %d are", free, r.Free())
	}
}

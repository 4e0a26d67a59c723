package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

func hllOf(elements ...string) []byte {
	var g registers
	for _, e := range elements {
		g.add([]byte(e))
	}
	return g.encode(false)
}

func numbered(from, upto int) (out []string) {
	for i := from; i < upto; i++ {
		out = append(out, fmt.Sprint("e", i))
	}
	return out
}

func hllAdd(t *testing.T, r *Region, key string, elements ...string) (changed bool) {
	t.Helper()
	update(t, r, func(tx *Tx) (err error) {
		raw := make([][]byte, len(elements))
		for i, e := range elements {
			raw[i] = []byte(e)
		}
		changed, err = tx.HLLAdd(key, raw...)
		return err
	})
	return changed
}

func hllCount(t *testing.T, r *Region, keys ...string) int64 {
	t.Helper()
	n, err := r.View(testNow).HLLCount(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHLLCounts: estimates stay within five standard errors, from one element to where registers fill, and both forms
// say the same.
func TestHLLCounts(t *testing.T) {
	t.Parallel()
	var g registers
	n := 0
	for _, upto := range []int{0, 1, 10, 100, 1000, 10_000, 100_000, 300_000} {
		for ; n < upto; n++ {
			g.add(fmt.Appendf(nil, "e%d", n))
		}
		if got, slack := int(g.count()), upto*5*81/10000; got < upto-slack || got > upto+slack {
			t.Errorf("%d elements are counted as %d", upto, got)
		}
		for _, dense := range []bool{false, true} {
			val := g.encode(dense)
			var back registers
			if err := checkHLL(val); err != nil {
				t.Fatal(err)
			}
			if back.join(val); back != g || dense && len(val) != hllDenseBytes {
				t.Fatalf("%d elements read back otherwise", upto)
			}
			if back.join(val) {
				t.Fatal("a join with what is there raised a register")
			}
		}
	}
}

// TestHLLAsRedisWrites: what Redis 7.0 holds after PFADD of these elements, which have tails of every length.
func TestHLLAsRedisWrites(t *testing.T) {
	t.Parallel()
	const want = "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80" +
		"B\xce\x80B\x96\x80I%\x8cGr\x84A.\x84C\xc3\x80J\t\x80F:\x9cFg\x84C\xa6\x84J\xaf"
	if got := hllOf("", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh", "abcdefghi"); string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestHLLConcurrent: concurrent adds are all counted, a later add settles them in one value, and a DEL takes what it saw.
func TestHLLConcurrent(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	hllAdd(t, a, "h", numbered(0, 50)...)
	hllAdd(t, b, "h", numbered(25, 80)...)
	pullAll(t, a, b, 1<<20)
	pullAll(t, b, a, 1<<20)
	want := hllOf(numbered(0, 80)...)
	for _, r := range []*Region{a, b} {
		if val, _, _ := r.View(testNow).Get("h"); !bytes.Equal(val, want) || r.Siblings() != 2 {
			t.Fatalf("%d siblings show %d", r.Siblings(), hllCount(t, r, "h"))
		}
	}
	if hllAdd(t, a, "h", "e79") {
		t.Error("an element that was counted changed something")
	}
	if !hllAdd(t, a, "h", numbered(0, 200)...) || a.Siblings() != 1 {
		t.Error("a later add does not settle the siblings")
	}
	update(t, b, func(tx *Tx) error { tx.Del("h"); return nil })
	pullAll(t, b, a, 1<<20)
	if n := hllCount(t, b, "h"); n != hllCount(t, a, "h") {
		t.Errorf("an add that is concurrent with a DEL counts %d", n)
	}
	update(t, b, func(tx *Tx) error { tx.Del("h"); return nil })
	pullAll(t, a, b, 1<<20)
	if n := hllCount(t, a, "h"); n != 0 {
		t.Errorf("%d are left after a DEL", n)
	}
	mustAudit(t, a, b)
}

// TestHLLBesidePlainValues: where the latest of concurrent writes is no HyperLogLog it shows alone; otherwise those that are
// none do not count.
func TestHLLBesidePlainValues(t *testing.T) {
	t.Parallel()
	corrupt := hllOf("x")[:hllHeaderBytes+1]
	for _, plain := range []string{"text", "7", "", string(corrupt)} {
		for _, later := range []bool{false, true} {
			a, b, c := newTestRegion(1), newTestRegion(2), newTestRegion(3)
			hllAdd(t, a, "h", "one")
			hllAdd(t, c, "h", "two")
			now := int64(testNow - 1000)
			if later {
				now = testNow + 1000
			}
			if err := b.Update(now, func(tx *Tx) error { tx.Set("h", []byte(plain), false); return nil }); err != nil {
				t.Fatal(err)
			}
			pullAll(t, a, b, 1<<20)
			pullAll(t, a, c, 1<<20)
			want := hllOf("one", "two")
			if later {
				want = []byte(plain)
			}
			if val, _, _ := a.View(testNow).Get("h"); !bytes.Equal(val, want) {
				t.Errorf("%q, later %v: shows %.30q", plain, later, val)
			}
		}
	}
}

// TestHLLErrors: what is no HyperLogLog is told, and nothing is written.
func TestHLLErrors(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	whole := string(hllOf("x"))
	update(t, r, func(tx *Tx) error {
		tx.Set("text", []byte("text"), false)
		tx.Set("cut", []byte(whole[:hllHeaderBytes+2]), false)
		tx.Set("long", []byte(whole+"\x00"), false)
		tx.Set("half", []byte(whole[:hllHeaderBytes]+"\x7f"), false)
		tx.Set("short", []byte("HYLL\x00"+whole[5:]), false)
		_, err := tx.SetAdd("set", "m")
		return err
	})
	for key, want := range map[string]error{"text": ErrNotHLL, "cut": ErrHLLCorrupt, "long": ErrHLLCorrupt, "half": ErrHLLCorrupt, "short": ErrNotHLL, "set": ErrWrongType} {
		writes := r.Update(testNow, func(tx *Tx) error {
			before := tx.Writes()
			_, errAdd := tx.HLLAdd(key, []byte("y"))
			_, errCount := tx.HLLCount(key)
			errMerge := tx.HLLMerge("new", key)
			if !errors.Is(errAdd, want) || !errors.Is(errCount, want) || !errors.Is(errMerge, want) || tx.Writes() != before {
				t.Errorf("%s: %v, %v, %v, %d writes", key, errAdd, errCount, errMerge, tx.Writes()-before)
			}
			return nil
		})
		if writes != nil {
			t.Error(writes)
		}
	}
}

// TestHLLOracle plays random adds, merges, removes and meetings beside the sets of elements that live writes have counted.
func TestHLLOracle(t *testing.T) {
	t.Parallel()
	type wrote struct {
		counted map[string]bool // nil: a remove
		covers  map[int]bool
	}
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 42))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		var all []wrote
		seen := []map[int]bool{{}, {}, {}}
		counted := func(i int) (out map[string]bool) {
			for w := range seen[i] {
				covered := false
				for x := range seen[i] {
					covered = covered || all[x].covers[w]
				}
				if covered || all[w].counted == nil {
					continue
				}
				if out == nil {
					out = map[string]bool{}
				}
				maps.Copy(out, all[w].counted)
			}
			return out
		}
		for range 24 {
			i, j := rng.IntN(3), rng.IntN(3)
			if i != j {
				pullAll(t, rs[i], rs[j], 1<<20)
				maps.Copy(seen[i], seen[j])
				continue
			}
			w := wrote{counted(i), maps.Clone(seen[i])}
			if rng.IntN(5) == 0 {
				if w.counted == nil {
					continue
				}
				update(t, rs[i], func(tx *Tx) error { tx.Del("h"); return nil })
				w.counted = nil
			} else {
				from := rng.IntN(40)
				elements := numbered(from, from+1+rng.IntN(4))
				was := len(w.counted)
				if w.counted == nil {
					w.counted = map[string]bool{}
				}
				for _, e := range elements {
					w.counted[e] = true
				}
				if hllAdd(t, rs[i], "h", elements...) != (len(w.counted) > was) {
					t.Fatalf("seed %d: an add tells otherwise whether it changed something", seed)
				}
				if len(w.counted) == was {
					continue
				}
			}
			seen[i][len(all)] = true
			all = append(all, w)
		}
		for i, r := range rs {
			var g registers
			for e := range counted(i) {
				g.add([]byte(e))
			}
			val, ok, err := r.View(testNow).Get("h")
			if err != nil || ok != (counted(i) != nil) || ok && !bytes.Equal(val, g.encode(false)) {
				t.Fatalf("seed %d: replica %d shows %d, want %d, %v", seed, i, hllCount(t, r, "h"), g.count(), err)
			}
		}
		mustAudit(t, rs...)
	}
}

// FuzzHLL: whatever a client or a peer wrote, it is either refused or reads as registers that write back.
func FuzzHLL(f *testing.F) {
	f.Add(hllOf(), hllOf("a", "b"))
	f.Add(hllOf(numbered(0, 5000)...), hllOf(numbered(0, 300)...))
	f.Add([]byte("HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f"), []byte("HYLL"))
	f.Add(append(hllHeader(nil, hllDense), bytes.Repeat([]byte{0xff}, hllDenseBytes-hllHeaderBytes)...), hllOf("x"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, b := newTestRegion(1), newTestRegion(2)
		update(t, a, func(tx *Tx) error { tx.Set("h", one, false); return nil })
		update(t, b, func(tx *Tx) error { tx.Set("h", two, false); return nil })
		pullAll(t, a, b, 1<<20)
		pullAll(t, b, a, 1<<20)
		x, _, _ := a.View(testNow).Get("h")
		y, _, _ := b.View(testNow).Get("h")
		if !bytes.Equal(x, y) {
			t.Fatal("two replicas show two values")
		}
		n, errA := a.View(testNow).HLLCount("h", "h")
		m, errB := b.View(testNow).HLLCount("h", "none")
		if n != m || !errors.Is(errA, errB) {
			t.Fatalf("two replicas count %d, %v and %d, %v", n, errA, m, errB)
		}
		if checkHLL(x) != nil {
			return
		}
		var g, back registers
		g.join(x)
		if val := g.encode(x[4] == hllDense); checkHLL(val) != nil || back.join(val) != (g != registers{}) || back != g {
			t.Fatal("registers do not read back")
		}
		update(t, a, func(tx *Tx) error { _, err := tx.HLLAdd("h", two); return err })
		mustAudit(t, a)
	})
}

package crdt

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func listOf(v *View, key string) (out []string) {
	_ = v.ListEach(key, 0, false, func(val []byte) bool { out = append(out, string(val)); return true })
	return out
}

// TestListIsASlice drives a list of one replica beside a slice.
func TestListIsASlice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 31))
		r, want := newTestRegion(1), []string(nil)
		for round := range 30 {
			update(t, r, func(tx *Tx) error {
				for range 1 + rng.IntN(40) {
					val := fmt.Sprint(rng.IntN(1000))
					n := len(want)
					at := []int{0, n, rng.IntN(n + 1)}[rng.IntN(3)]
					switch rng.IntN(10) {
					case 0, 1:
						k := min(1+rng.IntN(3), n-at)
						if got, err := tx.ListRemove("l", at, k); err != nil || got != max(k, 0) {
							t.Fatal(got, k, err)
						}
						want = slices.Delete(want, at, at+max(k, 0))
					case 2:
						if err := tx.ListSet("l", at, []byte(val)); (err != nil) != (at >= n) {
							t.Fatal(err)
						}
						if at < n {
							want[at] = val
						}
					default:
						if err := tx.ListInsert("l", at, []byte(val)); err != nil {
							t.Fatal(err)
						}
						want = slices.Insert(want, at, val)
					}
				}
				if err := tx.ListInsert("l", len(want)+1, nil); err != ErrNoElement {
					t.Fatal(err)
				}
				return nil
			})
			_ = r.TakeDirty()
			mustAudit(t, r)
			v := r.View(testNow)
			if got := listOf(v, "l"); !slices.Equal(got, want) {
				t.Fatalf("seed %d round %d: %v, want %v", seed, round, got, want)
			}
			if n, _ := v.ListLen("l"); n != len(want) {
				t.Fatal(n, len(want))
			}
			if rng.IntN(8) == 0 {
				want = nil
				update(t, r, func(tx *Tx) error { tx.Del("l"); return nil })
			}
		}
	}
}

// TestListRunsDoNotInterleave: what each of several writers put in one place, forwards, backwards or in any order of its own,
// stays together, wherever in a list of whatever past that place is.
func TestListRunsDoNotInterleave(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, 32))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		for range rng.IntN(12) { // a past: everyone has seen everything
			w := rs[rng.IntN(3)]
			update(t, w, func(tx *Tx) error {
				for range 1 + rng.IntN(3) {
					n, _ := tx.ListLen("l")
					if n > 0 && rng.IntN(4) == 0 {
						_, _ = tx.ListRemove("l", rng.IntN(n), 1)
						continue
					}
					if err := tx.ListInsert("l", []int{0, n, rng.IntN(n + 1)}[rng.IntN(3)], []byte("past")); err != nil {
						return err
					}
				}
				return nil
			})
			pushTo(t, w, rs...)
		}
		n, _ := rs[0].View(testNow).ListLen("l")
		gap := rng.IntN(n + 1)
		var runs []string
		for i, r := range rs {
			mine := make([]string, 1+rng.IntN(5))
			for k := range mine {
				mine[k] = fmt.Sprintf("%c%d", 'a'+i, k)
			}
			runs = append(runs, strings.Join(mine, " "))
			order := make([]int, len(mine)) // in which they are written
			for k := range order {
				order[k] = k
			}
			switch rng.IntN(4) {
			case 0:
				slices.Reverse(order)
			case 1:
				rng.Shuffle(len(order), func(x, y int) { order[x], order[y] = order[y], order[x] })
			}
			for k, x := range order {
				before := 0
				for _, y := range order[:k] {
					if y < x {
						before++
					}
				}
				update(t, r, func(tx *Tx) error { return tx.ListInsert("l", gap+before, []byte(mine[x])) })
			}
		}
		var want string
		for i, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
			x := join(t, rs[order[0]], rs[order[1]], rs[order[2]])
			got := strings.Join(listOf(x.View(testNow), "l"), " ")
			if i > 0 && got != want {
				t.Fatalf("seed %d: %s in one order of merging, %s in another", seed, got, want)
			}
			want = got
		}
		for _, run := range runs {
			if !strings.Contains(" "+want+" ", " "+run+" ") {
				t.Fatalf("seed %d, gap %d: %q is torn apart in %q", seed, gap, run, want)
			}
		}
		if strings.Count(want, "past") != n {
			t.Fatalf("seed %d: %d of the past in %q", seed, n, want)
		}
	}
}

// TestListConverges: replicas that write to one list as they like, and meet as they like, show one list in the end.
func TestListConverges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 33))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		for range 14 {
			a, b := rs[rng.IntN(3)], rs[rng.IntN(3)]
			update(t, a, func(tx *Tx) error {
				for range 1 + rng.IntN(4) {
					n, _ := tx.ListLen("l")
					at := []int{0, n, rng.IntN(n + 1)}[rng.IntN(3)]
					switch rng.IntN(6) {
					case 0:
						_, _ = tx.ListRemove("l", at, 1+rng.IntN(3))
					case 1:
						_ = tx.ListSet("l", at, []byte("set"))
					default:
						if err := tx.ListInsert("l", at, fmt.Append(nil, n)); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if a != b {
				pullAll(t, b, a, 1+rng.IntN(300))
			}
		}
		want := join(t, rs...)
		for name, x := range map[string]*Region{
			"commutative": join(t, rs[2], rs[0], rs[1]),
			"associative": join(t, join(t, rs[0], rs[1]), join(t, rs[1], rs[2])),
			"idempotent":  join(t, rs[0], rs[1], rs[0], rs[2], rs[2], rs[1]),
		} {
			if got := state(x); got != state(want) {
				t.Fatalf("seed %d: the join is not %s", seed, name)
			}
			if got := listOf(x.View(testNow), "l"); !slices.Equal(got, listOf(want.View(testNow), "l")) {
				t.Fatalf("seed %d: %s: another list", seed, name)
			}
		}
	}
}

// TestListPositionsStayShort: of pushes to either end, by one or by turns of several, a queue that is never empty, and restarts.
func TestListPositionsStayShort(t *testing.T) {
	t.Parallel()
	id := func(w int) uint64 { return originHash(testOrigin(w)) }
	var back, front, turns []byte
	first := between(nil, nil, id(1), 1)
	back, front, turns = first, first, first
	for i := range 200_000 {
		seq := Seq(i + 2)
		back = between(back, nil, id(1), seq)
		front = between(nil, front, id(1), seq)
		turns = between(turns, nil, id(i%5), seq)
	}
	for name, p := range map[string][]byte{"back": back, "front": front} {
		if len(p) > 14 {
			t.Errorf("200,000 pushes to the %s make a position of %d bytes", name, len(p))
		}
	}
	if len(turns) > 17 {
		t.Errorf("200,000 pushes by turns of five make a position of %d bytes", len(turns))
	}
	left, right := first, between(first, nil, id(2), 1)
	for i := range 3000 { // by turns of three, always behind the last that was put in the middle
		left = between(left, right, id(i%3), Seq(i+2))
	}
	if len(left) > 60 {
		t.Errorf("3,000 insertions by turns in the middle make a position of %d bytes", len(left))
	}
}

// TestPositionsBetween: there is room between any two positions, also those that only a peer makes.
func TestPositionsBetween(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 34))
	numbers := []int64{0, 1, -1, 2, -2, 60, 61, -60, -61, -62, 255, 256, -256, -257, slotMax, -slotMax, 1 << 20}
	random := func() []byte {
		var ls []level
		for range rng.IntN(3) {
			ls = append(ls, level{numbers[rng.IntN(len(numbers))], uint64(rng.IntN(3)), numbers[rng.IntN(len(numbers))], byte(2 * rng.IntN(2))})
		}
		return pathTo(ls, level{numbers[rng.IntN(len(numbers))], uint64(rng.IntN(3)), numbers[rng.IntN(len(numbers))], sideSelf})
	}
	for i := range 100_000 {
		l, r := random(), random()
		switch c := bytes.Compare(l, r); {
		case c == 0:
			continue
		case c > 0:
			l, r = r, l
		}
		switch rng.IntN(10) {
		case 0:
			l = nil
		case 1:
			r = nil
		}
		p := between(l, r, uint64(rng.IntN(4)), Seq(1000+i))
		if _, ok := levelsOf(p); !ok || bytes.Compare(l, p) >= 0 || r != nil && bytes.Compare(p, r) >= 0 {
			a, _ := levelsOf(l)
			b, _ := levelsOf(r)
			c, _ := levelsOf(p)
			t.Fatalf("between\n%v and\n%v is\n%v", a, b, c)
		}
	}
}

// TestOrderedNumbers: bytes are ordered as the numbers are, and read back.
func TestOrderedNumbers(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 35))
	xs := []int64{0, math.MinInt64, math.MaxInt64}
	for range 3000 {
		x := int64(rng.Uint64() >> rng.IntN(64))
		xs = append(xs, x, -x)
	}
	slices.Sort(xs)
	var last []byte
	for i, x := range xs {
		b := appendOrdered(nil, x)
		y, rest, ok := takeOrdered(b)
		if !ok || y != x || len(rest) > 0 {
			t.Fatalf("%d is %x and reads as %d", x, b, y)
		}
		if i > 0 && bytes.Compare(last, b) != min(1, max(-1, bytes.Compare(last, b))) || i > 0 && (bytes.Compare(last, b) < 0) != (xs[i-1] < x) {
			t.Fatalf("%d is %x, behind %d: %x", x, b, xs[i-1], last)
		}
		last = b
	}
}

func FuzzPosition(f *testing.F) {
	f.Add([]byte(nil), []byte(nil))
	p := between(nil, nil, 7, 1)
	f.Add(p, between(p, nil, 8, 2))
	f.Add(between(p, between(p, nil, 8, 2), 9, 1), p)
	f.Fuzz(func(t *testing.T, l, r []byte) {
		a, okL := levelsOf(l)
		b, okR := levelsOf(r)
		if okL && !bytes.Equal(pathTo(a[:len(a)-1], a[len(a)-1]), l) {
			t.Fatalf("%x has two forms", l)
		}
		if !okL || !okR || bytes.Compare(l, r) >= 0 {
			return
		}
		_ = b
		if p := between(l, r, 7, 1<<40); bytes.Compare(l, p) >= 0 || bytes.Compare(p, r) >= 0 {
			t.Fatalf("between %x and %x is %x", l, r, p)
		}
	})
}

package crdt

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// testNow is the instant of tests that do not care.
const testNow = int64(1_800_000_000_000)

func newTestRegion(i int) *Region {
	return NewRegion(Config{Name: "t", Self: testOrigin(i), Push: true, Memory: &slabs{poison: true}})
}

// testOrigin is of the time before lines, as the golden files are.
func testOrigin(i int) Origin {
	return NewOrigin(NodeID(fmt.Sprint("n", i)), NewNonce(0, [16]byte{byte(i)}))
}

// startOrigin is a start of a node, by its number in the node's line.
func startOrigin(node string, number int) Origin {
	return NewOrigin(NodeID(node), NewNonce(uint32(FirstNumber+number), [16]byte{}))
}

// pullAll lets to pull everything from from, and gives the number of chunks.
func pullAll(t testing.TB, to, from *Region, max int) int {
	t.Helper()
	rc := to.NewReceiver()
	peer, err := DecodeHello(to.Hello())
	if err != nil {
		t.Fatal(err)
	}
	p, n := from.NewPull(peer), 0
	for msg := p.Next(max); msg != nil; msg = p.Next(max) {
		if err := rc.Merge(msg, testNow); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func update(t testing.TB, r *Region, fn func(*Tx) error) {
	t.Helper()
	if err := r.Update(testNow, fn); err != nil {
		t.Fatal(err)
	}
}

// pushTo delivers what from has to push, in order.
func pushTo(t testing.TB, from *Region, to ...*Region) {
	t.Helper()
	for _, msg := range from.TakePush() {
		for _, r := range to {
			if _, err := r.Push(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func mustAudit(t testing.TB, rs ...*Region) {
	t.Helper()
	for _, r := range rs {
		if err := r.Audit(); err != nil {
			t.Fatal(err)
		}
	}
}

// scribble makes random writes of every kind.
func scribble(rng *rand.Rand, r *Region, writes int) {
	_ = r.Update(testNow, func(tx *Tx) error {
		for range writes {
			key, sub := string(rune('a'+rng.IntN(3))), string(rune('x'+rng.IntN(3)))
			switch rng.IntN(12) {
			case 0, 1:
				tx.Set(key, fmt.Append(nil, rng.IntN(100)), rng.IntN(2) == 0)
			case 2:
				_, _ = tx.Incr(key, int64(rng.IntN(9)-4))
			case 3:
				tx.Del(key)
			case 4, 5:
				_, _ = tx.SetAdd(key, sub)
			case 6:
				_, _ = tx.SetRemove(key, sub)
			case 7:
				_, _ = tx.MapSet(key, sub, fmt.Append(nil, rng.IntN(100)))
			case 8:
				_, _ = tx.MapIncrFloat(key, sub, "0.5")
			case 9:
				_, _ = tx.MapDel(key, sub)
			case 10:
				tx.Expire(key, testNow+int64(rng.IntN(1000)+1))
			default:
				if rng.IntN(4) == 0 {
					tx.Flush()
				}
			}
		}
		return nil
	})
}

// state is everything of a replica that must be equal where the same writes were seen.
func state(r *Region) string {
	var out []string
	r.EachTip(func(t Tip) {
		if t.Tag != TagRemove {
			out = append(out, fmt.Sprintf("%q %d %q %v %d %d %q", t.Key, t.Kind, t.Sub, t.Dot, t.Tag, t.HLC, t.Value))
		}
	})
	slices.Sort(out)
	ctx, _ := r.Context().MarshalJSON()
	return fmt.Sprintf("%s\n%x %d %d\n%v", ctx, r.Digest(), r.Siblings(), r.Entries(), out)
}

// copyOf makes a replica that reads the same, with a self of its own, through the durable image.
func copyOf(t testing.TB, r *Region, self int) *Region {
	t.Helper()
	c := newTestRegion(self)
	pullAll(t, c, r, 1<<20)
	if c.Digest() != r.Digest() {
		t.Fatal("the copy differs")
	}
	return c
}

// sortedKeysOf lists the keys of a map.
func sortedKeysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package crdt_test

import (
	"strconv"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestWarm: of keys that are there, that are not, and of other types, before reads and before writes, in regions of any size.
func TestWarm(t *testing.T) {
	t.Parallel()
	const n = 40_000
	r := crdt.NewRegion(crdt.Config{Name: "t", Self: crdt.NewOrigin("n", crdt.Nonce{1})})
	var keys [][]byte
	for i := range 2 * crdt.WarmMax {
		keys = append(keys, []byte("key:"+strconv.Itoa(i*(n/crdt.WarmMax)))) // every second is absent
	}
	for i := range n {
		_ = r.Update(densityNow, func(tx *crdt.Tx) error {
			tx.Warm(keys, i%2 == 0)
			key := "key:" + strconv.Itoa(i)
			switch i % 4 {
			case 0:
				tx.Set(key, []byte("v"), false)
			case 1:
				_, err := tx.SetAdd(key, "m")
				return err
			case 2:
				_, err := tx.Incr(key, 1)
				return err
			default:
				_, err := tx.MapSet(key, "f", []byte("v"))
				return err
			}
			return nil
		})
	}
	digest := r.Digest()
	v := r.View(densityNow)
	for _, some := range [][][]byte{nil, keys[:1], keys, {nil, {}, keys[0]}, {keys[0], keys[0]}} {
		v.Warm(some, true)
		v.Warm(some, false)
	}
	if v.Warm(keys[:crdt.WarmMax], true) == 0 {
		t.Error("nothing was loaded")
	}
	if r.Digest() != digest {
		t.Error("it changed the region")
	}
}

// BenchmarkWarm reads and writes 16 keys at a time, as a client's pipeline brings them, with what they touch fetched before or not.
func BenchmarkWarm(b *testing.B) {
	val := make([]byte, 100)
	for _, n := range []int{1 << 17, 1 << 20} {
		keys, r := densityKeys(n), crdt.NewRegion(crdt.Config{Name: "t", Self: crdt.NewOrigin("n", crdt.Nonce{1}), Push: true})
		for i, k := range keys {
			_ = r.Update(densityNow, func(tx *crdt.Tx) error { tx.Set(k, val, false); return nil })
			if i%512 == 511 {
				r.TakePush()
				r.TakeDirty()
			}
		}
		var some [crdt.WarmMax][]byte
		at := uint32(0)
		pick := func() {
			for i := range some {
				at = at*1664525 + 1013904223
				some[i] = append(some[i][:0], keys[at>>8%uint32(n)]...)
			}
		}
		for _, warm := range []bool{false, true} {
			name := strconv.Itoa(n) + "/warm=" + strconv.FormatBool(warm)
			b.Run("write/"+name, func(b *testing.B) {
				for i := range b.N / len(some) {
					pick()
					_ = r.Update(densityNow, func(tx *crdt.Tx) error {
						if warm {
							tx.Warm(some[:], true)
						}
						for _, k := range some {
							tx.Set(string(k), val, false)
						}
						return nil
					})
					if i%32 == 31 {
						r.TakePush()
						r.TakeDirty()
					}
				}
			})
			b.Run("read/"+name, func(b *testing.B) {
				for range b.N / len(some) {
					pick()
					v := r.View(densityNow)
					if warm {
						v.Warm(some[:], false)
					}
					for _, k := range some {
						_, _, _ = v.Get(string(k))
					}
				}
			})
		}
	}
}

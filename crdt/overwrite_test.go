package crdt

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestOverwriteDoesWhatWriteDoes: two regions get the same writes, of which one takes the general way. All that they
// tell, keep and send is the same.
func TestOverwriteDoesWhatWriteDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{Name: "t", Self: testOrigin(1), Push: seed%3 > 0, Causal: seed%3 > 1, Track: seed%2 > 0, Volatile: seed%5 == 0}
		cfg.Memory = &slabs{poison: true}
		fast := NewRegion(cfg)
		cfg.Memory = &slabs{poison: true}
		slow := NewRegion(cfg)
		slow.general = true
		other := newTestRegion(2)
		pair := []*Region{fast, slow}
		now := testNow
		for step := range 80 {
			what, again := rng.IntN(10), rng.Uint64()
			now += int64(rng.IntN(3))
			for _, r := range pair {
				alike(rand.New(rand.NewPCG(again, 2)), r, other, what, now)
			}
			for _, differ := range []string{
				differs("state", state(fast), state(slow)),
				differs("bytes", fast.Bytes(), slow.Bytes()),
				differs("stats", fast.Stats(), slow.Stats()),
				differs("memory", fast.InUse(), slow.InUse()),
				differs("dirty cells", fast.DirtyCells(), slow.DirtyCells()),
				differs("dirty bytes", fast.DirtyBytes(), slow.DirtyBytes()),
				differs("check", checkSum(fast), checkSum(slow)),
			} {
				if differ != "" {
					t.Fatalf("seed %d, step %d (%d): %s", seed, step, what, differ)
				}
			}
			mustAudit(t, pair...)
			if rng.IntN(8) == 0 {
				compareOut(t, fast, slow)
			}
		}
		compareOut(t, fast, slow)
	}
}

// alike does one thing, the same with the same random numbers.
func alike(rng *rand.Rand, r, other *Region, what int, now int64) {
	switch what {
	case 0:
		scribble(rng, r, 3)
	case 1:
		if !r.general { // once for both
			scribble(rng, other, 3)
		}
		rc := r.NewReceiver()
		if peer, err := DecodeHello(r.Hello()); err == nil {
			p := other.NewPull(peer)
			for msg := p.Next(100); msg != nil; msg = p.Next(100) {
				_ = rc.Merge(msg, now)
			}
		}
	case 2:
		r.check = &Check{at: pos{rng.Uint64(), 0}}
	default:
		_ = r.Update(now, func(tx *Tx) error {
			for range 1 + rng.IntN(4) {
				key := string(rune('a' + rng.IntN(5)))
				val := bytes.Repeat([]byte{byte(rng.IntN(256))}, []int{0, 5, 99, 100, 101, 103, 128, 300}[rng.IntN(8)])
				if old, ok, _ := tx.Get(key); ok && rng.IntN(6) == 0 && !r.cfg.Push {
					val = old[len(old)/2:] // a part of the record that it replaces
				}
				if rng.IntN(2) == 0 {
					tx.Set(key, val, rng.IntN(2) == 0)
					continue
				}
				key, field := "m"+key, string(rune('a'+rng.IntN(5)))
				if old, ok, _ := tx.MapGet(key, field); ok && rng.IntN(6) == 0 && !r.cfg.Push {
					val = old[len(old)/2:]
				}
				switch _, err := tx.MapSet(key, field, val); {
				case err != nil:
					return err
				case rng.IntN(30) == 0:
					tx.Del(key)
				case rng.IntN(30) == 0:
					tx.Expire(key, now+10)
				}
			}
			return nil
		})
	}
}

func checkSum(r *Region) uint64 {
	if r.check == nil {
		return 0
	}
	return r.check.sum
}

func differs[T comparable](what string, a, b T) string {
	if a == b {
		return ""
	}
	return fmt.Sprintf("%s: %v, and the general way %v", what, a, b)
}

// compareOut takes what leaves the two regions.
func compareOut(t *testing.T, fast, slow *Region) {
	t.Helper()
	if a, b := fmt.Sprint(fast.TakeChanged()), fmt.Sprint(slow.TakeChanged()); a != b {
		t.Fatalf("changed keys %s, and the general way %s", a, b)
	}
	if a, b := fmt.Sprintf("%x", fast.TakePush()), fmt.Sprintf("%x", slow.TakePush()); a != b {
		t.Fatalf("pushed\n%s, and the general way\n%s", a, b)
	}
	if a, b := fmt.Sprintf("%x", fast.TakeDirty()), fmt.Sprintf("%x", slow.TakeDirty()); a != b {
		t.Fatalf("committed\n%s, and the general way\n%s", a, b)
	}
}

// TestVolatileKeepsNoListOfChanges: what nobody writes to a disk costs nothing to remember.
func TestVolatileKeepsNoListOfChanges(t *testing.T) {
	t.Parallel()
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Volatile: true})
	before := r.Memory().Buffer
	update(t, r, func(tx *Tx) error {
		for i := range 1000 {
			tx.Set(benchKey(i), nil, false)
		}
		for i := range 500 {
			tx.Del(benchKey(i))
		}
		return nil
	})
	if n, grown := r.DirtyCells(), r.Memory().Buffer-before; n != 0 || grown > 2000 {
		t.Errorf("%d cells are noted, %d bytes", n, grown)
	}
	mustAudit(t, r)
}

package crdt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestCheckWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 4))
		r := newTestRegion(1)
		scribble(rng, r, 100)
		v := r.NewCheck()
		for done := false; !done; scribble(rng, r, rng.IntN(4)) {
			var err error
			if done, err = v.Step(1 + rng.IntN(5)); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

func TestCheckFindsAFlippedBit(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error {
		for i := range 500 {
			tx.Set(fmt.Sprint("k", i), []byte("value"), false)
		}
		return nil
	})
	r.lookup("k77").cell(CellValue, "").sibs[0].val[2] ^= 4
	v := r.NewCheck()
	for {
		done, err := v.Step(64)
		if done {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("a flipped bit: %v", err)
			}
			return
		}
	}
}

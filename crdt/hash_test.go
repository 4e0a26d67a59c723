package crdt

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// TestHashesAreKeyed: keys that hash alike without a key, because a factor of the hash is zero, do not with one.
func TestHashesAreKeyed(t *testing.T) {
	t.Parallel()
	var zero [8]byte // what makes the second factor zero
	binary.LittleEndian.PutUint64(zero[:], k1^k2)
	plain, keyed := NewRegion(Config{Name: "t"}), NewRegion(Config{Name: "t", HashKey: [16]byte{1, 2, 3, 15: 4}})
	alike := func(r *Region) int {
		places := map[uint64]bool{}
		for i := range 1000 {
			places[r.EntryHash(fmt.Sprintf("%08d%s", i, zero[:]))] = true
		}
		return len(places)
	}
	if n := alike(plain); n > 10 {
		t.Errorf("%d places without a key: the test's keys do not collide", n)
	}
	if n := alike(keyed); n != 1000 {
		t.Errorf("%d places of 1000 keys", n)
	}
	if plain.EntryHash("k") == keyed.EntryHash("k") {
		t.Error("the key changes nothing")
	}
}

// TestReplicasWithAKey agree, and keep what they have in order.
func TestReplicasWithAKey(t *testing.T) {
	t.Parallel()
	key := [16]byte{7, 15: 9}
	a, b := NewRegion(Config{Name: "t", Self: testOrigin(1), HashKey: key}), NewRegion(Config{Name: "t", Self: testOrigin(2), HashKey: key})
	update(t, a, func(tx *Tx) error {
		for i := range 300 {
			tx.Set(fmt.Sprint("k", i), []byte("v"), false)
			if _, err := tx.SetAdd("s", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
	pullAll(t, b, a, 500)
	same(t, a, b)
	update(t, b, func(tx *Tx) error { _, err := tx.SetRemove("s", "7"); return err })
	pullAll(t, a, b, 500)
	same(t, a, b)
	if ok, _ := a.View(testNow).SetHas("s", "7"); ok {
		t.Error("a member is back")
	}
}

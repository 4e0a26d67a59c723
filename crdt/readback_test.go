package crdt

import (
	"bytes"
	"fmt"
	"testing"
)

// stored is a region that is all on disk, and its records.
func stored(t *testing.T, n int) (*Region, map[string][]byte) {
	t.Helper()
	r := NewRegion(Config{Name: "r", Self: NewOrigin("n", Nonce{1})})
	for i := range n {
		err := r.Update(1000, func(tx *Tx) error {
			tx.Set(fmt.Sprint("k", i), []byte(fmt.Sprint("value ", i)), false)
			_, err := tx.SetAdd(fmt.Sprint("s", i%7), fmt.Sprint("m", i))
			if i%5 == 0 {
				tx.Del(fmt.Sprint("k", i/2))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	disk := map[string][]byte{}
	take(r, disk)
	return r, disk
}

func take(r *Region, disk map[string][]byte) (n int) {
	for _, rec := range r.TakeDirty() {
		n++
		if rec.Value == nil {
			delete(disk, string(rec.Key))
			continue
		}
		disk[string(rec.Key)] = rec.Value
	}
	return n
}

// right reports whether the memory holds what it was given.
func right(t *testing.T, r *Region) bool {
	t.Helper()
	c := r.NewCheck()
	for {
		if done, err := c.Step(50); done {
			return err == nil
		}
	}
}

// flip changes a value in memory behind the region's back.
func flip(t *testing.T, r *Region, key string) {
	t.Helper()
	val, ok, err := r.View(0).Get(key)
	if !ok || err != nil {
		t.Fatal(key, ok, err)
	}
	val[0] ^= 1
}

func TestRecordsAreReadBack(t *testing.T) {
	t.Parallel()
	r, disk := stored(t, 100)
	check := func(want map[ReadBack]int) {
		t.Helper()
		got := map[ReadBack]int{}
		for k, v := range disk {
			x, err := r.ReadBack(Record{[]byte(k), v})
			if err != nil {
				t.Fatal(err)
			}
			got[x]++
		}
		if got[ReadOther] != want[ReadOther] || got[ReadRotten] != want[ReadRotten] {
			t.Errorf("other %d, rotten %d; want %v", got[ReadOther], got[ReadRotten], want)
		}
	}
	check(nil)
	if err := r.Update(2000, func(tx *Tx) error { tx.Set("k9", []byte("new"), false); tx.Del("k11"); return nil }); err != nil {
		t.Fatal(err)
	}
	check(nil) // it waits to be written
	old := map[string][]byte{}
	for k, v := range disk {
		old[k] = v
	}
	take(r, disk)
	check(nil)
	disk, old = old, disk
	check(map[ReadBack]int{ReadOther: 3}) // two cells and the origin: a commit was lost
	disk = old

	flip(t, r, "k13")
	check(map[ReadBack]int{ReadRotten: 1})
	if right(t, r) {
		t.Fatal("the memory is not right")
	}
	for k, v := range disk {
		rec := Record{[]byte(k), v}
		x, _ := r.ReadBack(rec)
		if n, err := r.Restore(rec); err != nil || n != 0 != (x == ReadRotten) {
			t.Errorf("restored %d, %v", n, err)
		}
	}
	if !right(t, r) {
		t.Error("not restored")
	}
	take(r, disk)
	check(nil)
	if err := r.Audit(); err != nil {
		t.Error(err)
	}
}

// What is wrong on disk is written anew, and what should not be there goes.
func TestRecordsAreWrittenAnew(t *testing.T) {
	t.Parallel()
	r, disk := stored(t, 20)
	want := map[string][]byte{}
	for k, v := range disk {
		want[k] = bytes.Clone(v)
	}
	other := NewRegion(Config{Name: "r", Self: NewOrigin("n", Nonce{1})})
	if err := other.Update(1, func(tx *Tx) error { tx.Set("stray", nil, false); return nil }); err != nil {
		t.Fatal(err)
	}
	stray := map[string][]byte{}
	take(other, stray)
	for k, v := range stray {
		if _, there := disk[k]; !there {
			disk[k] = v
		}
	}
	for k := range disk {
		disk[k] = append(disk[k][:len(disk[k]):len(disk[k])], 0)
		if err := r.Rewrite([]byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	if n := take(r, disk); n != len(want)+1 {
		t.Errorf("%d records written, want %d", n, len(want)+1)
	}
	if len(disk) != len(want) {
		t.Errorf("%d records, want %d", len(disk), len(want))
	}
	for k, v := range want {
		if !bytes.Equal(disk[k], v) {
			t.Errorf("record %x is %x, want %x", k, disk[k], v)
		}
	}
	for _, key := range [][]byte{nil, make([]byte, 17), append(make([]byte, 16), 9, 1)} {
		if err := r.Rewrite(key); err == nil {
			t.Errorf("key %x was taken", key)
		}
	}
}

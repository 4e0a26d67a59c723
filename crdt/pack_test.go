package crdt

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// deflate packs with what the standard library has.
type deflate struct{ rot bool }

func (deflate) Pack(dst, val []byte) []byte {
	b := bytes.NewBuffer(dst)
	w, err := flate.NewWriter(b, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(val)
	_ = w.Close()
	return b.Bytes()
}

func (d *deflate) Unpack(packed []byte, size int) ([]byte, error) {
	val, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), int64(size)+1))
	if d.rot && len(val) > 0 {
		val[0]++
	}
	return val, err
}

func (d *testDisk) openPacking(p Packer) *Region {
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Push: true, Memory: &slabs{poison: true}, MinAway: 8, Packer: p, MinPack: 32})
	if d != nil {
		r.cfg.Values = d
	}
	return r
}

// squeezeAll packs all that can be packed.
func squeezeAll(t testing.TB, r *Region) (n int) {
	t.Helper()
	var ids []uint64
	r.EachEvictable(0, 1<<30, func(id uint64, _ int) { ids = append(ids, id) })
	for _, id := range ids {
		if r.Squeeze(id) > 0 {
			n++
		}
	}
	mustAudit(t, r)
	return n
}

func fillPacking(t testing.TB, r *Region) {
	t.Helper()
	update(t, r, func(tx *Tx) error {
		tx.Set("k", long("v"), false)
		tx.Set("n", []byte("00000000000000000000000000000000000012345678"), false)
		tx.Set("short", []byte("short"), false)
		_, _ = tx.MapSet("m", "f", long("f"))
		_, _ = tx.MapSet("m", "g", long("g"))
		noise := make([]byte, 400)
		for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
			noise[i] = byte(rng.Uint32())
		}
		tx.Set("noise", noise, false)
		return nil
	})
}

func TestPackedValuesAreRead(t *testing.T) {
	t.Parallel()
	for _, disk := range []*testDisk{nil, newDisk()} {
		r, other := disk.openPacking(&deflate{}), newTestRegion(2)
		fillPacking(t, r)
		before, took := state(r), r.InUse()
		if n := squeezeAll(t, r); n != 4 {
			t.Fatalf("%d cells packed, want 4: what is short or noise stays as it is", n)
		}
		n, size, packed := r.PackedValues()
		if away, _ := r.AwayValues(); n != 4 || size != int64(3*len(long("v"))+44) || packed >= size || away != 0 {
			t.Errorf("%d values of %d bytes are packed to %d, %d are away", n, size, packed, away)
		}
		if r.InUse() >= took {
			t.Errorf("the region takes %d bytes packed, %d before", r.InUse(), took)
		}
		if state(r) != before {
			t.Error("the region shows something else with its values packed")
		}
		v := r.View(testNow)
		v.Lazy(true)
		if b, ok, err := v.Get("k"); !ok || err != nil || !bytes.Equal(b, long("v")) {
			t.Errorf("k is %q %v %v", b, ok, err)
		}
		missing := v.Missing()
		if len(missing) != 1 || !missing[0].Packed {
			t.Fatalf("a lazy read of a packed value notes %+v", missing)
		}
		if pullAll(t, other, r, 100); state(other) != state(r) {
			t.Error("a pull of packed values brings something else")
		}
		if r.Unpack(missing[0].Key) != 1 || r.Unpack(missing[0].Key) != 0 {
			t.Error("a value does not unpack once")
		}
		if n, _, _ := r.PackedValues(); n != 3 {
			t.Errorf("%d values are packed, want 3", n)
		}
		update(t, r, func(tx *Tx) error { // over one, and beside one
			tx.Set("n", []byte("1"), false)
			_, err := tx.MapDel("m", "g")
			return err
		})
		third := newTestRegion(3)
		update(t, third, func(tx *Tx) error { _, err := tx.MapSet("m", "f", long("F")); return err })
		pullAll(t, r, third, 1<<20)
		pullAll(t, other, r, 1<<20)
		n, _, _ = r.PackedValues()
		if all := r.View(testNow).MapSiblings("m", "f"); n != 1 || len(all) != 2 || state(r) != state(other) {
			t.Errorf("%d values are packed, want that of m/f beside its sibling: %+v", n, all)
		}
		mustAudit(t, r, other)
	}
}

// TestPackedValuesLeave: what is packed is written unpacked, leaves memory next, and comes back whole.
func TestPackedValuesLeave(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r := d.openPacking(&deflate{})
	fillPacking(t, r)
	before := state(r)
	squeezeAll(t, r)
	if n := d.evictAll(t, r); n != 5 {
		t.Errorf("%d cells left, want 5", n)
	}
	if n, _, _ := r.PackedValues(); n != 0 {
		t.Errorf("%d values are packed that have left", n)
	}
	again := d.open(t, 1, false)
	if state(r) != before || state(again) != before {
		t.Error("the region shows something else")
	}
	v := r.View(testNow)
	v.Lazy(true)
	if _, _, err := v.Get("k"); !errors.Is(err, ErrAway) {
		t.Errorf("a lazy read gives %v", err)
	}
	if m := v.Missing(); len(m) != 1 || m[0].Packed || r.Return(m[0].Key, d.recs[string(m[0].Key)]) != 1 {
		t.Errorf("missing %+v", m)
	}
	mustAudit(t, r)
}

// TestPackedValueRots: the hash tells, the disk has it still; without one it is an error that names the key.
func TestPackedValueRots(t *testing.T) {
	t.Parallel()
	for _, disk := range []*testDisk{nil, newDisk()} {
		p := &deflate{}
		r := disk.openPacking(p)
		fillPacking(t, r)
		if disk != nil {
			disk.commit(r)
		}
		squeezeAll(t, r)
		p.rot = true
		b, ok, err := r.View(testNow).Get("k")
		var bad *UnreadableError
		switch {
		case disk != nil && (err != nil || !ok || !bytes.Equal(b, long("v"))):
			t.Errorf("with a disk k is %q %v %v", b, ok, err)
		case disk == nil && (!errors.As(err, &bad) || bad.Key != "k"):
			t.Errorf("without a disk k is %q, %v", b, err)
		}
	}
}

func BenchmarkPackedRead(b *testing.B) {
	r := (*testDisk)(nil).openPacking(&deflate{})
	update(b, r, func(tx *Tx) error {
		tx.Set("k", bytes.Repeat([]byte(fmt.Sprint("sensor ", 17, " ")), 100), false)
		return nil
	})
	squeezeAll(b, r)
	v := r.View(testNow)
	for b.Loop() {
		if _, ok, err := v.Get("k"); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

package crdt

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// disk is a durable image.
type disk map[string][]byte

func (d disk) commit(recs []Record) {
	for _, rec := range recs {
		if rec.Value == nil {
			delete(d, string(rec.Key))
		} else {
			d[string(rec.Key)] = bytes.Clone(rec.Value)
		}
	}
}

// load reads an image into a new incarnation.
func (d disk) load(self int) (*Region, error) {
	r := newTestRegion(self)
	for _, k := range slices.Sorted(maps.Keys(d)) {
		if err := r.Load(Record{[]byte(k), d[k]}); err != nil {
			return nil, err
		}
	}
	r.Loaded(testNow)
	return r, nil
}

// TestRecordsRoundTrip: after any number of increments, what the disk holds reads back as the replica was.
func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 13))
		a, b := newTestRegion(1), newTestRegion(2)
		d := disk{}
		for range 12 {
			scribble(rng, a, 1+rng.IntN(4))
			scribble(rng, b, 1+rng.IntN(4))
			if rng.IntN(2) == 0 { // half a pull: pieces are part of the image
				rc := b.NewReceiver()
				peer, _ := DecodeHello(b.Hello())
				if msg := a.NewPull(peer).Next(1 + rng.IntN(100)); msg != nil {
					if err := rc.Merge(msg, testNow); err != nil {
						t.Fatal(err)
					}
				}
			}
			if rng.IntN(3) == 0 {
				b.Prune(a.Self(), Seq(rng.IntN(20)))
			}
			d.commit(b.TakeDirty())
			if b.Dirty() {
				t.Fatal("dirty after TakeDirty")
			}
			c, err := d.load(3)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			mustAudit(t, c)
			if state(b) != state(c) || b.Ghosts() != c.Ghosts() || b.Bytes() != c.Bytes() || b.ContextHash() != c.ContextHash() ||
				!maps.Equal(b.Floors(), c.Floors()) || c.Dirty() {
				t.Fatalf("seed %d: reads back unequal:\n%s\n%s", seed, state(b), state(c))
			}
		}
		scribble(rng, b, 1+rng.IntN(4)) // what is not written yet goes, too
		if d.commit(b.Removal()); len(d) > 0 {
			t.Fatalf("seed %d: %d records are left after all were removed", seed, len(d))
		}
	}
}

// TestDamagedRecords flips every byte of an image in turn: that is refused, or seen in the digest or by an audit, or
// changes nothing that matters; and a replica that was loaded from it does not panic.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 14))
	a, b := newTestRegion(1), newTestRegion(2)
	for range 10 {
		scribble(rng, a, 5)
		scribble(rng, b, 3)
		pullAll(t, a, b, 60)
	}
	rc := a.NewReceiver()
	peer, _ := DecodeHello(a.Hello())
	scribble(rng, b, 10)
	if err := rc.Merge(b.NewPull(peer).Next(1), testNow); err != nil {
		t.Fatal(err)
	}
	d := disk{}
	d.commit(a.TakeDirty())
	refused, loaded := 0, 0
	for k, v := range d {
		for i := range len(k) + len(v) {
			bad := maps.Clone(d)
			if i < len(k) {
				key := []byte(k)
				key[i] ^= 1 << rng.IntN(8)
				delete(bad, k)
				bad[string(key)] = v
			} else {
				val := bytes.Clone(v)
				val[i-len(k)] ^= 1 << rng.IntN(8)
				bad[k] = val
			}
			r, err := bad.load(5)
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
					t.Fatalf("not told as damage: %v", err)
				}
				refused++
				continue
			}
			loaded++
			exercise(r, b)
		}
	}
	if refused < 100 || loaded < 100 {
		t.Fatalf("%d refused, %d loaded: the test does not test", refused, loaded)
	}
}

// exercise uses a replica that may be anything, with a healthy peer. Only panics matter.
func exercise(r, peer *Region) {
	_ = r.Audit()
	scribble(rand.New(rand.NewPCG(1, 15)), r, 8)
	r.Tick(testNow + 1<<40)
	r.TakePush()
	r.TakeDirty()
	r.Prune(testOrigin(1), 1<<50)
	for _, x := range []struct{ to, from *Region }{{newTestRegion(8), r}, {r, peer}} {
		rc := x.to.NewReceiver()
		seen, err := DecodeHello(x.to.Hello())
		if err != nil {
			return
		}
		p := x.from.NewPull(seen)
		for range 50 {
			msg := p.Next(100)
			if msg == nil || rc.Merge(msg, testNow) != nil {
				break
			}
		}
	}
}

func TestLoadRefusesWhatIsMissing(t *testing.T) {
	t.Parallel()
	a := newTestRegion(1)
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil })
	pullAll(t, a, copyWith(t, "other"), 1<<16)
	d := disk{}
	d.commit(a.TakeDirty())
	for k := range d {
		if k[16] != recOrigin {
			continue
		}
		less := maps.Clone(d)
		delete(less, k)
		if _, err := less.load(2); !errors.Is(err, ErrDamaged) {
			t.Errorf("without origin record %x: %v", k[17:], err)
		}
	}
	if err := newTestRegion(2).Load(Record{Key: []byte("short")}); !errors.Is(err, ErrDamaged) {
		t.Errorf("short key: %v", err)
	}
	for k, v := range d {
		name, ok, err := RecordName(Record{[]byte(k), v})
		if err != nil || ok != (len(k) == 17) || ok && name != "t" {
			t.Errorf("name of %x: %q %v %v", k, name, ok, err)
		}
	}
}

func copyWith(t *testing.T, key string) *Region {
	t.Helper()
	r := newTestRegion(7)
	update(t, r, func(tx *Tx) error { tx.Set(key, []byte("v"), false); return nil })
	return r
}

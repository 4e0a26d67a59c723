package fabric

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// otherLife is what a process did after a snapshot of its machine was taken, with the same origin as the process that is
// restored from it.
func otherLife(t *testing.T, r *Region, d *drive) *crdt.Region {
	t.Helper()
	core := crdt.NewRegion(crdt.Config{Name: r.name, Self: r.f.Origin(), Push: true})
	err := d.in.Load(func(k, v []byte) error {
		if id, ok := crdt.RecordRegion(k); !ok || id != r.id {
			return nil
		}
		return core.Load(crdt.Record{Key: bytes.Clone(k), Value: bytes.Clone(v)})
	})
	if err != nil {
		t.Fatal(err)
	}
	core.Loaded(r.f.now())
	return core
}

// A process that was put back to an earlier state takes a new incarnation when a peer shows that it has written more; what it
// wrote in either life is kept.
func TestRolledBackProcessGoesOnAsAnother(t *testing.T) {
	for _, first := range []string{"push", "pull"} {
		t.Run(first, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { rollBack(t, first == "push") })
		})
	}
}

func rollBack(t *testing.T, push bool) {
	m := NewMesh(1)
	d := &drive{}
	a, b := stored(t, m, "a", d), node(t, m, "b")
	ra, rb := region(t, a, "default"), region(t, b, "default")
	set(t, ra, "k", "v")
	add(t, ra, "n", 5)
	time.Sleep(3 * time.Second)
	m.Cut("a", "b")
	time.Sleep(time.Second)

	life := otherLife(t, ra, d)
	err := life.Update(a.now(), func(tx *crdt.Tx) error {
		tx.Set("one", []byte("life"), false)
		tx.Set("shared", []byte("of one"), false)
		_, err := tx.Incr("n", 10)
		tx.Set("more", []byte("so that it is ahead"), false)
		return err
	})
	frames := life.TakePush()
	for _, frame := range frames {
		if _, e := b.onPush(frame); e != nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	set(t, ra, "other", "life")
	set(t, ra, "shared", "of other")
	old := a.Origin()
	if push {
		if _, err := a.onPush(frames[len(frames)-1]); !errors.Is(err, crdt.ErrRolledBack) {
			t.Fatalf("got %v", err)
		}
	}
	m.Heal("a", "b")
	time.Sleep(5 * time.Second)

	if a.Origin() == old {
		t.Fatal("a writes on as before")
	}
	sameState(t, ra, rb)
	for key, want := range map[string]string{"k": "v", "one": "life", "other": "life", "more": "so that it is ahead"} {
		if got := get(t, rb, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if vs, err := RegisterOf[string](rb, "shared").All(); len(vs) != 2 || err != nil {
		t.Errorf("both lives wrote shared: %q, %v", vs, err)
	}
	if n, err := CounterOf(ra, "n").Value(); n != 15 || err != nil {
		t.Errorf("n is %d, %v", n, err)
	}
	for _, f := range []*Fabric{a, b} {
		if got := kinds(f); got != "rolled-back@a" {
			t.Errorf("alarms of %s: %q", f.Node(), got)
		}
	}
	if x := b.Alarms(); len(x) == 1 && !strings.Contains(x[0].Detail, "2 writes were made again, and 0 could not be") {
		t.Errorf("detail: %s", x[0].Detail)
	}
	if c := claims(b, "a"); len(c) != 1 || c[0].origin != a.Origin() {
		t.Errorf("record of a: %v", c)
	}
	set(t, ra, "after", "v")
	time.Sleep(2 * time.Second)
	if got := get(t, rb, "after"); got != "v" {
		t.Errorf("after: %q", got)
	}
	if n, err := b.ClearAlarm(t.Context(), AlarmRolledBack, ""); n != 1 || err != nil {
		t.Errorf("cleared %d, %v", n, err)
	}
	before := ra.status()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = stored(t, m, "a", d)
	if s := region(t, a, "default").status(); s.Digest != before.Digest {
		t.Errorf("digest %s after a restart, %s before", s.Digest, before.Digest)
	}
}

// A peer that tells stories makes this node take a new incarnation once a minute at most.
func TestStoriesOfARollBackCostLittle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		set(t, region(t, a, "default"), "k", "v")
		tell := func() {
			liar := crdt.NewRegion(crdt.Config{Name: DefaultRegion, Self: a.Origin(), Push: true})
			for range 5 {
				if err := liar.Update(a.now(), func(tx *crdt.Tx) error { tx.Set("k", []byte("w"), false); return nil }); err != nil {
					t.Fatal(err)
				}
				for _, frame := range liar.TakePush() {
					_, _ = a.onPush(frame)
				}
			}
		}
		first := a.Origin()
		tell()
		second := a.Origin()
		tell()
		if first == second || a.Origin() != second {
			t.Errorf("%v, %v, %v", first, second, a.Origin())
		}
		time.Sleep(rollbackApart)
		tell()
		if a.Origin() == second {
			t.Error("the next one was not taken")
		}
	})
}

func add(t *testing.T, r *Region, key string, n int64) {
	t.Helper()
	if _, err := CounterOf(r, key).Add(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

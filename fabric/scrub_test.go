package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// fork lets two nodes see the same dots with other contents.
func fork(t *testing.T, a, b *Fabric, n int) {
	t.Helper()
	stranger := crdt.NewOrigin("stranger", crdt.Nonce{1})
	for _, x := range []struct {
		f   *Fabric
		val string
	}{{a, "one"}, {b, "another"}} {
		core := crdt.NewRegion(crdt.Config{Name: DefaultRegion, Self: stranger, Push: true})
		for i := range n {
			key := string(rune('A' + i))
			if err := core.Update(a.now(), func(tx *crdt.Tx) error { tx.Set(key, []byte(x.val), false); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, frame := range core.TakePush() {
			if _, err := x.f.onPush(frame); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestScrubMendsReplicasThatDiverged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		set(t, ra, "k", "v")
		time.Sleep(5 * time.Second)
		rep, err := a.Scrub(t.Context(), "")
		if err != nil || rep.Peers != 1 || rep.Compared != 2 || rep.Moving != 0 || rep.Audited != 2 || len(rep.Findings)+len(rep.Failed) > 0 {
			t.Errorf("in order: %+v, %v", rep, err)
		}
		fork(t, a, b, 3)
		synctest.Wait()
		if x, y := ra.sum(), rb.sum(); x.context != y.context || x.digest == y.digest {
			t.Fatalf("no fork: %+v, %+v", x, y)
		}
		if rep, err = a.Scrub(t.Context(), DefaultRegion); err != nil || len(rep.Findings) != 1 || rep.Findings[0].Peer != "b" || len(rep.Failed) > 0 {
			t.Errorf("diverged: %+v, %v", rep, err)
		}
		time.Sleep(5 * time.Second)
		sameState(t, ra, rb)
		for _, r := range []*Region{ra, rb} {
			if vs, err := RegisterOf[string](r, "A").All(); len(vs) != 2 || err != nil {
				t.Errorf("%s holds %q, %v", r.f.Node(), vs, err)
			}
		}
		for _, f := range []*Fabric{a, b} {
			if got := kinds(f); got != "diverged@a diverged@b" {
				t.Errorf("alarms of %s: %q", f.Node(), got)
			}
			if s := f.ScrubStats(); s.Diverged != 1 || s.Mended != 3 {
				t.Errorf("%s counts %+v", f.Node(), s)
			}
		}
		if _, err := a.ClearAlarm(t.Context(), AlarmDiverged, ""); err != nil {
			t.Fatal(err)
		}
		if rep, err = b.Scrub(t.Context(), ""); err != nil || len(rep.Findings) > 0 {
			t.Errorf("mended: %+v, %v", rep, err)
		}
	})
}

// Nobody has to ask.
func TestPatrolFindsWhatDiverged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		time.Sleep(5 * time.Second)
		fork(t, a, b, 1)
		time.Sleep(a.cfg.ScrubEvery * 3 / 2)
		sameState(t, region(t, a, "default"), region(t, b, "default"))
		if got := kinds(b); got != "diverged@a diverged@b" {
			t.Errorf("alarms: %q", got)
		}
		if x, y := a.ScrubStats(), b.ScrubStats(); x.Passes+y.Passes == 0 || x.Compared+y.Compared == 0 {
			t.Errorf("counted %+v, %+v", x, y)
		}
	})
}

// A bit that flips in memory does not go unnoticed.
func TestScrubFindsFlippedBits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), Config{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		r := region(t, f, "default")
		set(t, r, "k", "value")
		r.mu.Lock()
		val, _, _ := r.core.View(f.now()).Get("k")
		val[2] ^= 4
		r.mu.Unlock()
		rep, err := f.Scrub(t.Context(), "")
		if err != nil || len(rep.Findings) != 1 || rep.Findings[0].Region != "default" {
			t.Errorf("%+v, %v", rep, err)
		}
		if got := kinds(f); got != "damaged@a" {
			t.Errorf("alarms: %q", got)
		}
		if _, err := f.Scrub(t.Context(), "absent"); !errors.Is(err, ErrNoRegion) {
			t.Errorf("got %v", err)
		}
	})
}

// lost is what a storage says of a record that it cannot read.
type lost struct{ key []byte }

func (e lost) Error() string      { return "bad checksum" }
func (e lost) DamagedKey() []byte { return e.key }

// What is wrong on disk is written anew, and the next scrub finds nothing.
func TestScrubMendsTheDisk(t *testing.T) {
	for name, rot := range map[string]func(key, value []byte) ([]byte, error){
		"unreadable": func(key, value []byte) ([]byte, error) { return nil, lost{bytes.Clone(key)} },
		"rotten": func(key, value []byte) ([]byte, error) {
			value = bytes.Clone(value)
			value[bytes.Index(value, []byte("needle"))] ^= 1
			return value, nil
		},
		"nonsense": func(key, value []byte) ([]byte, error) { return append(bytes.Clone(value), 1), nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				m := NewMesh(1)
				d := &drive{}
				f := stored(t, m, "a", d)
				r := region(t, f, "default")
				for i := range 50 {
					set(t, r, fmt.Sprint("k", i), "v")
				}
				set(t, r, "bad", "the needle")
				time.Sleep(2 * time.Second)
				rep, err := f.Scrub(t.Context(), "")
				if err != nil || rep.Records < 53 || len(rep.Findings)+len(rep.Failed) > 0 {
					t.Fatalf("in order: %+v, %v", rep, err)
				}
				var bad []byte
				d.rot = func(key, value []byte) ([]byte, error) {
					if bad == nil && bytes.Contains(value, []byte("needle")) {
						bad = bytes.Clone(value)
					}
					if !bytes.Equal(value, bad) || f.ScrubStats().Rewritten > 0 {
						return value, nil
					}
					return rot(key, value)
				}
				if rep, err = f.Scrub(t.Context(), ""); err != nil || len(rep.Findings) != 1 || len(rep.Failed) > 0 {
					t.Errorf("damaged: %+v, %v", rep, err)
				}
				if s := f.ScrubStats(); s.Rewritten != 1 || s.Restored != 0 {
					t.Errorf("counted %+v", s)
				}
				if got := kinds(f); got != "damaged@a" {
					t.Errorf("alarms: %q", got)
				}
				if rep, err = f.Scrub(t.Context(), ""); err != nil || len(rep.Findings)+len(rep.Failed) > 0 {
					t.Errorf("mended: %+v, %v", rep, err)
				}
			})
		})
	}
}

// A bit that flips in memory is put right from disk.
func TestScrubRestoresMemory(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		f := stored(t, m, "a", &drive{})
		r := region(t, f, "default")
		for i := range 2 * auditMax {
			set(t, r, fmt.Sprint("k", i), "value")
		}
		time.Sleep(2 * time.Second)
		r.mu.Lock()
		val, _, _ := r.core.View(f.now()).Get("k7")
		val[2] ^= 4
		r.mu.Unlock()
		rep, err := f.Scrub(t.Context(), "")
		if err != nil || len(rep.Findings) != 2 || f.ScrubStats().Restored != 1 {
			t.Errorf("%+v, %v, %+v", rep, err, f.ScrubStats())
		}
		if got := get(t, r, "k7"); got != "value" {
			t.Errorf("it reads %q", got)
		}
		if rep, err = f.Scrub(t.Context(), ""); err != nil || len(rep.Findings) > 0 {
			t.Errorf("mended: %+v, %v", rep, err)
		}
	})
}

// Nothing is found where nothing is wrong, whatever is written meanwhile.
func TestScrubOfABusyRegionFindsNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		f := stored(t, m, "a", &drive{})
		g := node(t, m, "b")
		r := region(t, f, "default")
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(700 * time.Microsecond):
				}
				for _, r := range []*Region{r, region(t, g, "default")} {
					set(t, r, fmt.Sprint("k", i%3000), string(make([]byte, 200)))
				}
				if i%3 == 0 {
					_, _ = RegisterOf[string](r, fmt.Sprint("k", i%1000)).Delete(t.Context())
				}
			}
		}()
		for range 20 {
			time.Sleep(300 * time.Millisecond)
			rep, err := f.Scrub(t.Context(), "")
			if err != nil || len(rep.Findings)+len(rep.Failed) > 0 {
				t.Errorf("%+v, %v", rep, err)
			}
		}
		close(stop)
		<-done
	})
}

// What two nodes in step say to each other for a scrub does not grow with their regions.
func TestScrubOfEqualsCostsLittle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		for i := range 500 {
			set(t, region(t, a, string(rune('A'+i%26))+string(rune('a'+i/26))), "k", "v")
		}
		time.Sleep(10 * time.Second)
		here, there := net.Pipe()
		go func() {
			_ = b.mesh.serveScrub("a", newConn(context.Background(), there, limits{}))
			_ = there.Close()
		}()
		c := newConn(context.Background(), here, limits{})
		var rep ScrubReport
		suspects, err := a.mesh.scrubs.sift(c, a.all(), &rep)
		_ = here.Close()
		if err != nil || len(suspects) > 0 || rep.Compared < 500 {
			t.Errorf("%v, %v, %+v", suspects, err, rep)
		}
		if c.out > 2100 || c.in > 100 {
			t.Errorf("%d bytes out, %d in", c.out, c.in)
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add(appendSums(nil, []sum{{crdt.RegionID{1}, 2, 3}, {}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := decodeSums(b); err == nil && !bytes.Equal(appendSums(nil, list), b) {
			t.Error("not read as it was written")
		}
	})
}

// BenchmarkAudit is how long the largest region that is checked under one lock holds it.
func BenchmarkAudit(b *testing.B) {
	f, err := Open(b.Context(), Config{Name: "n"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := f.Region("big")
	if err != nil {
		b.Fatal(err)
	}
	for i := range auditMax {
		key := fmt.Sprint("key-of-the-usual-size-", i)
		if err := r.Update(b.Context(), func(tx *crdt.Tx) error { tx.Set(key, make([]byte, 100), false); return nil }); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		var rep ScrubReport
		if f.mesh.scrubs.audit(b.Context(), r, &rep); rep.Audited != 1 {
			b.Fatal(rep)
		}
	}
}

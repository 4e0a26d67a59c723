package fabric

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

func onDisk(t *testing.T, m *Mesh, id crdt.NodeID, d *storetest.Disk, c Config) *Fabric {
	t.Helper()
	s, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Storage, c.Transport = string(id), s, m.Node(id)
	f, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // a crash may have taken the store
	return f
}

var errFull = errors.New("the file system of /data/store has 1048576 bytes free, the store needs 33554432; make room and try again")

// TestFullDiskReadsAndMerges fills the disk of one of two nodes, and frees it again, with a crash on the way.
func TestFullDiskReadsAndMerges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m, d, reg := NewMesh(1), &storetest.Disk{}, prometheus.NewRegistry()
		a := onDisk(t, m, "a", d, Config{Registerer: reg})
		b := node(t, m, "b")
		synctest.Wait()
		set(t, region(t, a, "default"), "mine", "before")
		set(t, region(t, b, "default"), "theirs", "before")
		time.Sleep(2 * time.Second)

		d.Fill(errFull)
		time.Sleep(2 * time.Second)
		err := region(t, a, "default").Update(t.Context(), func(tx *crdt.Tx) error { tx.Set("mine", []byte("refused"), false); return nil })
		if !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), "/data/store") || !strings.Contains(err.Error(), "make room") {
			t.Errorf("a write: %v, want ErrDiskFull that names the disk", err)
		}
		if _, err := a.CreateRegion(t.Context(), "new", RegionConfig{}); !errors.Is(err, ErrDiskFull) {
			t.Errorf("a new region: %v, want ErrDiskFull", err)
		}
		set(t, region(t, b, "default"), "theirs", "meanwhile")
		time.Sleep(2 * time.Second)
		if got := get(t, region(t, a, "default"), "theirs") + get(t, region(t, a, "default"), "mine"); got != "meanwhilebefore" {
			t.Errorf("reads: %q", got)
		}
		if s := a.Disk(); !s.Full || s.Unsaved == 0 || s.Held || s.Refused != 2 || s.Detail == "" {
			t.Errorf("status: %+v", s)
		}
		for _, f := range []*Fabric{a, b} {
			if got := kinds(f); got != "disk-full@a" {
				t.Errorf("alarms at %s: %q", f.Node(), got)
			}
		}
		if got := gathered(t, reg, "edgemem_disk_full"); got != 1 {
			t.Errorf("edgemem_disk_full is %v", got)
		}

		d.Fill(nil)
		time.Sleep(3 * time.Second)
		set(t, region(t, a, "default"), "mine", "after")
		time.Sleep(2 * time.Second)
		if got := kinds(a) + kinds(b); got != "" || a.Disk().Full {
			t.Errorf("with room again: alarms %q, %+v", got, a.Disk())
		}
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		again := onDisk(t, NewMesh(1), "a", d, Config{})
		if got := get(t, region(t, again, "default"), "theirs") + get(t, region(t, again, "default"), "mine"); got != "meanwhileafter" {
			t.Errorf("after a crash: %q", got)
		}
	})
}

// TestFullDiskBoundsMerges lets a peer write more than may be merged without a disk: it waits there, and comes when there is room.
func TestFullDiskBoundsMerges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m, d := NewMesh(1), &storetest.Disk{}
		a := onDisk(t, m, "a", d, Config{MaxBacklog: 100, MaxUnsaved: 500})
		b := node(t, m, "b")
		synctest.Wait()
		d.Fill(errFull)
		time.Sleep(2 * time.Second)
		for i := range 4000 {
			set(t, region(t, b, "default"), fmt.Sprint("k", i), "v")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		s := a.Disk()
		if n := region(t, a, "default").status().Entries; !s.Held || n >= 4000 || n < 500 {
			t.Errorf("%d entries, %+v", n, s)
		}
		d.Fill(nil)
		time.Sleep(6 * time.Minute)
		sameState(t, region(t, a, "default"), region(t, b, "default"))
	})
}

// TestDiskWriteMeetsFullDisk: a write whose commit finds the disk full is not acknowledged, and is not lost.
func TestDiskWriteMeetsFullDisk(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r, err := f.CreateRegion(t.Context(), "safe", RegionConfig{Ack: AckDisk})
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Apply(func(tx *crdt.Tx) error { tx.Set("k", []byte("v"), false); return nil })
		if err != nil {
			t.Fatal(err)
		}
		d.Fill(errFull)
		if err := c.Wait(t.Context()); !errors.Is(err, ErrNotDurable) || !errors.Is(err, ErrDiskFull) {
			t.Errorf("got %v, want ErrNotDurable and ErrDiskFull", err)
		}
		d.Fill(nil)
		time.Sleep(3 * time.Second)
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		if got := get(t, region(t, boot(t, d), "safe"), "k"); got != "v" {
			t.Errorf("after a crash: %q", got)
		}
	})
}

// TestFullDiskTakesRemoves: while other writes are refused, what removes is durable when it says so, with what was merged before it; and it is
// refused too when the disk has no room even for that.
func TestFullDiskTakesRemoves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m, d := NewMesh(1), &storetest.Disk{}
		a := onDisk(t, m, "a", d, Config{})
		b := node(t, m, "b")
		synctest.Wait()
		safe, err := a.CreateRegion(t.Context(), "safe", RegionConfig{Ack: AckDisk})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"keep", "go", "stay"} {
			set(t, safe, key, "v")
		}
		time.Sleep(2 * time.Second)
		d.Fill(errFull)
		d.Spare(true)
		time.Sleep(2 * time.Second)
		set(t, region(t, b, "safe"), "merged", "v")
		time.Sleep(2 * time.Second)

		if err := safe.Update(t.Context(), func(tx *crdt.Tx) error { tx.Set("keep", []byte("w"), false); return nil }); !errors.Is(err, ErrDiskFull) {
			t.Errorf("a write: %v, want ErrDiskFull", err)
		}
		if found, err := RegisterOf[string](safe, "go").Delete(t.Context()); !found || err != nil {
			t.Errorf("a remove: %v, %v", found, err)
		}
		if s := a.Disk(); !s.Full {
			t.Errorf("status: %+v", s)
		}
		d.Spare(false)
		if _, err := RegisterOf[string](safe, "stay").Delete(t.Context()); !errors.Is(err, ErrDiskFull) {
			t.Errorf("a remove without room: %v, want ErrDiskFull", err)
		}
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		d.Fill(nil)
		again := region(t, onDisk(t, NewMesh(1), "a", d, Config{}), "safe")
		if got := get(t, again, "keep") + get(t, again, "go") + get(t, again, "stay") + get(t, again, "merged"); got != "vvv" {
			t.Errorf("after a crash: %q, want keep, stay and merged", got)
		}
	})
}

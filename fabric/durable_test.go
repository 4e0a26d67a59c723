package fabric

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// boot opens a node on a disk.
func boot(t *testing.T, d *storetest.Disk) *Fabric {
	t.Helper()
	s, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), Config{Name: "n", Storage: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestDiskAcknowledgedSurvivesCrash(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r, err := f.CreateRegion(t.Context(), "safe", RegionConfig{Ack: AckDisk})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			set(t, r, fmt.Sprint("k", i), "v")
		}
		if _, err := CounterOf(r, "n").Add(t.Context(), 41); err != nil {
			t.Fatal(err)
		}
		before := r.status()
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		g := boot(t, d)
		s := region(t, g, "safe")
		after := s.status()
		if after.Digest != before.Digest || after.Entries != 101 || s.Ack() != AckDisk {
			t.Errorf("digest %s → %s, %d entries, ack %s", before.Digest, after.Digest, after.Entries, s.Ack())
		}
		if g.Origin() == f.Origin() {
			t.Error("the restarted node writes with the old origin")
		}
		if n, err := CounterOf(s, "n").Add(t.Context(), 1); n != 42 || err != nil {
			t.Errorf("counter: %d, %v", n, err)
		}
	})
}

func TestMemoryWritesReachTheDiskSoon(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		set(t, region(t, f, "default"), "k", "v")
		time.Sleep(1100 * time.Millisecond)
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		if got := get(t, region(t, boot(t, d), "default"), "k"); got != "v" {
			t.Errorf("after the crash: %q", got)
		}
	})
}

func TestGroupCommitShares(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r, err := f.CreateRegion(t.Context(), "safe", RegionConfig{Ack: AckDisk})
		if err != nil {
			t.Fatal(err)
		}
		release := d.Hold()
		done := make(chan error, 64)
		for i := range 64 {
			go func() {
				done <- r.Update(context.Background(), func(tx *crdt.Tx) error { tx.Set(fmt.Sprint(i), nil, false); return nil })
			}()
		}
		synctest.Wait()
		select {
		case <-done:
			t.Error("acknowledged before the disk had it")
		default:
		}
		release()
		for range 64 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestFullDiskIsToldAndRecovered(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r, err := f.CreateRegion(t.Context(), "safe", RegionConfig{Ack: AckDisk})
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("no space left")
		d.Refuse(full)
		err = r.Update(t.Context(), func(tx *crdt.Tx) error { tx.Set("k", []byte("v"), false); return nil })
		if !errors.Is(err, ErrNotDurable) || !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		if got := get(t, r, "k"); got != "v" {
			t.Errorf("in memory: %q", got)
		}
		time.Sleep(3 * time.Second)
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		if got := get(t, region(t, boot(t, d), "safe"), "k"); got != "v" {
			t.Errorf("after the disk had room again, and a crash: %q", got)
		}
	})
}

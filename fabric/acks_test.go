package fabric

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// A region that stays disk must never look like memory, not even while the catalogue is read again.
func TestAckNeverFlickers(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := region(t, f, "safe")
	r.configure(declaration{ack: "disk"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2_000_000 {
			r.configure(declaration{ack: "disk"})
		}
	}()
	for n := 0; ; n++ {
		if r.Ack() != AckDisk {
			t.Fatal("a disk region acknowledged as memory for a moment")
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// Regions created side by side all keep what they were created with: the last reader of the catalogue reads the
// last state.
func TestConcurrentCreationsAllCount(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for round := range 50 {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if _, err := f.CreateRegion(t.Context(), fmt.Sprint(round, "/", i), RegionConfig{Ack: AckDisk}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range 8 {
			if r := region(t, f, fmt.Sprint(round, "/", i)); r.Ack() != AckDisk {
				t.Fatalf("%s was created as disk, and is %s", r.Name(), r.Ack())
			}
		}
	}
}

// What a newer version may ask for is more than memory.
func TestUnknownAckIsTakenAsDisk(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	err = f.catalogue.Update(t.Context(), func(tx *crdt.Tx) error {
		_, err := tx.MapSet("ledger", "ack", []byte("three sites"))
		return err
	})
	if r := region(t, f, "ledger"); err != nil || r.Ack() != AckDisk {
		t.Errorf("ack %s, %v", r.Ack(), err)
	}
}

// Waiting for a batch that is under way must not send the next one early: that would be a second fsync for
// nothing.
func TestWaitersOfABatchDoNotHurryTheNext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r := region(t, f, "default")
		release := d.Hold()
		c, err := r.Apply(func(tx *crdt.Tx) error { tx.Set("a", nil, false); return nil })
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the batch is with the disk
		done := make(chan error, 1)
		go func() { done <- c.Sync(t.Context()) }()
		synctest.Wait()
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.commits.mu.Lock()
		defer f.commits.mu.Unlock()
		if f.commits.urgent {
			t.Error("the next batch is hurried, and nobody waits for it")
		}
	})
}

package fabric

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// TestReadersWriteNothingThatOthersRead: a region that is only read lets its readers take seats, and a write ends that.
func TestReadersWriteNothingThatOthersRead(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) { readersSit(t, openMemory(t)) }) // where the fabric's own ticks come when they are let
}

func readersSit(t *testing.T, r *Region) {
	set := func() { mustUpdate(t, r, func(tx *crdt.Tx) error { tx.Set("k", []byte("v"), false); return nil }) }
	set()
	for range openAfter {
		if r.mu.open.Load() {
			t.Fatal("open already")
		}
		_ = r.View(func(*crdt.View) {})
	}
	if !r.mu.open.Load() {
		t.Fatalf("still an ordinary lock after %d reads", openAfter)
	}
	_ = r.View(func(v *crdt.View) {
		if n := seated(r); n != 1 {
			t.Errorf("%d readers sit", n)
		}
		_ = r.View(func(again *crdt.View) { // nested readers may share a seat's place, and must not share its view
			if again == v {
				t.Error("two readers have one view")
			}
		})
		if val, ok, err := v.Get("k"); string(val) != "v" || !ok || err != nil {
			t.Errorf("%q, %v, %v", val, ok, err)
		}
	})
	if n := seated(r); n != 0 {
		t.Errorf("%d readers sit there still", n)
	}
	set()
	if r.mu.open.Load() {
		t.Error("a write did not close the lock")
	}
}

// TestReaderThatPanicsLeaves its seat, so that writers go on.
func TestReaderThatPanicsLeaves(t *testing.T) {
	t.Parallel()
	r := openMemory(t)
	r.mu.open.Store(true)
	func() {
		defer func() { _ = recover() }()
		_ = r.View(func(*crdt.View) { panic("a reader's own bug") })
	}()
	mustUpdate(t, r, func(tx *crdt.Tx) error { tx.Set("k", nil, false); return nil })
}

// TestWriterWaitsForReaders, for one that sits longer than a writer looks, too.
func TestWriterWaitsForReaders(t *testing.T) {
	t.Parallel()
	r := openMemory(t)
	r.mu.open.Store(true)
	begun, end := make(chan struct{}), make(chan struct{})
	left := false
	var reader, writer sync.WaitGroup
	reader.Go(func() {
		_ = r.View(func(*crdt.View) {
			close(begun)
			<-end
			left = true
		})
	})
	<-begun
	writer.Go(func() {
		mustUpdate(t, r, func(tx *crdt.Tx) error {
			if !left {
				t.Error("a write while somebody reads")
			}
			return nil
		})
	})
	for r.mu.waits.Load() == nil {
		runtime.Gosched()
	}
	close(end)
	reader.Wait()
	writer.Wait()
}

// TestReadersSeeWholeWrites from many goroutines, while the lock opens and closes.
func TestReadersSeeWholeWrites(t *testing.T) {
	t.Parallel()
	const readers, writes = 4, 50
	r := openMemory(t)
	write := func(i int) {
		mustUpdate(t, r, func(tx *crdt.Tx) error {
			for k := range 3 {
				tx.Set(fmt.Sprint("k", k), fmt.Append(nil, i), false)
			}
			return nil
		})
	}
	write(0)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = r.View(func(v *crdt.View) {
					first, _, _ := v.Get("k0")
					for k := range 3 {
						if val, ok, err := v.Get(fmt.Sprint("k", k)); string(val) != string(first) || !ok || err != nil {
							t.Errorf("k0 is %s, k%d is %s, %v, %v", first, k, val, ok, err)
						}
					}
				})
			}
		})
	}
	buf := make([]byte, 0, 8)
	for i := range writes {
		write(i)
		for range 2 * openAfter {
			if val, ok, err := r.Get(buf, "k1"); string(val) != fmt.Sprint(i) || !ok || err != nil {
				t.Fatalf("k1 is %s, not %d, %v, %v", val, i, ok, err)
			}
		}
	}
	close(stop)
	all.Wait()
}

func TestGetAppends(t *testing.T) { // counts allocations: not parallel
	r := openMemory(t)
	mustUpdate(t, r, func(tx *crdt.Tx) error {
		tx.Set("k", []byte("value"), false)
		_, err := tx.SetAdd("s", "m")
		return err
	})
	if val, ok, err := r.Get([]byte("a "), "k"); string(val) != "a value" || !ok || err != nil {
		t.Errorf("%q, %v, %v", val, ok, err)
	}
	if val, ok, err := r.Get([]byte("a "), "absent"); string(val) != "a " || ok || err != nil {
		t.Errorf("%q, %v, %v", val, ok, err)
	}
	if _, ok, err := r.Get(nil, "s"); ok || !errors.Is(err, crdt.ErrWrongType) {
		t.Errorf("%v, %v", ok, err)
	}
	buf := make([]byte, 0, 16)
	if n := testing.AllocsPerRun(100, func() { _, _, _ = r.Get(buf, "k") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// seated counts the readers that sit.
func seated(r *Region) (n int) {
	for i := range *r.mu.seats {
		if (*r.mu.seats)[i].of.Load() == &r.mu {
			n++
		}
	}
	return n
}

func openMemory(t *testing.T) *Region {
	t.Helper()
	f, err := Open(t.Context(), Config{Name: "seats"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	r, err := f.Region(DefaultRegion)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustUpdate(t *testing.T, r *Region, fn func(tx *crdt.Tx) error) {
	t.Helper()
	if err := r.Update(t.Context(), fn); err != nil {
		t.Error(err)
	}
}

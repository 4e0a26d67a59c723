package fabric

import (
	"fmt"
	"sync"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestOrdersWhileReadersRead: readers side by side make an order, keep it, and see it right while writers change the set.
func TestOrdersWhileReadersRead(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := f.Region("r")
	if err != nil {
		t.Fatal(err)
	}
	write := func(i int) {
		if err := r.Update(t.Context(), func(tx *crdt.Tx) error {
			_, err := tx.SortedSet("z", fmt.Sprint(i%300), float64(i*7919%1000))
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	for i := range 300 {
		write(i)
	}
	before := r.core.InUse()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				n, last := 0, -1.0
				if err := r.View(func(v *crdt.View) {
					_ = v.SortedEach("z", 0, false, func(_ []byte, score float64) bool {
						if score < last {
							t.Errorf("%v behind %v", score, last)
						}
						n, last = n+1, score
						return true
					})
				}); err != nil || n != 300 {
					t.Errorf("%d members, %v", n, err)
				}
			}
		})
	}
	for i := range 400 {
		write(i + 1000)
	}
	wg.Wait()
	if err := r.View(func(v *crdt.View) { _, _, _ = v.SortedRank("z", "1") }); err != nil {
		t.Fatal(err)
	}
	if r.core.InUse() <= before {
		t.Error("no order is kept")
	}
	f.dropOrders()
	if err := r.core.Audit(); err != nil {
		t.Error(err)
	}
}

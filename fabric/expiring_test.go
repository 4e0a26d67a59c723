package fabric

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// Keys that expire faster than one sweep removes them must not pile up.
func TestExpiredKeysAreRemovedAsFastAsTheyCome(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), Config{Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		r := region(t, f, "default")
		for i := range 5000 {
			key := fmt.Sprint(i)
			err := r.Update(t.Context(), func(tx *crdt.Tx) error {
				tx.Set(key, nil, false)
				tx.Expire(key, tx.Now()+1000)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		if n := r.status().Entries; n != 0 {
			t.Errorf("%d expired entries are still held", n)
		}
	})
}

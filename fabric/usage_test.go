package fabric

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// TestUsage: what is counted in slices is what one look finds, the origins that are not listed are summed up, and it can be broken off.
func TestUsage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		f := node(t, m, "a")
		r := region(t, f, "r")
		for i := range 3 {
			err := r.Update(t.Context(), func(tx *crdt.Tx) error {
				for j := range usageStep {
					tx.Set(fmt.Sprint(i, "-", j), []byte("value"), false)
				}
				tx.Del("0-0")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // what writes left for the disk and the peers has gone: two looks find the same
		u, err := f.RegionUsage(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		want := Measure(r.core)
		if len(u.ByOrigin) != 1 || u.ByOrigin[0].Node != "a" || u.ByOrigin[0].Live != 3*usageStep-1 || u.ValueBytes != u.ByOrigin[0].Bytes+3 /* the key of the removed one */ || len(u.Slots) == 0 {
			t.Errorf("usage %+v", u)
		}
		if u.ByOrigin[0].Node = ""; want.ByOrigin[0] != u.ByOrigin[0] || want.Memory != u.Memory {
			t.Errorf("usage %+v, want %+v", u, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Usage(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("broken off: %v", err)
		}
		if _, err := f.RegionUsage(t.Context(), "none"); !errors.Is(err, ErrNoRegion) {
			t.Errorf("no region: %v", err)
		}
		by := map[crdt.Origin]*crdt.Tally{}
		for i := range originsShown + 3 {
			by[crdt.Origin{byte(i + 1)}] = &crdt.Tally{Live: 1, Bytes: int64(i), Ghosts: 2}
		}
		var many RegionUsage
		many.split(by)
		if len(many.ByOrigin) != originsShown || many.ByOrigin[0].Bytes != originsShown+2 || many.Rest != (RestUsage{3, 3, 0 + 1 + 2, 6}) {
			t.Errorf("many origins: %+v", many)
		}
	})
}

package fabric

import (
	"errors"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// What is too large is refused by every door: written, it could neither travel nor be loaded again.
func TestTooLargeIsRefusedEverywhere(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r := region(t, f, "default")
		long, ctx := strings.Repeat("k", crdt.MaxKeyBytes+1), t.Context()
		fat := make([]byte, crdt.MaxValueBytes+1)
		tx := func(fn func(tx *crdt.Tx) error) func() error { return func() error { return r.Update(ctx, fn) } }
		for name, try := range map[string]func() error{
			"register key":     func() error { return RegisterOf[string](r, long).Set(ctx, "") },
			"register value":   func() error { return RegisterOf[[]byte](r, "k").Set(ctx, fat) },
			"counter key":      func() error { _, err := CounterOf(r, long).Add(ctx, 1); return err },
			"member":           func() error { _, err := SetOf[string](r, "s").Add(ctx, long); return err },
			"field set":        func() error { return MapOf[string](r, "m").Set(ctx, long, "") },
			"field add":        func() error { _, err := MapOf[string](r, "m").Add(ctx, long, 1); return err },
			"transaction set":  tx(func(tx *crdt.Tx) error { tx.Set(long, nil, false); return nil }),
			"transaction fat":  tx(func(tx *crdt.Tx) error { tx.Set("k", fat, false); return nil }),
			"transaction incr": tx(func(tx *crdt.Tx) error { _, err := tx.Incr(long, 1); return err }),
			"transaction add":  tx(func(tx *crdt.Tx) error { _, err := tx.SetAdd("s", long); return err }),
			"transaction hset": tx(func(tx *crdt.Tx) error { _, err := tx.MapSet("m", "f", fat); return err }),
			"transaction hinc": tx(func(tx *crdt.Tx) error { _, err := tx.MapIncrFloat("m", long, "1.5"); return err }),
		} {
			if err := try(); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: %v, want ErrTooLarge", name, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		g, err := Open(ctx, Config{Name: "n", Storage: s})
		if err != nil {
			t.Fatal("the node does not start any more: ", err)
		}
		_ = g.Close()
	})
}

package fabric

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

const testBudget = 1 << 20

// fillUp writes values until one is refused, and tells how many were taken.
func fillUp(t *testing.T, r *Region, val string) int {
	t.Helper()
	for n := 0; ; n++ {
		err := RegisterOf[string](r, fmt.Sprint("k", n)).Set(t.Context(), val)
		if errors.Is(err, ErrMemoryFull) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if n > 100*testBudget/len(val) {
			t.Fatal("nothing is ever refused")
		}
	}
}

// TestMemoryBudget: writes stop at the budget less the reserve, removes and merges do not, and room lets writes in again.
func TestMemoryBudget(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := nodeWith(t, m, "a", Config{MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
		b := node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		n := fillUp(t, ra, strings.Repeat("v", 1000))
		if used := a.Memory().Used; used > testBudget*3/4+16<<10 || used < testBudget/2 {
			t.Errorf("%d bytes in use when writes are refused, of %d", used, testBudget*3/4)
		}
		time.Sleep(2 * time.Second)
		if s := a.Memory(); s.Level != "refuse" || s.Refused == 0 || s.Why == "" {
			t.Errorf("status %+v", s)
		}
		if !strings.Contains(kinds(b), AlarmMemoryFull+"@a") {
			t.Errorf("b has the alarms %q", kinds(b))
		}
		for i := range 50 { // what others write is merged from the reserve
			set(t, rb, fmt.Sprint("b", i), strings.Repeat("w", 1000))
		}
		time.Sleep(2 * time.Second)
		if got := get(t, ra, "b49"); len(got) != 1000 {
			t.Error("a does not merge")
		}
		for i := range n {
			if _, err := RegisterOf[string](ra, fmt.Sprint("k", i)).Delete(t.Context()); err != nil {
				t.Fatalf("a remove: %v", err)
			}
		}
		time.Sleep(time.Minute)
		set(t, ra, "again", "v")
		time.Sleep(time.Second)
		if s := a.Memory(); s.Level != "none" {
			t.Errorf("status %+v", s)
		}
		if all := kinds(b); all != "" {
			t.Errorf("b has the alarms %q", all)
		}
		sameState(t, ra, rb)
	})
}

// TestMergesWaitForMemory: beyond budget and reserve pulls wait with the peer, and come when there is room.
func TestMergesWaitForMemory(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := nodeWith(t, m, "a", Config{MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
		b := node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		for i := range 4 * testBudget / 10_000 {
			set(t, rb, fmt.Sprint("b", i), strings.Repeat("w", 10_000))
			if i%20 == 0 {
				time.Sleep(2 * time.Second)
			}
		}
		time.Sleep(time.Minute)
		s := a.Memory()
		if !s.Held || s.Used > 2*testBudget {
			t.Errorf("status %+v", s)
		}
		if err := rb.Update(t.Context(), func(tx *crdt.Tx) error { tx.Flush(); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := ra.Shrink(t.Context(), func(tx *crdt.Tx) error { tx.Flush(); return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		sameState(t, ra, rb)
		if s := a.Memory(); s.Held || s.Level != "none" {
			t.Errorf("status %+v", s)
		}
	})
}

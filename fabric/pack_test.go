package fabric

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// TestLargeValuesArePackedFirst: of values that compress well more stay in memory than it holds unpacked, and all read as they were written.
func TestLargeValuesArePackedFirst(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f := evicting(t, &storetest.Disk{}, Config{})
		r := region(t, f, "default")
		text := func(i int) string { return strings.Repeat(fmt.Sprintf(`{"sensor":%d,"unit":"degrees"}`, i), 100) }
		n := 2 * smallBudget / len(text(0))
		for i := range n {
			set(t, r, fmt.Sprint("k", i), text(i))
		}
		s := f.Eviction()
		if s.Packed < n/2 || s.PackedSize > s.PackedBytes/4 || s.Away > n/4 {
			t.Errorf("of %d values of twice the budget: %+v", n, s)
		}
		for i := range n {
			if got := get(t, r, fmt.Sprint("k", i)); got != text(i) {
				t.Fatalf("k%d is %.40q", i, got)
			}
		}
		if again := f.Eviction(); again.Faults > uint64(n/4) {
			t.Errorf("%d values were read from disk, of %d that are packed", again.Faults, s.Packed)
		}
		if m := f.Memory(); m.Refused > 0 || m.Used > smallBudget-smallReserve {
			t.Errorf("%+v", m)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := r.core.Audit(); err != nil {
			t.Error(err)
		}
	})
}

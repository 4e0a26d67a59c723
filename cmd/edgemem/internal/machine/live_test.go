package machine

import (
	"os"
	"runtime"
	"testing"
)

// TestThisMachine reads what the tests run on: nothing is known of it but that it has memory.
func TestThisMachine(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("no such files")
	}
	m, err := Find(os.DirFS("/"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Sample()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("limits %v, tightest %v, now %+v, plan %+v", m.Limits, m.Tightest(), s, PlanFor(m.Tightest(), Wish{}, true, 64))
	if m.Physical == 0 || s.Available == 0 || m.Tightest().Bytes == 0 {
		t.Error("this machine has no memory")
	}
}

func BenchmarkSample(b *testing.B) {
	m, err := Find(os.DirFS("/"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Sample(); err != nil {
			b.Fatal(err)
		}
	}
}

package crdt

import (
	"fmt"
	"testing"
)

// A pull brings entries in the order of their hashes. That must cost no more than any other order.
func TestTableTakesHashesInOrder(t *testing.T) {
	t.Parallel()
	const n = 1 << 16
	var tab table
	host := newThings()
	total := 0
	for i := range uint64(n) {
		h := i << 48
		x := host.add(h)
		tab.insert(host, h, x)
		total += tab.indexOf(h, x) - tab.home(h>>refBits)
	}
	if total > 64*n {
		t.Errorf("%d slots looked at for %d items", total, n)
	}
	if tab.len() > 4*n {
		t.Errorf("%d slots for %d items", tab.len(), n)
	}
	for i := range uint64(n) {
		h := i << 48
		x := tab.find(h, func(x uint64) bool { return host.hashes[x] == h })
		if x == 0 {
			t.Fatalf("item %d is lost", i)
		}
		tab.remove(host, h, x)
	}
	if tab.n != 0 {
		t.Errorf("%d items left", tab.n)
	}
}

func BenchmarkEmptyReplicaPulls(b *testing.B) {
	for _, n := range []int{50_000, 400_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := NewRegion(Config{Name: "t", Self: NewOrigin("a", Nonce{1})})
			_ = a.Update(1, func(tx *Tx) error {
				for i := range n {
					tx.Set(fmt.Sprintf("key:%012d", i), make([]byte, 100), false)
				}
				return nil
			})
			bytes := 0
			for b.Loop() {
				to := NewRegion(Config{Name: "t", Self: NewOrigin("b", Nonce{2})})
				rc := to.NewReceiver()
				peer, err := DecodeHello(to.Hello())
				if err != nil {
					b.Fatal(err)
				}
				p := a.NewPull(peer)
				bytes = 0
				for msg := p.Next(256 << 10); msg != nil; msg = p.Next(256 << 10) {
					bytes += len(msg)
					if err := rc.Merge(msg, 1); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
			b.ReportMetric(float64(bytes)/float64(n*116), "wire/payload")
		})
	}
}

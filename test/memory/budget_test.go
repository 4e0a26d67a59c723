// Package memory tests what keeps a node within its memory, together: pools, eviction and pressure.
package memory

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgemem/edgemem/tiers/evict"
	"github.com/edgemem/edgemem/tiers/offheap"
	"github.com/edgemem/edgemem/tiers/pressure"
)

const (
	keys    = 60_000
	budget  = 4 << 20
	reserve = budget / 16
	tickOps = 500
	tick    = 100 * time.Millisecond
)

// A node is the least that the three need around them: values of which memory holds some, and all can be read back.
type node struct {
	heap   *offheap.Heap
	pool   *offheap.Pool
	gauge  *pressure.Gauge
	policy evict.Policy
	held   map[uint64]value
	now    time.Time
	last   pressure.Verdict
}

type value struct {
	ref  offheap.Ref
	slot evict.Slot
}

// TestARegionOfFourBudgets reads and writes values of four times the budget, in all sizes, the popular ones most.
func TestARegionOfFourBudgets(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"s3fifo", "lru", "lfu", "ttl"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, newNode(t, name))
		})
	}
}

func newNode(t *testing.T, policy string) *node {
	n := &node{held: make(map[uint64]value), now: time.Unix(1, 0)}
	var err error
	if n.heap, err = offheap.New(offheap.Config{ChunkBytes: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	if n.gauge, err = pressure.New(pressure.Config{}); err != nil {
		t.Fatal(err)
	}
	if n.policy, err = evict.New(policy); err != nil {
		t.Fatal(err)
	}
	n.pool = n.heap.NewPool(offheap.Value)
	t.Cleanup(func() { _ = n.heap.Close() })
	return n
}

func run(t *testing.T, n *node) {
	rng := rand.New(rand.NewPCG(1, 1))
	zipf := rand.NewZipf(rng, 1.1, 1, keys-1)
	var reads, hits int
	var most int64
	for op := range 400_000 {
		key := zipf.Uint64()
		if v, held := n.held[key]; held {
			hits++
			n.policy.Touch(v.slot)
		} else {
			n.bring(key, 16+int(key*7919%600))
		}
		reads++
		if op%tickOps > 0 {
			continue
		}
		n.observe(rng)
		most = max(most, n.heap.Stats().Mapped)
		if u := n.pool.Usage().Used; u > budget-reserve {
			t.Fatalf("after %d reads %d bytes are used of %d for writers: %s", op, u, budget-reserve, n.last.Why())
		}
		if n.last.Level == pressure.Refuse {
			t.Fatalf("after %d reads: %s", op, n.last.Why())
		}
	}
	u := n.pool.Usage()
	t.Logf("hits %.3f; used %d, reserved %d, mapped at most %d of %d", float64(hits)/float64(reads), u.Used, u.Reserved, most, budget)
	if u.Used < budget*7/10 {
		t.Errorf("only %d of %d are used: more is evicted than needs be", u.Used, budget)
	}
	if most > budget*11/10 {
		t.Errorf("%d bytes were mapped at a time, of a budget of %d", most, budget)
	}
	if u.Requested != n.policy.Bytes() {
		t.Errorf("the policy knows of %d bytes, the pool of %d", n.policy.Bytes(), u.Requested)
	}
}

func (n *node) bring(key uint64, size int) {
	ref, b := n.pool.Alloc(size)
	b[0] = byte(key)
	n.held[key] = value{ref, n.policy.Insert(key, size, int64(key%3)*1000)}
}

// observe is what a node does every tick: look, give back, and compact when slabs hold much more than is used.
func (n *node) observe(rng *rand.Rand) {
	n.now = n.now.Add(tick)
	n.last = n.gauge.Observe(pressure.Reading{Used: n.pool.Usage().Used, Budget: budget, Reserve: reserve}, n.now)
	n.policy.Victims(n.last.GiveBack, func(key uint64, _ int) bool {
		if rng.IntN(10) == 0 {
			return false // not on disk yet
		}
		n.pool.Free(n.held[key].ref)
		delete(n.held, key)
		return true
	})
	if u := n.pool.Usage(); u.Reserved > budget {
		n.compact()
	}
	n.pool.Trim(n.now, time.Second)
	n.heap.Trim(n.now, time.Second)
}

func (n *node) compact() {
	if n.pool.MarkSparse(0.8) == 0 {
		return
	}
	for key, v := range n.held {
		if !n.pool.Sparse(v.ref) {
			continue
		}
		old := n.pool.Bytes(v.ref)
		ref, b := n.pool.Alloc(len(old))
		copy(b, old)
		n.pool.Free(v.ref)
		n.held[key] = value{ref, v.slot}
	}
	n.pool.UnmarkSparse()
}

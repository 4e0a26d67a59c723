package offheap

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a Heap gets memory. The zero value serves.
type Config struct {
	// Source is where chunks come from. Default: anonymous mappings, where the system has them.
	Source Source
	// ChunkBytes is the unit in which the Heap maps memory: a power of two from 64 KiB to 1 MiB. Default 256 KiB. Small ones suit
	// devices; in large ones more classes come from slabs: objects above a sixteenth of a chunk, and above 32 KiB, take a mapping each.
	ChunkBytes int
	// Nodes are the machine's memory nodes, as ReadNodes gives them. With two or more, the Heap has an arena for each.
	// Default: one arena, and the kernel decides.
	Nodes []int
}

const (
	chunkMinBytes     = 64 << 10
	chunkMaxBytes     = 1 << 20
	chunkDefaultBytes = 256 << 10
)

func (c *Config) validate() error {
	if c.Source == nil {
		c.Source = defaultSource()
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = chunkDefaultBytes
	}
	if c.ChunkBytes < chunkMinBytes || c.ChunkBytes > chunkMaxBytes || c.ChunkBytes&(c.ChunkBytes-1) != 0 {
		return fmt.Errorf("offheap: ChunkBytes %d is no power of two from %d to %d", c.ChunkBytes, chunkMinBytes, chunkMaxBytes)
	}
	return nil
}

// A Heap hands blocks to pools and keeps account of them. It may be used from several goroutines.
type Heap struct {
	src        Source
	plan       *plan
	chunkBytes uint64
	arenas     []*arena

	reserved [purposes]atomic.Int64 // bytes of slabs and mappings that pools hold
	large    atomic.Int64           // of these, in mappings of their own

	mu    sync.Mutex
	pools []*Pool // Pool.place is where; sums go over them
	names uint32  // how many pools were ever made
}

// New gives an empty heap, which has mapped nothing yet.
func New(cfg Config) (*Heap, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	h := &Heap{src: cfg.Source, plan: planFor(cfg.ChunkBytes), chunkBytes: uint64(cfg.ChunkBytes)}
	nodes := cfg.Nodes
	if len(nodes) < 2 {
		nodes = []int{-1}
	}
	for _, n := range nodes {
		h.arenas = append(h.arenas, newArena(cfg.Source, cfg.ChunkBytes, n))
	}
	return h, nil
}

// NewPool gives an empty pool. On a machine with several memory nodes it lives on the one of which the heap has mapped least, so
// that pools load all memory channels alike.
func (h *Heap) NewPool(purpose Purpose) *Pool {
	best := h.arenas[0]
	for _, a := range h.arenas[1:] {
		if a.mappedBytes() < best.mappedBytes() {
			best = a
		}
	}
	return h.newPool(purpose, best)
}

// NewPoolOn is NewPool with memory that is near the processors of one node, for a pool that these alone use. A node that the heap
// was not told of gives any memory.
func (h *Heap) NewPoolOn(purpose Purpose, node int) *Pool {
	for _, a := range h.arenas {
		if a.node == node {
			return h.newPool(purpose, a)
		}
	}
	return h.NewPool(purpose)
}

func (h *Heap) newPool(purpose Purpose, a *arena) *Pool {
	if purpose >= purposes {
		panic(fmt.Sprintf("offheap: %v does not exist", purpose))
	}
	p := &Pool{heap: h, arena: a, purpose: purpose}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names++
	p.name, p.place = h.names, uint32(len(h.pools))
	h.pools = append(h.pools, p)
	return p
}

func (h *Heap) forget(p *Pool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.pools) - 1
	h.pools[p.place] = h.pools[last]
	h.pools[p.place].place = p.place
	h.pools[last] = nil
	h.pools = h.pools[:last]
}

// Reserved is how many bytes all pools hold, used or not. It is one load a purpose.
func (h *Heap) Reserved() int64 {
	var sum int64
	for i := range h.reserved {
		sum += h.reserved[i].Load()
	}
	return sum
}

// ReservedFor is Reserved of one purpose.
func (h *Heap) ReservedFor(p Purpose) int64 { return h.reserved[p].Load() }

// Resident is the most memory that the system can be holding for this heap: what is mapped, less what was discarded.
func (h *Heap) Resident() int64 {
	sum := h.large.Load()
	for _, a := range h.arenas {
		a.mu.Lock()
		sum += a.mapped - a.discarded
		a.mu.Unlock()
	}
	return sum
}

func (a *arena) mappedBytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mapped
}

// Trim returns to the system what has been free for as long as idle, and tells how much. With idle 0 it returns all that is
// free. It sees what pools have returned: trim those first.
func (h *Heap) Trim(now time.Time, idle time.Duration) (returned int64) {
	for _, a := range h.arenas {
		returned += a.trim(now, idle)
	}
	return returned
}

// Close drops all pools and unmaps everything. Its error joins what their Close would have said.
func (h *Heap) Close() error {
	h.mu.Lock()
	pools := append([]*Pool(nil), h.pools...)
	h.mu.Unlock()
	var errs []error
	for _, p := range pools {
		errs = append(errs, p.Close())
	}
	for _, a := range h.arenas {
		a.close()
	}
	return errors.Join(errs...)
}

package offheap

import (
	"slices"
	"sync"
	"testing"
	"testing/fstest"
)

func TestReadNodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files map[string]string
		want  []int
		bad   bool
	}{
		{files: nil},
		{files: map[string]string{"online": "0\n"}, want: []int{0}},
		{files: map[string]string{"online": "0-1\n"}, want: []int{0, 1}},
		{files: map[string]string{"online": "0-3\n", "has_memory": "0,2\n"}, want: []int{0, 2}}, // the others have processors only
		{files: map[string]string{"has_memory": "8,0-2,1\n"}, want: []int{0, 1, 2, 8}},
		{files: map[string]string{"has_memory": "\n"}},
		{files: map[string]string{"online": "0-x\n"}, bad: true},
		{files: map[string]string{"online": "3-1\n"}, bad: true},
		{files: map[string]string{"online": "0-99999999999\n"}, bad: true},
		{files: map[string]string{"online": "-1"}, bad: true},
	} {
		fsys := fstest.MapFS{}
		for name, text := range c.files {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
		nodes, err := ReadNodes(fsys)
		if (err != nil) != c.bad || !slices.Equal(nodes, c.want) {
			t.Errorf("%q gives %v, %v", c.files, nodes, err)
		}
	}
}

// A recording source notes for which node each mapping was.
type recording struct {
	Source
	mu    sync.Mutex
	nodes map[uint64]int
}

func (r *recording) Map(size, align, node int) (uint64, error) {
	addr, err := r.Source.Map(size, align, node)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes[addr] = node
	return addr, err
}

// Mmap is beneath: where the machine has fewer nodes, the kernel refuses what it is asked for and all works the same.
func TestPoolsStayOnTheirNode(t *testing.T) {
	t.Parallel()
	src := &recording{Source: NewMmap(), nodes: map[uint64]int{}}
	h := newHeap(t, Config{Source: src, Nodes: []int{0, 2}, ChunkBytes: chunkMinBytes})
	for _, node := range []int{2, 0, 2} {
		o := &oracle{t: t, p: h.NewPoolOn(Value, node)}
		for i := range 2000 {
			o.alloc(i%300, byte(i))
		}
		o.alloc(1<<20, 0)
		for i, ref := range o.refs {
			if ref == 0 {
				continue
			}
			place := (ref & addrMask) &^ uint64(chunkMinBytes-1)
			if ref>>addrBits == 0 {
				place = ref&addrMask - largeHeaderBytes
			}
			if src.nodes[place] != node {
				t.Fatalf("object %d of a pool on node %d lies on %d", i, node, src.nodes[place])
			}
		}
		o.verifyAll()
	}
	heapLaws(t, h)
}

func TestPoolsSpreadOverNodes(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{Source: NewGoHeap(), Nodes: []int{0, 1, 2, 3}})
	for range 40 {
		p := h.NewPool(Value)
		for range 5000 {
			p.Alloc(100)
		}
	}
	for _, a := range h.arenas {
		if share := float64(a.mapped) / float64(h.Stats().Mapped); share < 0.2 || share > 0.3 {
			t.Errorf("node %d has %.2f of the memory", a.node, share)
		}
	}
	if p := h.NewPoolOn(Value, 7); p.arena == nil {
		t.Error("an unknown node gives no memory")
	}
}

func TestOneNodeIsPlain(t *testing.T) {
	t.Parallel()
	src := &recording{Source: NewGoHeap(), nodes: map[uint64]int{}}
	h := newHeap(t, Config{Source: src, Nodes: []int{0}})
	h.NewPoolOn(Value, 0).Alloc(100)
	for _, node := range src.nodes {
		if node != -1 {
			t.Errorf("a machine with one node asks for node %d", node)
		}
	}
}

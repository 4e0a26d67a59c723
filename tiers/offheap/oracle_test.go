package offheap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// sources are what the conformance tests run on: each must behave like the others.
var sources = map[string]func() Source{
	"mmap":   NewMmap,
	"goheap": func() Source { return NewGoHeap() },
}

var chunkSizes = []int{chunkMinBytes, chunkDefaultBytes, chunkMaxBytes}

// onAll runs a test on every source and chunk size.
func onAll(t *testing.T, run func(t *testing.T, h *Heap)) {
	t.Helper()
	for name, src := range sources {
		for _, chunk := range chunkSizes {
			t.Run(fmt.Sprintf("%s/%dK", name, chunk>>10), func(t *testing.T) {
				t.Parallel()
				run(t, newHeap(t, Config{Source: src(), ChunkBytes: chunk}))
			})
		}
	}
}

func newHeap(t testing.TB, cfg Config) *Heap {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() }) // tests that care about leaks close their pools
	return h
}

// An oracle is a pool beside the naive thing that it must equal: a list of slices.
type oracle struct {
	t    testing.TB
	p    *Pool
	refs []Ref
	want [][]byte
	sum  int64
}

func (o *oracle) alloc(n int, fill byte) {
	ref, b := o.p.Alloc(n)
	if len(b) != n || cap(b) != n || (ref == 0) != (n == 0) {
		o.t.Fatalf("Alloc(%d) gives %#x with %d of %d bytes", n, ref, len(b), cap(b))
	}
	if n > 0 && uintptr(unsafe.Pointer(&b[0]))%8 != 0 {
		o.t.Fatalf("Alloc(%d) gives an address that is no multiple of 8", n)
	}
	for i := range b {
		b[i] = fill + byte(i)
	}
	o.refs, o.want = append(o.refs, ref), append(o.want, bytes.Clone(b))
	o.sum += int64(n)
}

func (o *oracle) free(i int) {
	o.verify(i)
	o.p.Free(o.refs[i])
	o.sum -= int64(len(o.want[i]))
	last := len(o.refs) - 1
	o.refs[i], o.want[i] = o.refs[last], o.want[last]
	o.refs, o.want = o.refs[:last], o.want[:last]
}

func (o *oracle) resize(i, n int) {
	old := o.refs[i]
	ref, b, ok := o.p.Resize(old, n)
	inPlace := old>>addrBits != 0 && n > 0 && n <= o.p.heap.plan.maxBytes &&
		int(slabAt(o.p.slabOf(old)).class) == classOf(n)
	if ok != inPlace || ok && len(b) != n || !ok && ref != old {
		o.t.Fatalf("object of %d bytes at %#x resized to %d: %#x, %d bytes, %v", len(o.want[i]), old, n, ref, len(b), ok)
	}
	if !ok {
		return
	}
	if keep := min(n, len(o.want[i])); !bytes.Equal(b[:keep], o.want[i][:keep]) {
		o.t.Fatal("resizing changes what stays")
	}
	o.sum += int64(n - len(o.want[i]))
	for i := range b {
		b[i] = byte(n + i)
	}
	o.refs[i], o.want[i] = ref, bytes.Clone(b)
}

func (o *oracle) verify(i int) {
	if !bytes.Equal(o.p.Bytes(o.refs[i]), o.want[i]) {
		o.t.Fatalf("object %d of %d bytes at %#x changed", i, len(o.want[i]), o.refs[i])
	}
}

func (o *oracle) verifyAll() {
	for i := range o.refs {
		o.verify(i)
	}
	o.laws()
}

// laws are what accounting promises of one pool.
func (o *oracle) laws() {
	u := o.p.Usage()
	if u.Requested != o.sum || u.Requested > u.Used || u.Used > u.Reserved {
		o.t.Fatalf("usage is %+v with %d bytes asked for", u, o.sum)
	}
	var used, reserved, count int64
	for _, c := range o.p.Classes() {
		used += int64(c.Used * c.SlotBytes)
		reserved += c.Reserved
		count += int64(c.Used)
		if c.Used > c.Slots || c.Empty > 1 || c.Slabs < 1 {
			o.t.Fatalf("class %+v", c)
		}
	}
	for ref := o.p.large; ref != 0; ref = largeAt(ref).next {
		used += largeAt(ref).mapped
		reserved += largeAt(ref).mapped
	}
	if used != u.Used || reserved != u.Reserved {
		o.t.Fatalf("usage is %+v, slabs and mappings hold %d of %d", u, used, reserved)
	}
}

func randomSize(rng *rand.Rand) int {
	switch rng.IntN(20) {
	case 0:
		return rng.IntN(200 << 10)
	case 1, 2:
		return rng.IntN(8 << 10)
	default:
		return rng.IntN(300)
	}
}

func TestRandomOperations(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		for seed := range uint64(3) {
			runOracle(t, h, seed)
		}
	})
}

// runOracle grows and shrinks three pools of one heap by turns, so that blocks wander between them.
func runOracle(t *testing.T, h *Heap, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	pools := []*oracle{}
	for _, purpose := range []Purpose{Value, Index, Value} {
		pools = append(pools, &oracle{t: t, p: h.NewPool(purpose)})
	}
	now := time.Unix(1, 0)
	for step := range 6000 {
		o := pools[rng.IntN(len(pools))]
		grow := step/1500%2 == 0
		switch {
		case rng.IntN(3) > 0 == grow:
			o.alloc(randomSize(rng), byte(step))
		case len(o.refs) > 0 && rng.IntN(4) == 0:
			i := rng.IntN(len(o.refs))
			o.resize(i, max(0, len(o.want[i])+rng.IntN(40)-20))
		case len(o.refs) > 0:
			o.free(rng.IntN(len(o.refs)))
		}
		if step%500 == 0 {
			now = now.Add(time.Second)
			o.p.Trim(now, time.Second)
			h.Trim(now, time.Second)
			o.verifyAll()
			heapLaws(t, h)
		}
	}
	for _, o := range pools {
		o.verifyAll()
		for len(o.refs) > 0 {
			o.free(len(o.refs) - 1)
		}
		o.laws()
		if err := o.p.Close(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if h.Trim(now, 0); h.Stats() != (HeapStats{}) {
		t.Fatalf("seed %d: the empty heap holds %+v", seed, h.Stats())
	}
}

// heapLaws are what accounting promises of the whole, checked against a walk over every chunk.
func heapLaws(t testing.TB, h *Heap) {
	t.Helper()
	st := h.Stats()
	var heads, slabs, free int64
	for _, a := range h.arenas {
		for c := a.chunks; c != 0; c = chunkAt(c).next {
			heads += int64(a.headBytes)
			freeHere := int64(0)
			for off := a.headBytes; off < uint64(a.chunkBytes); {
				o := *a.orderAt(c + off)
				n := blockBytes(o &^ freeMark)
				if o&freeMark != 0 {
					freeHere += int64(n)
				} else {
					slabs += int64(n)
				}
				off += uint64(n)
			}
			if freeHere != chunkAt(c).freeBytes {
				t.Fatalf("chunk at %#x has %d bytes free, its header says %d", c, freeHere, chunkAt(c).freeBytes)
			}
			free += freeHere
		}
	}
	if free != st.Free || slabs+st.Large != st.Total.Reserved || heads+free+slabs+st.Large != st.Mapped {
		t.Fatalf("chunks hold %d of heads, %d free, %d in slabs; the heap says %+v", heads, free, slabs, st)
	}
	if st.Total.Reserved != h.Reserved() || h.Resident() != st.Mapped-st.Discarded {
		t.Fatalf("sums differ: %+v, %d, %d", st, h.Reserved(), h.Resident())
	}
	for _, p := range Purposes() {
		if h.ReservedFor(p) != st.Purposes[p].Reserved {
			t.Fatalf("%v: %d reserved, pools say %d", p, h.ReservedFor(p), st.Purposes[p].Reserved)
		}
	}
}

func FuzzOperations(f *testing.F) {
	f.Add([]byte{1, 10, 0, 200, 3, 255, 0, 0, 128, 7})
	f.Fuzz(func(t *testing.T, ops []byte) {
		h := newHeap(t, Config{Source: NewGoHeap(), ChunkBytes: chunkMinBytes})
		o := &oracle{t: t, p: h.NewPool(Value)}
		for i := 0; i+2 < len(ops); i += 3 {
			n := int(ops[i+1])<<8 | int(ops[i+2])
			switch op := ops[i]; {
			case op < 140:
				o.alloc(n>>(op%12), op)
			case op < 160 && len(o.refs) > 0:
				o.resize(n%len(o.refs), n>>4)
			case op < 240 && len(o.refs) > 0:
				o.free(n % len(o.refs))
			case op < 245:
				o.p.Trim(time.Unix(int64(i), 0), time.Duration(n))
				h.Trim(time.Unix(int64(i), 0), time.Duration(n))
			case op == 255:
				o.p.Drop()
				o.refs, o.want, o.sum = nil, nil, 0
			}
		}
		o.verifyAll()
		heapLaws(t, h)
	})
}

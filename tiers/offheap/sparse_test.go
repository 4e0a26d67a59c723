package offheap

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestMovingWhatIsSparseReturnsMemory(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		o := &oracle{t: t, p: h.NewPool(Value)}
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 20_000 {
			o.alloc(60+rng.IntN(100), byte(i))
		}
		for len(o.refs) > 2000 {
			o.free(rng.IntN(len(o.refs)))
		}
		o.p.Trim(time.Time{}, 0)
		before := o.p.Usage()
		promised := o.p.MarkSparse(0.8)
		for i, ref := range o.refs {
			if o.p.Sparse(ref) {
				o.relocate(i)
			}
		}
		for i := range o.bins() {
			if o.p.bins[i].head[sparse] != 0 {
				t.Error("a marked slab is still there after all its objects moved")
			}
		}
		o.p.UnmarkSparse()
		o.verifyAll()
		after := o.p.Usage()
		if after.Reserved != before.Reserved-promised || after.Used != before.Used {
			t.Errorf("from %+v to %+v, %d were promised", before, after, promised)
		}
		if after.Reserved > before.Reserved/3 {
			t.Errorf("a tenth of the objects holds %d of %d bytes", after.Reserved, before.Reserved)
		}
		heapLaws(t, h)
	})
}

func (o *oracle) bins() []bin { return o.p.bins }

func (o *oracle) relocate(i int) {
	ref, b := o.p.Alloc(len(o.want[i]))
	copy(b, o.p.Bytes(o.refs[i]))
	o.p.Free(o.refs[i])
	o.refs[i] = ref
}

func TestMarksDoNotDisturb(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		o := &oracle{t: t, p: h.NewPool(Value)}
		rng := rand.New(rand.NewPCG(2, 2))
		for step := range 8000 {
			switch {
			case step%500 == 0:
				o.p.MarkSparse(rng.Float64())
			case step%500 == 250:
				o.p.UnmarkSparse()
				o.verifyAll()
			case step%2500 < 1500 == (rng.IntN(4) > 0):
				o.alloc(randomSize(rng), byte(step))
			case len(o.refs) > 0:
				if i := rng.IntN(len(o.refs)); rng.IntN(3) == 0 && o.p.Sparse(o.refs[i]) {
					o.relocate(i)
				} else {
					o.free(i)
				}
			}
		}
		o.verifyAll()
		heapLaws(t, h)
	})
}

package fabric

import "sync/atomic"

// readsKept is how many entries that were read lately a region remembers.
const readsKept = 256

// readsFrom is how many entries a region must have for that to matter: the pull of a smaller one is soon over.
const readsFrom = 1024

// reads remember which entries of a region were read lately, so that a large pull brings those first. Each entry has one
// place, and shares it with others: a read that finds itself there writes nothing.
type reads [readsKept]atomic.Uint64

// noteRead remembers the read of an entry, by its hash. The caller holds the region's lock, for reading at least.
func (r *Region) noteRead(h uint64) {
	if h == 0 || r.f.cfg.Transport == nil {
		return
	}
	ring := r.reads.Load()
	if ring == nil {
		if ring = r.startReads(); ring == nil {
			return
		}
	}
	if slot := &ring[h%readsKept]; slot.Load() != h {
		slot.Store(h)
	}
}

// startReads begins to remember, where it is worth it: in a large region, and in one that is still to come.
func (r *Region) startReads() *reads {
	n := r.core.Entries()
	if n > 0 && n < readsFrom {
		return nil
	}
	if r.reads.CompareAndSwap(nil, &reads{}) && n == 0 {
		r.f.mesh.prints.await(r)
	}
	return r.reads.Load()
}

// wanted lists up to n entries that were read lately.
func (r *Region) wanted(n int) []uint64 {
	ring := r.reads.Load()
	if ring == nil {
		return nil
	}
	var out []uint64
	for i := range ring {
		if h := ring[i].Load(); h != 0 && len(out) < n {
			out = append(out, h)
		}
	}
	return out
}

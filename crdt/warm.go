package crdt

import "encoding/binary"

const (
	// WarmMax is how many keys are warmed at once.
	WarmMax = 16
	// warmFrom is how many entries a region must have: what fewer take is in the processor's caches anyway.
	warmFrom = 1 << 15
)

// WarmPays reports whether the region is so large that Warm saves more than it takes.
func (v *View) WarmPays() bool { return v.r.store.entries.n >= warmFrom }

// Warm has the processor fetch what reads and writes of up to WarmMax keys will touch: the slots of all of them, then the records, then, where writing, the
// places of their dots. One after the other each of these would be waited for; loads that do not depend on one another are under way together: at a
// million entries, 16 reads take half as long. It changes nothing, and what it gives means nothing: it is there so that the loads are made. In a small
// region it does nothing.
func (v *View) Warm(keys [][]byte, writing bool) (sum uint64) {
	s := &v.r.store
	t := &s.entries
	if !v.WarmPays() || len(keys) < 2 {
		return 0
	}
	var slots [WarmMax]uint64
	keys = keys[:min(len(keys), WarmMax)]
	for i, key := range keys {
		h28 := s.key.bytes(0, key) >> refBits
		at := t.home(h28) * slotBytes
		for ; at+slotBytes <= len(t.b); at += slotBytes {
			if x := binary.LittleEndian.Uint64(t.b[at:]); x>>refBits >= h28 || x == 0 {
				if x>>refBits == h28 {
					slots[i] = x & refMask
				}
				break
			}
		}
	}
	const line = 64
	for _, ref := range slots[:len(keys)] {
		if ref != 0 {
			b := s.mem.Bytes(ref)
			sum += uint64(b[0]) + uint64(b[min(line, len(b)-1)])
		}
	}
	if !writing {
		return sum
	}
	for _, ref := range slots[:len(keys)] {
		if ref == 0 {
			continue
		}
		b := s.mem.Bytes(ref)
		if b[0]&(formMask|recordNamed|bodyMask) != formSolo|bodySibling || b[1] != byte(CellValue)|byte(TagReg)<<4 {
			continue
		}
		_, body := cut(b[2:])
		dot, _ := dotOf(body)
		x := &v.r.origins[dot.org].index
		if k := x.leafOf(dot.seq); k >= 0 {
			if off := int(dot.seq - x.leaves[k].base); off < int(x.leaves[k].n) {
				sum += dotAt(s.mem.Bytes(x.leaves[k].ref), off)
			}
		}
	}
	return sum
}

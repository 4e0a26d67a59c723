//go:build edgemem_poison

package offheap

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Under the build tag edgemem_poison every object is remembered with where it was allocated. Freed bytes are
// overwritten; freeing twice, reading through a freed Ref and writing to a freed slot panic and name who allocated and who
// freed. Each object carries one of eight turns, so that a Ref of the slot's last owner is found out as well, but for one in
// eight. Close lists what was not freed.
const poisoned = true

const poisonByte = 0xdb

type debug struct {
	objects map[uint64]*object // by address
	turn    uint64
}

type object struct {
	ref   Ref
	site  uintptr // who allocated it
	freed uintptr // who freed it, or 0
}

func (d *debug) allocated(ref Ref) Ref {
	if d.objects == nil {
		d.objects = make(map[uint64]*object)
	}
	d.turn++
	ref |= d.turn & turnMask
	d.objects[ref&addrMask] = &object{ref: ref, site: caller()}
	return ref
}

func (d *debug) check(ref Ref, verb string) {
	if ref == 0 {
		return
	}
	switch o := d.objects[ref&addrMask]; {
	case o == nil:
		panic(fmt.Sprintf("offheap: %s of %#x, which this pool never gave", verb, ref))
	case o.freed != 0:
		panic(fmt.Sprintf("offheap: %s of %#x after its free; allocated at %s, freed at %s", verb, ref, place(o.site), place(o.freed)))
	case o.ref != ref:
		panic(fmt.Sprintf("offheap: %s of %#x, whose place holds another object, allocated at %s", verb, ref, place(o.site)))
	}
}

func (d *debug) freed(p *Pool, ref Ref) {
	d.check(ref, "free")
	if ref == 0 {
		return
	}
	d.objects[ref&addrMask].freed = caller()
	if ref>>addrBits != 0 {
		fill(bytesAt(ref&addrMask, int(classBytes[slabAt(p.slabOf(ref)).class])))
	}
}

func (d *debug) resized(ref Ref) { d.objects[ref&addrMask].ref = ref }

func (d *debug) dropped() { d.objects = nil }

// leaks lists what lives by where it was allocated, most bytes first.
func (d *debug) leaks() string {
	type leak struct{ count, bytes int }
	sites := make(map[string]leak)
	for _, o := range d.objects {
		if o.freed == 0 {
			l := sites[place(o.site)]
			sites[place(o.site)] = leak{l.count + 1, l.bytes + lengthOf(o.ref)}
		}
	}
	var lines []string
	for site, l := range sites {
		lines = append(lines, fmt.Sprintf("\n%12d bytes in %d objects allocated at %s", l.bytes, l.count, site))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	return strings.Join(lines, "")
}

func lengthOf(ref Ref) int {
	if n := ref >> addrBits; n != 0 {
		return int(n)
	}
	return len(largeBytes(ref))
}

// caller finds the first function outside this package's own.
func caller() uintptr {
	var pcs [8]uintptr
	n := runtime.Callers(3, pcs[:])
	for _, pc := range pcs[:n] {
		fn := runtime.FuncForPC(pc - 1)
		if fn == nil || !strings.Contains(fn.Name(), "offheap.(*Pool).") {
			return pc
		}
	}
	return pcs[0]
}

func place(pc uintptr) string {
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

var pattern = bytes.Repeat([]byte{poisonByte}, 4<<10)

func fill(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, pattern):]
	}
}

// checkPoison looks at all of a freed slot but its first two bytes, where the chain of free slots goes.
func checkPoison(slot uint64, size uint32) {
	for b := bytesAt(slot+2, int(size)-2); len(b) > 0; {
		n := min(len(b), len(pattern))
		if !bytes.Equal(b[:n], pattern[:n]) {
			panic(fmt.Sprintf("offheap: a slot of %d bytes at %#x was written to after its free", size, slot))
		}
		b = b[n:]
	}
}

package offheap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const mpolPreferred = 1 // linux/mempolicy.h: from this node while it has memory, from others otherwise

// prefer asks for memory near one node's processors. Where the kernel refuses, as in many containers, memory comes
// from anywhere, which is slower and not wrong.
func prefer(addr uint64, size, node int) {
	const wordBits = 8 * int(unsafe.Sizeof(uintptr(0)))
	if node < 0 || node >= 16*wordBits {
		return
	}
	var mask [16]uintptr
	mask[node/wordBits] = 1 << (node % wordBits)
	_, _, _ = unix.Syscall6(unix.SYS_MBIND, uintptr(addr), uintptr(size), mpolPreferred,
		uintptr(unsafe.Pointer(&mask)), uintptr(16*wordBits), 0)
}

// adviseHuge is advice too.
func adviseHuge(addr uint64, size int) {
	_ = unix.Madvise(unsafe.Slice((*byte)(at(addr)), size), unix.MADV_HUGEPAGE)
}

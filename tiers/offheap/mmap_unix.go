//go:build unix

package offheap

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mmap maps anonymous memory, which the Go runtime neither scans nor counts.
type Mmap struct{ pageBytes int }

// NewMmap gives the source that pools use by default where the system has one.
func NewMmap() Source { return &Mmap{pageBytes: os.Getpagesize()} }

func defaultSource() Source { return NewMmap() }

// PageBytes is the machine's page size.
func (m *Mmap) PageBytes() int { return m.pageBytes }

// Map tries its luck first: the kernel places mappings side by side, so that after one aligned mapping the next of the
// same size is aligned too. Only when it is not, it maps twice as much and gives the ends back.
func (m *Mmap) Map(size, align, node int) (uint64, error) {
	size = int(alignUp(uint64(size), uint64(m.pageBytes)))
	addr, err := m.raw(size)
	if err != nil {
		return 0, err
	}
	if align > m.pageBytes && addr%uint64(align) != 0 {
		m.Unmap(addr, size)
		if addr, err = m.aligned(size, align); err != nil {
			return 0, err
		}
	}
	prefer(addr, size, node)
	return addr, nil
}

func (m *Mmap) aligned(size, align int) (uint64, error) {
	addr, err := m.raw(size + align)
	if err != nil {
		return 0, err
	}
	start := alignUp(addr, uint64(align))
	if before := start - addr; before > 0 {
		m.Unmap(addr, int(before))
	}
	if after := addr + uint64(align) - start; after > 0 {
		m.Unmap(start+uint64(size), int(after))
	}
	return start, nil
}

func (m *Mmap) raw(size int) (uint64, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, fmt.Errorf("%w: map %d bytes: %w", ErrNoMemory, size, err)
	}
	addr := uint64(uintptr(p))
	if addr > addrMask {
		m.Unmap(addr, size)
		return 0, fmt.Errorf("%w: the system maps at %#x, beyond %d bits", ErrNoMemory, addr, addrBits)
	}
	return addr, nil
}

// Unmap takes a mapping back. That it fails would mean that we unmap what is not ours.
func (m *Mmap) Unmap(addr uint64, size int) {
	if err := unix.MunmapPtr(at(addr), uintptr(alignUp(uint64(size), uint64(m.pageBytes)))); err != nil {
		panic(fmt.Sprintf("offheap: unmap %d bytes at %#x: %v", size, addr, err))
	}
}

// Discard tells the kernel that the pages hold nothing. It is advice: where it is refused, memory only stays longer.
func (m *Mmap) Discard(addr uint64, size int) {
	_ = unix.Madvise(unsafe.Slice((*byte)(at(addr)), size), unix.MADV_DONTNEED)
}

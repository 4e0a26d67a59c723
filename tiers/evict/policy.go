package evict

import "fmt"

// A Slot names an entry from its Insert to its Remove, or until Victims frees it.
type Slot uint32

// MaxSize is the largest size of an entry that is told from a larger one, in bytes.
const MaxSize = 1<<29 - 2

// A Policy keeps entries in the order in which they should leave.
type Policy interface {
	// Insert takes an entry of some bytes. It expires at a Unix time in seconds, or never at 0.
	Insert(id uint64, size int, expires int64) Slot
	// Touch notes a read. It may run beside other Touches.
	Touch(s Slot)
	// Resize notes that an entry's size changed.
	Resize(s Slot, size int)
	// Remove forgets an entry that left for another reason.
	Remove(s Slot)
	// Victims offers entries, the most dispensable first, until those that evict accepted have the given bytes or
	// all were offered. Accepted entries are forgotten. It tells how many bytes they had.
	Victims(bytes int64, evict func(id uint64, size int) bool) (freed int64)
	// Len and Bytes count entries and their sizes, Overhead what the policy itself takes.
	Len() int
	Bytes() int64
	Overhead() int64
}

var policies = []struct {
	name string
	make func() Policy
}{
	{"s3fifo", func() Policy { return NewS3FIFO() }},
	{"lru", func() Policy { return NewLRU() }},
	{"lfu", func() Policy { return NewLFU() }},
	{"ttl", func() Policy { return NewTTL() }},
	{"none", func() Policy { return None{} }},
}

// Names lists the policies, the default first.
func Names() []string {
	var names []string
	for _, p := range policies {
		names = append(names, p.name)
	}
	return names
}

// New gives an empty policy by its name.
func New(name string) (Policy, error) {
	for _, p := range policies {
		if p.name == name {
			return p.make(), nil
		}
	}
	return nil, fmt.Errorf("evict: %q is no policy: want one of %v", name, Names())
}

func clip(size int) uint32 { return uint32(min(max(size, 0), MaxSize)) }

// grow appends, and makes room by eighths: doubling would leave up to half of it empty.
func grow[T any](s []T, v T) []T {
	if len(s) == cap(s) {
		s = append(make([]T, 0, len(s)+len(s)/8+8), s...)
	}
	return append(s, v)
}

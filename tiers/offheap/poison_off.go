//go:build !edgemem_poison

package offheap

// Without the build tag edgemem_poison nothing of what poison_on.go describes costs a byte or an instruction.
const poisoned = false

type debug struct{}

func (debug) allocated(ref Ref) Ref { return ref }
func (debug) check(Ref, string)     {}
func (debug) freed(*Pool, Ref)      {}
func (debug) resized(Ref)           {}
func (debug) dropped()              {}
func (debug) leaks() string         { return "" }

func checkPoison(uint64, uint32) {}
func fill([]byte)                {}

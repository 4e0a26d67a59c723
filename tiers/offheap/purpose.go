package offheap

import "fmt"

// Purpose says what a pool's bytes are for. Accounting is by pool, and summed by purpose.
type Purpose uint8

// The purposes, in the order in which reports list them.
const (
	Value  Purpose = iota // what users stored
	Index                 // tables that find it
	Causal                // dots, contexts, clocks
	Ghost                 // what removes leave
	Buffer                // messages under way
	purposes
)

var purposeNames = [purposes]string{"value", "index", "causal", "ghost", "buffer"}

// Purposes lists all of them.
func Purposes() []Purpose { return []Purpose{Value, Index, Causal, Ghost, Buffer} }

// String gives the name that metrics and reports use.
func (p Purpose) String() string {
	if p >= purposes {
		return fmt.Sprintf("purpose(%d)", uint8(p))
	}
	return purposeNames[p]
}

package harness

import (
	"math"
	"testing"
)

// TestSeen: what a node's line stands for was seen, and nothing else.
func TestSeen(t *testing.T) {
	t.Parallel()
	const (
		node  = "118a6a0e1685"
		start = node + "0cfdad94e6c933433bdb"
		later = node + "0cfdad95f5915f680a13"
		other = "228a6a0e1685" + "0cfdad94e6c933433bdb"
	)
	context := map[string]Runs{node + lineMark: {Base: 0x0cfdad95}, later: {Base: 7}}
	for origin, want := range map[string]uint64{start: math.MaxUint64, later: 7, other: 0, node + lineMark: 0x0cfdad95, "short": 0} {
		if got := Seen(context, origin).Base; got != want {
			t.Errorf("of %s it has seen %d, want %d", origin, got, want)
		}
	}
}

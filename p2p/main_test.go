package p2p

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing that this package starts outlives it. What is ignored is left behind by Badger 1.6 when it fails to
// open a damaged store, which the tests make it do.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger/y.(*WaterMark).process"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger.(*DB).updateSize"),
	)
}

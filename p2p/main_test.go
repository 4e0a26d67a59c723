package p2p

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Nothing that this package starts outlives it. What is ignored is left behind by Badger 1.6 when it fails to
// open a damaged store, which the tests make it do.
func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" { // a node of a test in network namespaces
		if err := runChild(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger/y.(*WaterMark).process"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger.(*DB).updateSize"),
	)
}

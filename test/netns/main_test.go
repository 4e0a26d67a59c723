package netns

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// part is how long the partitions last. The default is longer than TCP's first retransmissions, and shorter than
// what it takes to notice a dead peer; longer ones take the other path.
var part = flag.Duration("part", 3*time.Second, "how long a partition lasts")

// healed is how long nodes may take from the healing of the network until they hold the same: a person who stands
// before a kiosk does not wait longer.
var healed = flag.Duration("healed", 30*time.Second, "how long nodes may take to agree after a partition")

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() == 0 {
		sweep()
	}
	os.Exit(harness.Main(m))
}

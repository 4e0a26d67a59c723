package netns

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/wire"
)

var (
	// part is how long the partitions last. The default is longer than TCP's first retransmissions, and shorter than
	// what it takes to notice a dead peer; longer ones take the other path.
	part = flag.Duration("part", 2*time.Second, "how long a partition lasts")
	// healed is how long nodes may take from the healing of the network until they hold the same: a person who stands
	// before a kiosk does not wait longer.
	healed  = flag.Duration("healed", 30*time.Second, "how long nodes may take to agree after a partition")
	weather = flag.String("weather", "rough", "condition of every link: perfect, lan, wan, rough, mobile, or delay=20ms,jitter=5ms,loss=2%,…")
	seed    = flag.Uint64("seed", 0, "seed of links, clients and the torture; 0 picks one")
	netem   = flag.Bool("netem", false, "leave the weather to the kernel's netem; the switch only cuts")

	torture = flag.Duration("for", 20*time.Second, "how long TestTorture goes on")
	size    = flag.Int("nodes", 0, "how many daemons TestTorture runs, 2 to 9; 0 picks 5 to 7")
)

// sky is what weather says.
var sky wire.Condition

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if sky, err = wire.Parse(*weather); err != nil {
		fmt.Fprintln(os.Stderr, "-weather:", err)
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = rand.Uint64() >> 16
	}
	if os.Geteuid() == 0 {
		sweep()
	}
	os.Exit(harness.Main(m))
}

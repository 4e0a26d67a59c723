// Package netns tears real daemons apart in network namespaces, on a switch whose links are as bad as real ones, and proves that
// nothing is lost. Linux, root, iproute2 and /dev/net/tun; neither netem nor a bridge is needed.
//
//	sudo go test ./test/netns -v                                             # every scenario, and a short torture
//	sudo go test ./test/netns -v -run SplitBrain -part 1m                    # a longer partition
//	sudo go test ./test/netns -v -weather mobile,loss=10%                    # worse links: a preset, and what differs from it
//	sudo go test ./test/netns -v -run Torture -for 30m -timeout 40m          # half an hour of everything at once
//	sudo go test ./test/netns -v -run Torture -for 30m -timeout 40m -seed N  # the same faults again
//
//	-weather W   condition of every link: perfect, lan, wan, rough (the default) or mobile; or delay=20ms,jitter=5ms,loss=2%,
//	             duplicate=1%,reorder=1%,rate=250000 (bytes a second); or a preset and changes to it
//	-part D      how long partitions last
//	-healed D    how long nodes may take to agree once the network is whole
//	-seed N      what links, clients and the torture do; each test prints its own
//	-for D       how long the torture goes on
//	-nodes N     how many daemons the torture runs, 2 to 9; by default 5 to 7, as the seed says
//	-netem       have the kernel's netem make the weather, where it has one; the switch then only cuts
//
// Set EDGEMEM_TEST_BINARY to test a daemon that is built already.
//
// # How it works
//
// Each test makes a network of its own, with nothing outside of it. No packet leaves the machine, or reaches its own network.
//
//	┌ emt-PID-N-device ┐      this program       ┌ emt-PID-N-cloud ┐
//	│ edgemem run      │   ┌─────────────────┐   │ edgemem run     │
//	│ eth0 10.77.0.3 ──┼───┼─ wire.Switch ───┼───┼─ eth0 10.77.0.1 │
//	└──────▲───────────┘   └─────────────────┘   └────────▲────────┘
//	       │ unix sockets cross namespaces                │
//	   client, client ─────▶ history.Log ◀───────── client, client
//	                              │
//	                         what is wrong
//
// Package wire (test/lab/wire) is the switch: delay, jitter, loss, copies, reordering, bandwidth and cuts, for each ordered pair.
// Cables are pulled too, which a machine notices, while of a cut it hears nothing. Clients reach their node over unix
// sockets, and so read and write on through every partition; half of them in a region that answers from memory, half in
// one that answers from disk. Most of what they write they write against each other.
//
// # What is checked
//
// Package history (test/lab/history) judges what clients recorded, and says exactly what is promised. At the end,
// and after each round of the torture: each acknowledged write is there at every node, no removed element is back, adds won, counters
// are exact, nothing is there that nobody wrote, contexts and digests are equal; and no read that was answered on the way broke the
// order of its session. No client is ever answered with an error, no origin is used twice, and no daemon panics.
//
// TestSessionsHop has clients hop between nodes with tokens: they read their own writes and nothing older than before, and in a causal region a write
// shows with all that its writer had seen.
//
// TestRegionFollowsItsReaders has a region that lives in the cloud be read at one edge, then at another, then nowhere, on links of 15 and 40 ms: its copies
// follow, reads become a hundred times faster at least, and nothing is left at the edges.
//
// TestLeases has clients take one lease all the while: no two count on it at once, tokens grow, and a minority says that it is one.
//
// # Limits
//
// A seed replays what is done, and which frames of each link fare badly, not what the daemons make of it. All daemons
// share one clock. The tests are skipped, and say so, without root, off Linux, or without the tools; with CI=true a missing tool
// fails them. Namespaces are removed when a test ends, and those of a test that was killed by the next one that runs.
package netns

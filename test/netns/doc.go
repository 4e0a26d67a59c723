// Package netns parts real daemons from each other in network namespaces, and proves that nothing is lost.
//
//	sudo go test ./test/netns -v                       # Linux, root, iproute2 and nftables
//	sudo go test ./test/netns -v -run SplitBrain -part 1m   # a longer partition
//
// Each test makes a network of its own: one namespace for a switch, one for each node, and nothing outside of
// them. No packet leaves the machine, or reaches its own network. Namespaces are removed when a test ends, and
// those of a test that was killed by the next one that runs.
//
//	┌ emt-PID-N-device ┐   ┌ emt-PID-N-switch ┐   ┌ emt-PID-N-cloud ┐
//	│ edgemem run      │   │      bridge      │   │ edgemem run     │
//	│ eth0 10.77.0.3 ──┼───┼─ p3          p1 ─┼───┼─ eth0 10.77.0.1 │
//	└─ nft: who is cut ┘   └──────────────────┘   └─────────────────┘
//
// Links fail in two ways: a port of the bridge goes down, as when a cable is pulled, or packets from one address
// are dropped without a word, as in a routing fault; the latter also in one direction. Clients reach
// their node over unix sockets, which cross namespaces, and so write on through every partition.
//
// # What is checked
//
// Writers note every write in a ledger (package harness). At the end, at every node: each acknowledged write is
// there, no removed element is back, counters are exact, no key is there that nobody wrote, contexts and
// digests are equal. Keys that both sides wrote against each other have what the documented rules say.
//
// # Limits
//
// Delay and loss are those of the machine: partitions are absolute. The tests are skipped, and say so, without
// root, off Linux, or without the tools; with CI=true a missing tool fails them.
package netns

// Package scenario plays fabrics of a thousand nodes from files, on the real replication core and in virtual time.
// A file says which nodes there are, how they are linked, what is written, and what goes wrong; the report says how long
// it took until all replicas were equal, and what it cost.
//
//	go test ./test/sim -run Scenario -v                                  # all files in test/sim/scenarios
//	go test ./test/sim -run Scenario -v -scenario /path/to/mine.toml
//
// # The model
//
//	file.go ─► topology.go: servers in a random regular graph, devices on one or two of them
//	load.go ─► crdt.Region.Update ─► gossip.go: along the mesh, each node once ─► Push at each node
//	                                 follow.go: pull on connect, on a gap, after a change, now and then
//	                                 pull.go:   check or hello ─► Pull.Next ─► Receiver.Merge ─► replies
//	                                 gate.go:   so many at once, a short line, the rest sent away for a while
//	fault.go: partitions, links, crashes, empty disks, devices that roam
//	queue.go, link.go: what takes how long       report.go: what came out
//
// What crosses a link are the core's own bytes; delays, bandwidth and loss decide when they arrive, and whether. When to
// pull, and how many pulls a node serves at once, follows package fabric, with its delays. Gossip follows
// gossipsub: eager push to the mesh, copies told by content; a device has one server that feeds it.
//
// Gossip may lose frames; a stream loses none, it is late. A link that breaks is noticed at once by both ends; a
// real one takes a timeout, during which nothing else happens to it. Computing takes no time. The mesh does not
// repair itself, and IHAVE is left out: pulls mend what gossip loses.
//
// # Invariants
//
// A seed replays a run: nothing reads a clock, and nothing depends on the order of a map. A run has converged when no
// write or event is to come, and every node, also those that are off the network, has seen the same and holds the same.
//
// # Cost
//
// A thousand nodes that rejoin at once with 600 writes among 100 entries take a few seconds on one processor and
// 300 MB; one write among them takes 0.3 s.
package scenario

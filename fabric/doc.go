// Package fabric is the shared memory of an edgemem node: regions of typed entries that are read and written
// at local-memory speed, on line or off, and that converge with every other member's without losing a write.
//
//	f, err := fabric.Open(ctx, fabric.Config{Name: "kiosk-7", Storage: store, Transport: host})
//	r, err := f.Region("orders")
//	total, err := fabric.CounterOf(r, "total").Add(ctx, 1)
//	err = fabric.RegisterOf[Order](r, "order:17").Set(ctx, order)
//
// # How it works
//
//	your program ── Register, Counter, Set, Map, View, Update
//	     │
//	  Region ── lock around one crdt.Region, which is pure: no clock, no I/O
//	     │ effects
//	     ├── committer ── one batch of all regions' changes ──> Storage (persist.Store)
//	     ├── pusher ───── folded writes, at once or once a window ──> Transport (p2p.Host), to everyone
//	     └── mesh ─────── one goroutine a peer: pulls on connect, on gaps, on change, now and then
//
// Writes go to memory first; the region's acknowledgement (memory or disk) says what Update waits for. A push
// may be lost, a pull may break off: the next pull brings what differs, in one round trip, whatever the history was.
//
// # Who is there, and is everything here
//
// Each start of a node that writes is an origin of its own, and claims the node's record in a region of the fabric's own
// (nodes.go). So a copied data directory, a backup that was put back and a machine that was restored from a snapshot write
// over nothing, and are found (identity.go, rollback.go); what is found stands in the records as alarms, for every
// member to see. RegionStatus.Complete says up to when everything is here, for which nodes, and which are dark (proof.go).
// Ghosts go when all members have seen them (stability.go). A scrub compares replicas that have seen the same, and
// mends those that hold something else (scrub.go).
//
// # Invariants
//
//   - A write that was acknowledged as disk, on a node with a Storage, survives kill -9 and power loss, and its dot is never issued again.
//   - Replicas that have exchanged what they have seen show the same, and have equal digests.
//   - No call waits for a peer.
//   - Entries, causal context and floors become durable together or not at all.
//
// # Cost
//
// A write takes one lock, one map-free lookup and one allocation for its value; a read takes a shared lock.
// A quiet peer costs a fingerprint of eight bytes every 30 s, backing off to 5 min. Idle regions cost no
// traffic while all are idle; a check that finds a difference is followed by a list of all regions, 24 bytes each. A
// pull costs what differs, plus about 20 bytes an origin. A scrub of nodes in step costs 2 KiB an hour. Status takes time in
// proportion to regions times peers.
//
// # Limits
//
// Every node holds every region, in memory. Keys, members and field names have at most 64 KiB, values at most
// 1 MiB. Operations on a whole region (Flush, a scan, a pull's first step) hold its lock while they
// list their cells. Values are not typed beyond their kind: two programs that use different codecs for one key will not
// understand each other.
package fabric

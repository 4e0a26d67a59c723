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
//	your program ── Register, Counter, Bounded, Set, Map, Stream, View, Update
//	     │
//	  Region ── lock around one crdt.Region, which is pure: no clock, no I/O
//	     │ effects
//	     ├── committer ── one batch of all regions' changes ──> Storage (persist.Store)
//	     ├── pusher ───── folded writes, at once or once a window ──> Transport (p2p.Host), to everyone
//	     └── mesh ─────── one goroutine a peer: pulls on connect, on gaps, on change, now and then
//
// Writes go to memory first; the region's acknowledgement (memory, disk, quorum or all) says what Update waits for. A push
// may be lost, a pull may break off: the next pull brings what differs, in one round trip, whatever the history was.
//
// Writers that wait for the disk share a commit, and the next one waits for those that come back (commit.go). On a full disk writes are
// refused, and reads, removes and merges go on, up to a bound (fulldisk.go).
//
// # Pulls
//
// A pull is one exchange on one stream (session.go). Two nodes compare one fingerprint, then one for each of 256 buckets of
// regions, and list the regions of the buckets that differ (prints.go). Of those that differ the puller says what it has seen,
// and which entries were read lately here, to come first (reads.go); the peer answers with chunks, compressed where that
// pays (squeeze.go). Where ghosts were forgotten the two find out first what differs; all regions share those turns,
// and two nodes that both changed and both forgot find it out once (back.go).
//
//	puller   CHECK ─▶ SAME                                          in step: the end
//	               ─▶ DIFFER ─▶ ASK, HELLO… ─▶ CHUNK…, END           one or two round trips
//	                                        ─▶ offer, TURN ─▶ REPLY ─▶ CHUNK…, END        two or three below a floor
//	                                        ─▶ BUSY                  later, or from another peer
//
// What was merged stays when a session breaks off, and the next one goes on there, with any peer. SyncStats.Pulling tells how far
// a pull is (progress.go). A node answers at most 8 pulls at once and 24 more that take long; 64 wait for a second; the rest
// are told when to come back (gate.go). It pulls from one peer at a time: what is urgent, not asked yet and near first; a pull
// that takes more than 5 s goes on beside others, which do not ask for what it brings (turns.go, tasks.go). LimitRate caps
// what pulls move over a link (limit.go).
//
// In a causal region a pull is made at one moment and merged at one, up to MaxStaged bytes; a larger one is merged as it
// comes, and reads answer ErrLoading until it is complete (consistency.go).
//
// # Who is there, and is everything here
//
// Each start of a node that writes is an origin of its own, and claims the node's record in a region of the fabric's own
// (nodes.go). So a copied data directory, a backup that was put back and a machine that was restored from a snapshot write
// over nothing, and are found (identity.go, rollback.go); what is found stands in the records as alarms, for every
// member to see. RegionStatus.Complete says up to when everything is here, for which nodes, and which are dark (proof.go).
// Ghosts go when all members have seen them (stability.go), and a node's ended starts collapse (lines.go). A scrub compares replicas that have seen the same, and
// mends those that hold something else (scrub.go).
//
// # Sessions and followers
//
// A session that gives the Token of its last call to its next one reads its own writes and nothing older than it read before, at
// whatever member: Region.At waits, or says with ErrStale how much is missing (token.go). Release and WaitFor wait until members have
// what was written, Acquire brings what they have. Follow tells the state of a prefix, then its changes, and goes on at a Cursor after a
// break, a restart, or at another member (follow.go, cursor.go).
//
// # Bounded counters
//
// Who is short of rights writes a request into its row of the counter, and the holder that it names answers in its own (rights.go): half of
// what it has at most, asked again after 200 ms and more, or when something came for this node, eight times at most. Close, and GiveCopy, leave all rights to a
// connected holder, cloud before device, that runs a version which knows them.
//
// # Leases
//
// Region.AcquireLease takes a lease, which nobody else gets until it ends, from a majority of the fabric's voters, and gives a fencing token that is
// higher than all before (package fabric/lease). SetVoters names the voters, core members, for all regions: the first time all core members that are known, and that
// they know, must be connected and agree, so that two halves of a fabric do not both do it; later a majority of the voters. A minority is told at once that it
// is one, and who is missing. It takes two round trips, and for each a commit on the disks of the voters. Only members that are connected are asked, and nobody asks
// for another. Voters keep what they promise apart from the regions (ballots.go), in no backup: a node that
// is restored, or runs on a copy of a data directory, has no vote until it is named again. One whose whole disk was set back finds out from the nodes' records, before it
// votes and whenever it hears of its other life; only where those who heard of the one life and of the other have not met since does it not.
//
// # Messages
//
// Publish and Subscribe carry messages on channels (messages.go): at most once, and never stored. A node says what its
// subscriptions and Redis clients listen to, as a Bloom filter of channels and a list of prefixes (interest.go); that word goes
// once to every node, and the neighbour who brought it leads back (routes.go). A message goes along those ways, with the list of
// nodes that each copy is for, to the nodes that listen and those on the way to them; where nobody listens nothing is sent,
// not even a stream opened. A way that breaks is told and found anew within a round trip; who cannot be reached is forgotten.
//
//	author A, listeners C, D, F        A ──▶ B (for C, D) ──▶ C
//	                                   │     └──────────────▶ D
//	                                   └───▶ F (for F)
//
// Messages go through nodes of this version only. A neighbour that does not keep up loses messages, beyond 4096 or 4 MiB
// that wait for it, or 20,000 a second: MessageStats counts them, and nobody waits. A copy passes at most 16 nodes.
// 4096 nodes may listen, and 2 MiB of what they want is remembered; who comes later gets none, what is beyond counts as a wish for
// everything. From daemon to daemon on one machine, both of them and the clients on two processors, a message took 0.27 ms, with the
// answer to PUBLISH (median; 0.7 ms for one in 100), and of 15,000 a second all came. To find who wants one takes 65 ns for each
// node that listens.
//
// # Where regions are
//
// The catalogue says where a region's copies are to be and who has one (placement.go), and a node's record its labels (labels.go). Every
// member has the catalogue, so each side of a split finds the holders that it knew. A region that is not everywhere is held by the node that made it so,
// and by those that hold something of it then; others that hear of it are without a copy. Region.TakeCopy brings one, whole, and Region.GiveCopy drops it
// after other holders have vowed that they have all of it and keep it (moves.go, vows.go). Two nodes compare what both hold (keepers.go), and lag, completeness,
// acknowledgements and what ghosts wait for count holders alone.
//
// Each region that is not everywhere has a decider, the connected holder with the least id (decide.go). Once a second the others tell it who used their copies,
// if somebody did; it asks tiers/place, with a tree of nodes that hangs from the region's outermost holder (observe.go) and what links cost, which is in
// the nodes' records (links.go), and has nodes take and give copies. What a node could not do it is not asked again for 10 s to 10 min. Explain tells
// what a decider sees and what it decided; the last eight moves of a region, each with its rule and numbers, are in the catalogue (explain.go).
//
//	uses by consumer ─▶ holder ── REPORT ──▶ decider ── MOVE ──▶ node: TakeCopy, GiveCopy
//
// # Regions without a copy here
//
// View, Update and what is built on them ask this node's copy, and give ErrNotHeld where it has none: a function cannot travel. Package client,
// the Redis protocol and HTTP go to a holder then (remote.go): the one that is connected with the shortest round trip, whose handler (Answer) runs
// the request on its copy under its own origin, since only a copy knows what a write covers. No request is passed on, so a holder must be
// connected directly.
//
//	asker  ── CALL, REQUEST, REQUEST… ──▶ holder        one stream to each holder, kept; at most 256 requests under way
//	       ◀── PART…, DONE (in any order) ──             DONE says how complete the copy is, and what it had after a write
//
// A read that takes longer than 19 of 20 is asked of a second holder too. A write is asked of one holder by a number, and asked again under it, when
// the stream broke, of that one alone, which remembers what came of it for two minutes (deeds.go): it is done once, or not at all, or the
// answer is ErrUncertain. Another holder that is asked within a minute after a write waits up to 0.5 s for what was written; Source.Missing says what
// it lacks then. Off line there is ErrNoHolder, which names the holders.
//
// A region that is created with QueueWrites lets a node without a copy keep writes until it reaches a holder (queued.go), 10,000 of them or 4 MiB at most: those
// that depend on nothing that is there and remove nothing, since it has seen nothing. They are on its disk when it says so, in their order, and done once
// however both ends crash: what waits is pushes, whose dots are merged once. They go before anything else that the node asks about the region. To all
// that they have not seen they are concurrent: additions add up, of two values the later stamp shows, another type under the same key stays beside them, and so does the
// time at which an entry expires. Nobody reads them before.
//
// # Invariants
//
//   - A write that was acknowledged as disk, on a node with a Storage, survives kill -9 and power loss, and its dot is never issued again.
//   - Replicas that have exchanged what they have seen show the same, and have equal digests.
//   - No call waits for a peer, but those that are about waiting: At, WaitFor, Acquire and Release, until their context ends, writes to
//     regions whose acknowledgement is quorum or all, for 10 s at most (quorum.go), and what is about leases, for 10 s, or 30 s for SetVoters.
//   - Entries, causal context and floors become durable together or not at all.
//
// # Cost
//
// A write takes one lock, one map-free lookup and one allocation for its value; a read takes a shared lock.
// A quiet peer costs a fingerprint of eight bytes every 30 s, backing off to 5 min. Idle regions cost no
// traffic, no timer and no time in a check: fingerprints are kept as regions change. Finding the one that changed among
// 10,000 takes 5 KB and two round trips. A region of one entry takes 2.3 KB of the Go heap. A pull costs what differs, plus about 20 bytes an origin. A region that is large and read
// remembers 256 of its readers' entries, 2 KiB. A scrub of nodes in step costs 2 KiB an hour. Status takes time in
// proportion to regions times peers.
//
// # Limits
//
// A voter keeps 16,384 leases; beyond it, it forgets those that nobody holds, and who renews one of those late may be told that it is lost. While voters are changed no lease is renewed. Where two
// halves of a fabric that knew nothing of each other both named voters, those who learn of it grant nothing any more, and nothing mends that. Any member may
// name voters, and is believed when it says who they are. Leases rely on clocks that run no more than 1/1000 too fast or too slow.
//
// LimitRate does not hold back pushes. A causal region's pull that is kept back as a whole begins anew when it breaks off. A
// node takes over at most 131,072 regions, and passes over the rest.
//
// Rights of a bounded counter that a node held when it crashed, or stopped with nobody connected, or that were on their way to it when it gave its copy up, are lost until the counter is begun anew. At
// most 4096 counters are asked about at once.
//
// A holder that is lost is replaced after 10 min, if a node that may hold the region is connected to the decider. Only nodes that are take copies, and only
// the order of tiers is a way outward: an upstream is a node of a farther tier that is connected. What other members say of use, of links and of memory is
// believed. A copy that is not whole after 10 min is given up, and begun anew later. A copy that nobody uses and nobody writes to costs nothing, and stays. Nodes of versions before this take and give
// no copies, and Config.ManualMoves has a node do as they do. A region whose holders are all retired is not begun anew. A region
// that is not everywhere costs an entry for each node in the catalogue, and time in each check; a node without a copy keeps its empty replica
// and drops pushes of it, which still reach it by the topic and through a feeder. It takes as long as Go's collector needs, 2 min at most, until the memory of a copy is free, and
// the removal of its records is one commit. While there are nodes of versions that know of no copies, they and those without one send
// each other more; those that know of no placements hold every region, hear of
// writes to one that is not everywhere by pulls, and count for no acknowledgement of it. Certificates carry no roles yet: any member may have a holder read and write a region for it, as it may hold any itself.
//
// Keys, members and field names have at most 64 KiB, values at most
// 1 MiB. Operations on a whole region (Flush, a scan, a pull's first step) hold its lock while they
// list their cells. Values are not typed beyond their kind: two programs that use different codecs for one key will not
// understand each other.
package fabric

// Package crdt is the replication core: what a replica of a region holds, how it changes, and what replicas say to
// each other so that they become equal. It is a state machine without goroutines, clocks or I/O: "now" and
// messages go in, records and messages come out. Equal inputs give equal outputs, so that a seed replays a run.
//
// # What a replica holds
//
//	Region
//	├─ context      per origin: every write up to base, and ranges above it    context.go, runs.go, line.go
//	├─ pieces       ranges of the hash space that an unfinished pull brought further   piece.go
//	├─ entries      by hash of the key, in order: records in a Memory          store.go, table.go
//	│   └─ cells    a value, one set member, one map field, the expiry, …      cell.go
//	│       ├─ siblings   live writes: dot, stamp, tag, value. Normally one
//	│       └─ ghosts     dots of removes
//	│                 a value may be on disk alone, but for its dot, stamp, length and hash     away.go, policy.go
//	├─ floors       per origin, the highest ghost that was forgotten           ghosts.go
//	└─ dot index    per origin, live dots and ghosts → records                 index.go
//
// A write takes the next dot of its origin and covers what its cell holds: the siblings of its kind and all
// ghosts. A remove does the same, and its own dot becomes a ghost. Only what differs between live states ever
// travels; there is no history.
//
//	local write ─► Tx.write ─► cell ─┬─► outbox ─► TakePush ─► gossip ─► Push        (push.go)
//	                                 └─► dirty  ─► TakeDirty ─► one atomic commit    (record.go)
//	Hello ─► NewPull ─► [offer ◄─► replies] ─► chunk, chunk, … ─► Receiver.Merge     (pull.go, recon.go, back.go, chunk.go)
//
// # Invariant H
//
// If a replica has seen a write, its cell has incorporated that write and all that it covers, directly or through
// others. Then what a replica holds is a function of its context, and joining two replicas loses and revives
// nothing. Five rules keep it:
//
//  1. A pushed write applies only where everything that it covers was seen. Otherwise it waits, or a pull brings it.
//  2. A pull joins each differing cell against the sender's whole context: what the sender has seen and does not
//     hold is gone, what we have not seen is new.
//  3. Forgetting ghosts raises a floor. A peer that has not reached it compares live dots: by coded symbols, by
//     bitmaps where much differs, one by one in a small region (recon.go).
//  4. A write drops a ghost only if it covers it.
//  5. Last-writer-wins is a view: concurrent losers stay until a later write covers them.
//
// Pulls come in chunks, each for a range of the hash space. Every dot belongs to one cell and so to one range;
// a range is a small replica of its own, and a chunk is one whole pull of it. Removals with a scope (an entry of many
// cells, the whole region) reach beyond their cell. Their ghosts therefore come first in their scope, and three
// more rules hold:
//
//   - who has seen a scoped removal in some part of its scope has it at the beginning, where its ghost is;
//   - a pull goes back when such a ghost appears behind it (Pull.rewind);
//   - a scoped removal covers, by its context, what its replica has seen everywhere; what only a part of the
//     space has seen is removed write by write (Tx.removeBeyond).
//
// Chunks may come in any order, since each is a replica by itself. What the puller read lately and what was written
// last comes first (early.go); the rest follows by position, looked up on the way where most of it goes (walk.go).
//
// # Identity
//
// A dot names one write for ever, because each start of a process takes a fresh origin. A process that is put back to
// an earlier state while it runs, as by a snapshot of its machine, would use dots twice: it is told (ErrRolledBack)
// by the first peer that knows more of its writes than itself, and writes again what it wrote since under another
// origin (Reincarnate). Where two replicas have seen the same and hold something else, whatever the reason,
// a scrub finds what differs and each writes again what the other lacks (scrub.go): both values of a fork live on.
// Check finds what changed in memory without a write.
//
// The starts of one node make a line, and those that ended collapse into one entry of the context (line.go). So a context
// is in proportion to the nodes that write, however often they restart.
//
// In a causal region nothing shows before what it comes after (causal.go).
//
// The package test/sim checks all of this after every step of seeded schedules, and breaks rules 1 to 5,
// and two of those that chunks rely on, in turn.
//
// # Types
//
// Register siblings show the latest stamp (HLC, then dot); those of a key that are HyperLogLogs are joined where the latest
// is one (hll.go). A counter is the sum of its origins' contributions
// beside at most one register that shows (counter.go). A set member is present while one add of it lives, so adds win
// over concurrent removes. A map field is a register or a counter. Of concurrent expiries the latest instant
// wins, and PERSIST beats all (expiry.go). A stream is its entries, named by their ids; those of both sides stay, and who reads on gets
// what arrived since (stream.go). A block is pages of 4 KiB that merge one by one (block.go). A JSON document
// is a tree that merges by path, whose arrays are lists and whose numbers are counters (json.go). A bounded counter never passes its
// limit, because each start of a node spends rights that it holds itself (bounded.go). Several kinds written concurrently under one key are all kept; one shows
// (Kind), and a later write settles it. Cells and tags of newer versions are kept and relayed.
//
// # Cost
//
// With n cells, m live dots and ghosts that a peer lacks, o origins and v bytes of values:
//
//	local write        O(siblings of the cell), 0 allocations and 1 to 3 for those that are pushed; a scoped removal is
//	                   O(cells in scope)
//	read               O(1); 0 allocations
//	Push, a write      O(1); the message adds about 15 bytes to key and value
//	Hello              O(o) bytes
//	pull               O(m + o + v) bytes; O(m log m) time. Where a floor or a scoped removal is in between:
//	                   O(cells in that range) bytes without their values
//	a value away       a read of the durable image; overwrites, removes, digests and pulls' decisions read nothing
//	memory             34 bytes a register, 38 a set member or map field, 49 in a small set or map, 164 a register that
//	                   expires, beside key, name and value; 38 a ghost; 140 an origin that is not collapsed, or of
//	                   which something lives; nothing for history
//	a small region     1.6 KB with one entry, once its writes were pushed or taken: until then some 500 bytes more; regions
//	                   of a Family share their configuration
//	TakeDirty          O(cells that changed)
//
// # Limits
//
// A key, member or field has at most MaxKeyBytes, a value MaxValueBytes, what is larger is a block of up to MaxBlockBytes; a sum 400 digits of which 17 after the point.
// Callers refuse more. A region takes MaxOrigins origins. Contributions to a counter are not folded: each start of a node that
// added to it is a sibling of its own, and so are resets of contributions whose start has ended, and the rows of a bounded counter. Rights that a start held when it crashed
// are lost to its counter until that is begun anew. One Tx is one run of dots and durable as one, but its pushed writes apply
// cell by cell: a peer may show some of them first. What a member of the fabric claims is believed: a forged
// context spoils the writes that it names, though never the process.
//
// # Reading order
//
// dot.go, runs.go, context.go, line.go, cell.go, store.go with entry.go, put.go and table.go, region.go (the primitives that keep derived figures right), tx.go, push.go,
// pull.go, chunk.go, piece.go, recon.go with sketch.go and bitmap.go, columns.go, causal.go, identity.go, scrub.go, then counter.go, expiry.go, ghosts.go, record.go. step.go is the door for drivers
// that replay, audit.go the one for checkers. Messages are described in wire.go and held by testdata/golden.
package crdt

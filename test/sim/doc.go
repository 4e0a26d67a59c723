// Package sim plays seeded schedules on the real replication core and checks every step against an oracle
// that knows every write by itself.
//
// A schedule is a list of steps, made from one seed: local transactions with every operation; pushes that are
// folded over random windows, lost, repeated, reordered, cut off by one-way partitions; pulls in chunks of
// a few bytes between which both sides write, push, pull and prune; sessions cut and resumed with other peers;
// clocks wrong by decades, that leap; crashes that lose what was not committed; disks that are full, wiped, put back to a backup,
// or cloned. Time is virtual and nothing runs beside anything else, so that a seed replays a run to the byte.
//
//	seed ─ generate ─► steps ─ world ─► crdt.Region ×2–6 ─ encoded bytes ─► each other
//	                              │            │ Trace: each write, with what its replica had seen
//	                              │            ▼
//	                              └──────► oracle: sets of writes ─► must be live, must show
//
// The oracle holds plain sets. It takes two things from the core: that a write happened (its dot, cell and tag)
// and which writes a replica says that it has incorporated. From these and the rules of what covers what it
// computes, by going through all writes, which siblings must live, which removes may be forgotten, and what each
// key must show; the increments of a counter it adds up itself. So a replica may be behind, but its state must
// be exactly the function of what it claims: this is invariant H, and more. At the end partitions heal,
// everyone pulls from everyone until nothing changes, and every write must be everywhere, but those that a
// crash took before any peer or disk had them.
//
// Seeds come in ten kinds (kinds.go): those below 2^40 meet everything a little, those from 2^40 on few keys, scoped
// removals and many half pulls, those from 2^41 on what happens to disks and clocks, those from 3·2^40 on a replica that comes
// back to peers which have forgotten what they removed, and must reconcile, those from 2^42 on causal regions, in which nothing may
// show before what it comes after, those from 5·2^40 on nodes that restart and collapse their ended starts, those from 6·2^40 on
// the same in the middle of sessions and in causal regions, those from 7·2^40 on values that leave memory for the disk and come back,
// while disks cannot be read now and then, those from 2^43 on are of the types of entries that came later, and those from 9·2^40 on of
// bounded counters, beside ledgers of all that was ever earned and spent (bounded.go). Seven mutants of the core, each with one
// rule broken, must die by what comes out at the end.
//
//	go test ./test/sim                                         # 5,000 schedules, corpus, mutants, scenarios
//	go test ./test/sim -run TestSimSchedules -seed 7 -schedules 100000 -v
//	go test ./test/sim -run TestScenario -v                    # fabrics of up to a thousand nodes, with their reports
//	go test ./test/sim -run TestScenario -v -scenario mine.toml
//
// A failing schedule is shrunk to the steps that matter, and told as a story.
//
// forks.go plays machines that are put back to a snapshot of their memory, where a dot no longer tells a write.
//
// Fabrics of a thousand nodes are played from scenarios/*.toml by the package scenario.
//
// Reading order: script.go (steps), kinds.go (schedules), world.go (replicas), network.go, session.go, disk.go (what happens to them),
// settle.go (the end), oracle.go and show.go (what must be true), local.go (what one operation must do), shrink.go.
package sim

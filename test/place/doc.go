// Package place replays demand against the policy that decides which nodes hold a region, and sets what that costs against the offline
// optimum and against other policies.
//
//	seed ─ generate ─► Trace: use and moves of devices, step by step ─┬─► play(policy) ─► cost of reads, writes, moves ─┐
//	recording (CSV) ─► ReadTrace ─────────────────────────────────────┴─► bound (each hop by itself), exact (small)  ────┴─► table
//
// The world is a tree of three tiers of a hundred nodes each: ten cloud sites under the root, with nine more machines each, ten edges
// under each site, devices under edges, between which some move. Costs are those of tiers/place: seconds that readers wait, seconds
// that links are busy, money, energy. Rules that hold for everybody, the optimum too:
//
//   - A read goes outward until it meets a copy, and pays each hop. The root always has one.
//   - A write goes to the root, and to every copy once: it pays each hop with a copy behind it.
//   - A copy comes from the nearest one above; giving one up is free.
//   - What is decided at the end of a step holds from the next one on. The optimum knows the step before.
//
// # The optimum
//
// Of any set of holders the cost is at least the sum over hops of what the hop would cost if there were nothing but it: behind it is a copy
// or none. That is a game of two states, whose optimum a dynamic programme finds exactly; the sum is the bound. In small worlds the optimum
// over all sets of holders is computed too: the bound is never above it, and equal where copies may nest.
//
// # Running one
//
//	go test ./test/place                                                 # every trace, with what must be true
//	go test ./test/place -v -run TestTable                               # and the table
//	go test ./test/place -v -run TestTable/commute -seed 7               # one trace, another seed
//	go test ./test/place -v -run TestRecording -recording demand.csv     # a recording
//
// A recording has a line for each step, region and consumer: seconds, region, bytes of the region, consumer, reads, read bytes, writes,
// written bytes; or seconds, "move", 0, device, edge. Nodes are named as in tree.go.
//
// # Limits
//
// A move takes no time, and links do not fill up. Nothing fails here: that constraints hold when nodes are lost is the matter of the
// policy's own tests. The policy's bound is on the mean over its draws: a trace has many regions, each with a draw of its own, so that a run comes near
// it; a single region may cost more, and so does use that
// costs more in one step than a move does, before anybody could decide. Devices that move hold no copies, since the bound would not hold. The traces are synthetic; testdata has one written by
// this package, to show the form.
package place

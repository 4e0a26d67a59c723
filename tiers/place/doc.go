// Package place decides which nodes hold a region: a copy goes to where the region is used, stays while that pays, and leaves, and no
// decision breaks what the region's owner asked for. It observes numbers and decides; it moves nothing.
//
//	use: reads and writes by consumer ┐
//	nodes: tier, zone, labels, room,  ├─► Policy.Step(observation, now) ─► decisions: promote, demote, replace, none,
//	  pressure, link to the upstream  │                                     each with the rule and the numbers that caused it
//	holders: durable, complete        ┘
//
//	past moves of devices ─► Mobility.Next ─► where to warm a copy before the device is there
//
// # The game
//
// Each node names its upstream, the next node outward; together they are a tree. Between a node and the nearest node above it that may hold
// the region lies a hop. Without a copy at the node every read of it and of what is below it crosses the hop (rent); with one, every write
// that comes from elsewhere does (upkeep); gaining the copy moves the region's bytes over the hop once (the move), giving it up costs nothing.
//
// A Meter keeps, in one number from 0 to 1, what the offline optimum thinks of that: rent raises the level by its share of the move's
// cost, upkeep lowers it by its. It is the work function of the two-state game: at 1 the optimum would have a copy by now, at 0 it
// would have none. A copy is wanted while the level is at or above a threshold.
//
// # How good that is
//
// Let the threshold be drawn evenly from 0 to 1, and let the demand not depend on the draw. While the level rises by dx from x, the optimum
// pays dx (in moves); this policy pays dx without a copy, of chance 1-x, and moves with chance dx. While the level falls by dx, the
// optimum pays nothing, the policy dx with a copy, of chance x. A rise and the fall that follows cost (1-x) + 1 + x = 2 for 1: on any
// sequence of reads and writes the expected cost is at most twice the optimum's, and a constant. One draw for all nodes of a region keeps
// copies nested, since what is read below a node is read through it: so the sum over the hops holds for the tree, if what rents, upkeep
// and moves cost is in the same ratio on each hop of a chain; where it is not, a node waits for its upstream, and test/place measures.
//
// Config.Steady puts the thresholds at 1 for gaining and 0 for giving up instead: twice the optimum for certain where nobody writes (ski
// rental), three times at worst where an adversary does, and the widest hysteresis. Config.Band, the hysteresis of the drawn threshold, adds
// its width to the ratio: 2 + Band.
//
// # Invariants
//
//   - Step never asks for a demotion after which the region would have fewer live copies than it must, none at a tier where one is
//     due, or none that is durable and proved complete; nor of a pinned holder, nor of a region that is everywhere or never leaves.
//   - A promotion goes only to a node that may hold the region by tier and labels, has room for it and is not short of memory.
//   - At most Config.AtOnce moves of a region run at once, and at most Config.PerHour promotions and demotions begin in any hour; repairs
//     do not count in the second, since copies that are missing cannot wait.
//   - Equal observations and seeds give equal decisions, in the order in which they are to begin: repairs, what must go, then the rest
//     innermost first for demotions and outermost first for promotions, by node id among equals.
//
// # Memory
//
// Per region: a Meter of 8 bytes for each node at which the level is above 0, at most metersMax; a Demand of at most consumersMax consumers;
// a Sketch of 2 KiB for keys. Per device, of devicesMax, Mobility counts at most hopsKept moves.
//
// # Limits
//
// The policy knows hops of a tree, not of a mesh: what crosses between siblings without their upstream is not modelled. It trusts what
// it is told: who observes must know which reads a node answers for others.
//
// Reading order: cost.go, meter.go (the game), spec.go (what must hold), observe.go, policy.go, repair.go; then demand.go, mobility.go,
// others.go (what to compare with).
package place

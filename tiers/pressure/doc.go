// Package pressure decides what a node does when memory is short: how severe it is, what to do about it, who gives back how
// much. It observes numbers and decides; it reads nothing, waits for nothing and frees nothing itself.
//
//	own account: used, budget, reserve ┐
//	cgroup: working set, limit, events ├─► Gauge.Observe(reading, now) ─► Verdict: level, why, delay of writers, bytes to give back
//	kernel: stall times (PSI)          ┘                                     │
//	                       regions: class, quota, reservation, used ─► GiveBack(claims, bytes) ─► bytes for each
//
// # Levels
//
// Each level does what the ones below it do as well.
//
//	none      nothing
//	reclaim   clean values leave to disk, and pools return what is empty
//	demote    replicas that others hold durably are given up
//	slow      local writes wait, the longer the nearer the node is to refusing
//	refuse    local writes fail with a clear error. Merges go on
//
// # Invariants
//
//   - Merging has a reserve: local writes are refused at the budget less the reserve, merges have room up to the budget, so that
//     a full node still converges.
//   - Worse numbers never give a lower level. A level rises at once; it falls when the numbers have been better by a margin for a while.
//   - The kernel's stall times never refuse writes by themselves, since another process of the machine may cause them.
//   - What is kept for single regions and not used by them counts as used for writers and levels, not for merges: it is there.
//   - GiveBack never asks for more than is needed, and touches a reservation only when nothing else is left.
//   - Equal observations give equal verdicts.
//
// # Limits
//
// What is reported as used should fall when values are evicted: the bytes of used slots (offheap.Usage.Used), not of the slabs
// that they lie in, which stay until they are empty. Slabs beyond the budget are a matter of compaction.
//
// Without a budget only the cgroup and the kernel are heard; without these only the node's own account, in which the
// Go heap and libraries do not show unless the caller adds them.
package pressure

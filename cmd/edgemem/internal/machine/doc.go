// Package machine reads how much memory this process may use and how it fares: the limits of all cgroups that it is in, of either version,
// the machine's own memory, and what the kernel says of pressure.
//
//	Find(os.DirFS("/")) ─► Machine: the tightest limit, and which file says so    limit.go, cgroup.go
//	                        ├─► Sample: use, events and stall times, now          sample.go
//	                        └─► PlanFor: budget, reserve and GOMEMLIMIT           plan.go
//
// Everything is a plain file below the root that Find is given, so that tests bring their own. A file that is absent says
// nothing, and is no error: other systems have none of them, containers hide some. One that cannot be understood is an error that
// names it. Reads are bounded: what stands in these folders is not ours.
//
// # Limits
//
// Limits on swap and on the address space (ulimit -v) are not read. A limit that changes while the process runs is seen by
// Sample (of a cgroup around ours only if it had one at the start), and no plan is revised by itself. Of a cgroup of version 1 without hierarchy, parents do not count.
package machine

// Package wire is an Ethernet switch in a program, whose links are as bad as a test wants them. It needs nothing of
// the kernel but TAP devices, and its tests not even these.
//
//	┌ namespace ┐                       Switch                       ┌ namespace ┐
//	│ eth0 (TAP)│─ frame ─▶ Port ─▶ link device→cloud ─▶ queue ─▶ Port ─▶ eth0 (TAP)│
//	│           │           learns     loss, rate, delay,    by time │           │
//	└───────────┘           the MAC    order, copies, cuts           └───────────┘
//
// There is one link for each ordered pair of ports, so that a link may be bad, or cut, in one direction only.
// Conditions may change at any time; frames that are under way keep the times they were given, but none arrives over a
// link that is cut by then.
//
// # Replay
//
// What happens to the n-th frame of a link is a function of the switch's seed, the names of both ends and n alone: not of
// the other links, nor of the conditions before. The same conditions over the same frames give the same losses,
// copies and delays. What real programs send is not the same from run to run; which frames fare badly is.
//
// # Invariants
//
//   - Frames stay in order, however much the delay varies, unless Condition.Reorder picks one.
//   - Each queue is bounded, by Condition.QueueBytes where there is a rate and by framesMax for each link; a frame that finds
//     no room is dropped and counted.
//   - Close returns when no goroutine is left.
//
// # Cost
//
// A frame costs two system calls, two copies and one wake-up. Delays are those of the runtime's timers, about 0.1 ms late on a quiet
// machine.
//
// # Limits
//
// TAP devices are Linux. The table of addresses does not age: an address that moves is learnt anew, and a port takes its own
// with it. There are no VLANs and no loops to break.
package wire

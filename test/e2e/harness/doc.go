// Package harness runs edgemem daemons as processes of their own and judges them from outside: it uses
// what users have (flags, exit codes, status, the Redis protocol, signals) and none of edgemem's packages.
//
//	Build ──► Node ──► process (dies with the test) ──► log, shown when the test fails
//	           │ Status, over the control socket, which crosses network namespaces
//	           │ Dial, Redis protocol
//	           ▼
//	        Writer ── each write is tried, then acknowledged ──► Ledger ── Check ──► what is wrong
//
// Invariants:
//
//   - A daemon never outlives the test binary, not even when that is killed.
//   - Nothing sleeps for a fixed time: Eventually polls until a condition holds or its time is up.
//   - The ledger never guesses: a write that was not acknowledged may have happened or not, and a key
//     with such a write is not written again.
//
// Limits: processes and signals are those of Linux; elsewhere daemons that survive a killed test are
// possible.
package harness

// Package history judges what a store did from outside: from what clients asked, when, what they were answered, and what
// every node holds in the end. It knows no network, no clock and no edgemem.
//
//	client ─ Session.Record ─┐
//	tester ─ Killed, Apart, ─┼─▶ Log ── Check(what each node holds) ──▶ violations
//	         Agreed, …      ─┘
//
// # What is promised, and so held against the store
//
// A write that was answered is certain if some node whose data lives on had it for sure: a node where it was
// answered, where a client read it, or which agreed with another that had it. Data lives on in a node that runs, or that
// ended well. A node that was killed keeps what its disk had: what it had answered in regions that answer from disk; of all else,
// what others wrote there included, what it had held for Settings.OnDiskAfter before the kill. A node that was rolled back to a copy
// keeps what was there when the copy was made.
// A write that is not certain, and one that was not answered, may have happened or not, and may come to light at any time.
//
// Of two operations on one slot, the later saw the earlier if its node surely held it. It may have seen it unless
// it had returned before the other began, or a cut kept their nodes apart all the while. Then:
//
//	Lost       a certain write is gone, and no remove, and no later write, may have seen it; so adds win over removes that did not
//	Returned   an element is there although a certain remove saw every write of it
//	Stale      a value is there although a certain write saw it, or came so much later that its stamp is higher
//	Invented   a value that nobody wrote
//	Count      a counter is not the sum of all certain increments and some of the others
//	Unequal    nodes that should agree do not: values, contexts or digests
//	OutOfOrder a read broke one of these with regard to what its node surely held by then: the client's own writes
//	           (read your writes), what it read before (monotonic reads), what others were answered there
//
// # Invariants
//
//   - No false alarm: where the history does not prove a violation, there is none.
//   - The same history gives the same violations in the same order.
//
// # Limits
//
// Each write of a string or field must have a value of its own; members are there or not. A slot costs the square of the
// operations on it: a few dozen are well, thousands are not. Counters are not removed. All times are of one clock;
// Settings.Skew is what the clocks of nodes may differ from it.
package history

// Package resp serves the Redis protocol, RESP2 and RESP3, over a fabric: any Redis client in any
// language reads and writes regions with it.
//
//	net.Conn ─► guard ─► redcon ─► execute ─► table ─► handler ─► region.View / region.Apply
//	            bounds   slices    one row says all       │ replies
//	                                                      ▼
//	                     net.Conn ◄─ send ◄─ settle: one wait for all commits of the pipeline
//
// On Linux few goroutines serve many connections: see loop.go. Elsewhere, and where a client is sent what it did not ask for, a connection has
// its own.
//
// # Invariants
//
//   - A reply to a write is sent only after its region acknowledged the write. Where the acknowledgement
//     fails, the reply is an error. A pipeline waits once, at its end. Reads are answered from memory at
//     once, so they may show a write of another client that is not acknowledged yet.
//   - A command is atomic: one View or one Apply, which is one delta group on other nodes.
//   - Nothing that a client sends makes the server hold more than [Limits] say, panic, or loop.
//   - One table drives lookup, checks, COMMAND, COMMAND DOCS and COMMAND GETKEYS. A command of Redis that
//     is absent answers why, and COMMAND does not list it.
//
// # Regions without a copy on this node
//
// What reads and writes entries goes to a holder as it came, and its answer comes back byte for byte; see [fabric.Request] and away.go. The commands of a pipeline
// that go to one region travel together, and so does a transaction; replies keep their order. EM.SOURCE tells who answered, and how complete its copy was. -NOHOLDER
// says that no holder is connected or answers, and names them: nothing was done. -UNCERTAIN says that a holder got a write and that its answer is lost;
// -TRYAGAIN that the region left the holder in between: nothing was done. Refused are what waits (BLPOP, XREAD BLOCK and the like), and reads of a client that
// tracks keys. WATCH notes the state of keys at the holder, and EXEC has it compared there. Where the region lets writes wait and no holder is reached, those that depend on nothing do (queued.go). Keyspace notifications tell nothing of such a region. FLUSHALL fails at the first one.
//
// # redcon
//
// Of redcon the package uses the command parser and the reply writers. Its server loop is not used: it
// accepts announced lengths without bound, calls itself once per read of an incomplete command (one byte
// at a time, a client fills the stack, which ends the process), allocates three times for each command,
// and writes without a deadline.
//
// # Differences from Redis 7.0.15
//
//   - SELECT takes names as well as numbers, any number, and creates the region.
//   - INCRBYFLOAT and HINCRBYFLOAT add exact decimals of 17 fraction digits where Redis adds long doubles;
//     hexadecimal floats are refused. An INCRBY after INCRBYFLOAT works when the sum is an integer.
//   - Values are at most 1 MiB, keys, fields and members 64 KiB.
//   - SMEMBERS, SINTER, SUNION, SDIFF, HGETALL, HKEYS, HVALS, KEYS and the SCAN family have one order on all replicas; cursors
//     and the number of elements of one SCAN call differ from Redis's.
//   - COPY to another database is refused. LCS takes values of which the product of the lengths is at most 16 Mi. At most
//     1,048,576 random members are picked with repetition. OBJECT ENCODING has one word for all sets.
//   - PFCOUNT does not write the count into the value. A damaged HyperLogLog is refused whole, where Redis goes on until it comes to
//     the damage. The sparse form joins runs that Redis may leave apart, so that a value can be some bytes smaller.
//   - The seq of an id that XADD makes ends in 16 bits of the node. XREAD goes on by arrival, and gives entries of one id
//     together, also beyond COUNT. There are no consumer groups. XREAD takes +, of
//     Redis 7.4. An entry is at most 1 MiB. XADD and XTRIM with ~ leave less than 100 entries too many.
//   - DBSIZE counts expired keys until they are swept.
//   - FLUSHALL is refused unless allowed. DEBUG, EVAL and others answer why not.
//   - PUBLISH reaches clients of other nodes too, at most once. CLIENT TRACKING with REDIRECT is refused. A change that came by a merge is
//     notified of as set, sadd, hset, xadd or del, by what the key holds then. CONFIG SET changes notify-keyspace-events and
//     latency-monitor-threshold alone. ACL users have no selectors.
//   - INFO, CONFIG, MEMORY, WAIT and FLUSHALL are not allowed within MULTI; a SELECT there parts the transaction.
//   - A bulk string that does not end in CRLF closes the connection; Redis skips two bytes unseen. An inline
//     command above 64 KiB always does; in Redis that depends on how it arrives.
//   - HELP texts, summaries, INFO and CONFIG GET list what exists here.
//   - CLIENT SETINFO and CLIENT NO-TOUCH, of Redis 7.2, are there, since clients send them.
//   - A reply above [Limits].ReplyBytes is an error.
//
// # Cost
//
// An idle connection holds 4 KiB, and a goroutine where no loop serves it. A GET allocates nothing; a SET allocates the key and
// the value that it stores. A pipeline costs one read, one write, and two readings of the clock when its
// commands are alike.
package resp

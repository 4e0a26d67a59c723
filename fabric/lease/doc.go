// Package lease is how a majority of voters grants leases with fencing tokens: the state machines of those that vote and of those that
// ask, without clocks, disks or networks. fabric runs them.
//
// # Leases
//
// Each lease is a register, which voters keep as in CASPaxos (Rystsov, 2018): who wants to change it prepares a ballot at a majority, learns
// what was accepted last, and has a majority accept what it comes to. The number of the ballot that acquires a lease is its token.
//
//	asker    PREPARE n ─▶ voters     each promises n, unless it promised n or more, and says what it accepted and how long that lasts
//	         held by somebody: the end
//	         ACCEPT n, value ─▶      each accepts, unless it promised more
//	         a majority did: granted, with n as its token
//
// # Invariants
//
//   - Of one lease no two grants have the same token, and one that begins when another is over has the higher one.
//   - While a holder counts on its lease nobody else is granted it, as long as clocks run no more than 1/1000 too fast or too slow. The
//     voter counts the whole of a lease's time from when it accepted it, and again from a restart; the holder counts from before it asked for that,
//     and leaves out 1/250 (Believe). Clocks of different nodes are never compared.
//   - What a voter answers is on its disk before: Step gives the records with the reply.
//
// # Voters
//
// Who votes is written down, in an Electorate with a number, its epoch. A vote is of one epoch. What comes after an epoch is decided once (Paxos) by
// a majority of its voters, each of which votes no more in the old epoch when it accepts. The new voters begin with no leases: later than
// all the old ones can last, and with a floor that is above the old tokens. The first electorate is founded by all core members that any of
// them knows: no two can be founded in two halves of a fabric, as long as somebody in the one knows somebody in the other.
//
// A voter is a node and a nonce, which the node drew when it was asked to join, and keeps on its disk. One that lost its disk, or whose disk is that
// of a backup, has no nonce, and so no vote, until another electorate names its new one.
package lease

package p2p

import "time"

// The longest wait between two attempts to reach a member depends on how recently it was there. One that went a
// moment ago restarts, or lost its network, and is soon back; one that has been away for days costs a dial every few
// minutes for as long as it is remembered, and members that are gone for good are many in an old fabric.
const (
	backoffMin = time.Second
	backoffMax = 5 * time.Minute

	recently = 10 * time.Minute // a restart, an update, a tunnel, another network
	today    = 24 * time.Hour

	backoffRecent = 15 * time.Second
	backoffToday  = 60 * time.Second

	// snoozeFor is how long a peer is left alone that asked for it: it went off line, or has too many connections.
	snoozeFor = 60 * time.Second
)

// backoffCap is the longest backoff for a member that was connected until away ago. With the ± 50 % of postpone an
// attempt comes at the latest after one and a half times that.
func backoffCap(away time.Duration) time.Duration {
	switch {
	case away < recently:
		return backoffRecent
	case away < today:
		return backoffToday
	}
	return backoffMax
}

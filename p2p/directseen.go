package p2p

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// seenFor is how long a message id is remembered at least, unless seenMax comes first. A message goes round a
	// mesh in seconds; a copy that comes later is applied once more, which costs time and changes nothing.
	seenFor = 30 * time.Second
	// seenMax is how many ids each of two generations holds; when the younger is full the older is forgotten.
	seenMax = 1 << 15

	frameIDLen = 16
)

// frameID names a stamped frame by its content, whichever way it comes.
type frameID [frameIDLen]byte

func idOf(stamped []byte) frameID {
	sum := sha256.Sum256(stamped)
	return frameID(sum[:frameIDLen])
}

// seen remembers the ids of the last messages, so that each is delivered and passed on once.
type seen struct {
	mu         sync.Mutex // a leaf
	young, old map[frameID]struct{}
	turned     time.Time
}

// first tells whether the id is new, and remembers it.
func (s *seen) first(id frameID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= seenMax || now.Sub(s.turned) >= seenFor {
		s.turn(now)
	}
	if _, ok := s.young[id]; ok {
		return false
	}
	if _, ok := s.old[id]; ok {
		return false
	}
	s.young[id] = struct{}{}
	return true
}

func (s *seen) turn(now time.Time) {
	s.old, s.young, s.turned = s.young, map[frameID]struct{}{}, now
}

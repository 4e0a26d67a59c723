package resp

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// The pulse runs while there are clients and looks for those that hold resources without moving. One
// look at atomic stamps every few seconds costs less than a deadline on every read and write.
const pulsePeriod = 5 * time.Second

// startPulse and stopPulse are called under mu, when the first client comes and the last one goes.
func (s *Server) startPulse() {
	s.pulseMu.Lock()
	defer s.pulseMu.Unlock()
	s.pulse = time.AfterFunc(pulsePeriod, s.beat)
}

func (s *Server) stopPulse() {
	s.pulseMu.Lock()
	defer s.pulseMu.Unlock()
	s.pulse.Stop()
	s.pulse = nil
}

func (s *Server) beat() {
	s.sweep()
	s.pulseMu.Lock()
	defer s.pulseMu.Unlock()
	if s.pulse != nil {
		s.pulse.Reset(pulsePeriod)
	}
}

// sweep closes clients that have stalled: they do not read their replies, stopped within a command, or
// sent nothing for longer than an idle client may.
func (s *Server) sweep() {
	now := s.sinceStart()
	for _, c := range s.snapshot() {
		why := c.stalled(now)
		if why == "" {
			continue
		}
		s.stats.stalled.Add(1)
		s.log.Info("resp: closing a stalled client", "client", c.id, "addr", c.addr, "why", why)
		c.kill()
	}
}

// sinceStart is the server's clock: what has passed since it was made, in nanoseconds.
func (s *Server) sinceStart() int64 { return int64(time.Since(s.start)) }

func sortedByID(clients map[int64]*client) []*client {
	return slices.SortedFunc(maps.Values(clients), func(a, b *client) int { return cmp.Compare(a.id, b.id) })
}

// state is what a client's goroutine is doing, for the sweep and for CLIENT LIST.
type state int32

const (
	stateIdle    state = iota // waits for the first byte of a command
	statePartial              // waits for the rest of one
	stateBusy                 // runs commands
	stateWriting              // writes replies
	stateBlocked              // waits for a key to hold something
)

// enter notes a state and when it began.
func (c *client) enter(st state) {
	c.state.Store(int32(st))
	c.since.Store(c.srv.sinceStart())
}

// stalled says why the client must go, or "".
func (c *client) stalled(now int64) string {
	waited := time.Duration(now - c.since.Load())
	limits := &c.srv.limits
	if c.pushStalled(now) {
		return "does not read its messages"
	}
	switch state(c.state.Load()) {
	case stateWriting:
		if waited > limits.WriteStall {
			return "does not read its replies"
		}
	case statePartial:
		if waited > limits.ReadStall {
			return "stopped within a command"
		}
	case stateIdle:
		if limits.Idle > 0 && waited > limits.Idle {
			return "idle"
		}
	}
	return ""
}

package fabric

import (
	"sync"
	"sync/atomic"
)

// signal wakes whoever waits for the next change of something. Raising it costs one load while nobody waits.
type signal struct {
	armed atomic.Bool
	mu    sync.Mutex
	ch    chan struct{}
}

// next is closed when the signal is raised after this call. Ask for it first, then look at the state, then wait.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
		s.armed.Store(true)
	}
	return s.ch
}

func (s *signal) raise() {
	if !s.armed.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
		s.armed.Store(false)
	}
}

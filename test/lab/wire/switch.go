package wire

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrPort is wrapped by every error about a port's name.
var ErrPort = errors.New("wire: no such port")

// addressesMax bounds the table of addresses; frames to an address beyond it go to all ports.
const addressesMax = 4096

type mac [6]byte

// Switch connects ports. Its methods may be called at any time, from any goroutine.
type Switch struct {
	seed    uint64
	running sync.WaitGroup

	mu     sync.Mutex
	ports  map[string]*Port
	where  map[mac]*Port
	broken uint64 // frames too short to be any
}

// New makes a switch without ports. The seed decides which frames fare badly.
func New(seed uint64) *Switch {
	return &Switch{seed: seed, ports: map[string]*Port{}, where: map[mac]*Port{}}
}

// Attach plugs a device in under a name. Its links, to and from all others, are perfect at first. The device belongs to the
// switch now.
func (s *Switch) Attach(name string, dev Device) error {
	p := &Port{s: s, name: name, dev: dev, out: map[string]*link{}, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[name] != nil {
		return fmt.Errorf("%w: %q is there already", ErrPort, name)
	}
	for _, other := range s.ports {
		p.out[other.name] = newLink(s.seed, name, other)
		other.out[name] = newLink(s.seed, other.name, p)
	}
	s.ports[name] = p
	s.running.Go(p.receive)
	s.running.Go(p.deliver)
	return nil
}

// Detach unplugs a device for good, and closes it.
func (s *Switch) Detach(name string) error {
	s.mu.Lock()
	p := s.ports[name]
	if p == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %q", ErrPort, name)
	}
	delete(s.ports, name)
	for _, other := range s.ports {
		delete(other.out, name)
	}
	maps.DeleteFunc(s.where, func(_ mac, at *Port) bool { return at == p })
	p.closed, p.flights = true, nil
	p.signal()
	s.mu.Unlock()
	return p.dev.Close()
}

// Close detaches all devices and waits until nothing runs any more.
func (s *Switch) Close() error {
	var errs []error
	for _, name := range s.Ports() {
		errs = append(errs, s.Detach(name))
	}
	s.running.Wait()
	return errors.Join(errs...)
}

// Ports are the names, sorted.
func (s *Switch) Ports() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.ports))
}

// Set changes the condition of the link from one port to another, in that direction.
func (s *Switch) Set(from, to string, c Condition) error {
	if err := c.validate(); err != nil {
		return err
	}
	return s.with(from, to, func(l *link) { l.c = c.withDefaults() })
}

// Cut stops, or lets through again, what goes from one port to another, and leaves the rest of the condition as it was.
func (s *Switch) Cut(from, to string, cut bool) error {
	return s.with(from, to, func(l *link) { l.c.Cut = cut })
}

// Condition gives a link's present condition.
func (s *Switch) Condition(from, to string) (c Condition, err error) {
	err = s.with(from, to, func(l *link) { c = l.c })
	return c, err
}

// Stats gives a link's counts.
func (s *Switch) Stats(from, to string) (st Stats, err error) {
	err = s.with(from, to, func(l *link) { st = l.stats })
	return st, err
}

// Broken counts frames that were too short to have addresses, and were dropped.
func (s *Switch) Broken() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

func (s *Switch) with(from, to string, do func(*link)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[from]
	if p == nil || p.out[to] == nil {
		return fmt.Errorf("%w: link from %q to %q", ErrPort, from, to)
	}
	do(p.out[to])
	return nil
}

// forward learns where a frame's sender is, and sends it on: to the port where its receiver was seen, or to all.
func (s *Switch) forward(p *Port, frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.closed {
		return
	}
	if len(frame) < 14 {
		s.broken++
		return
	}
	now := time.Now()
	to, from := mac(frame[:6]), mac(frame[6:12])
	s.learn(from, p)
	if at := s.where[to]; at != nil && !to.group() {
		if at != p {
			p.out[at.name].carry(frame, now)
		}
		return
	}
	for _, l := range p.out {
		l.carry(frame, now) // links share nothing: their order does not matter
	}
}

func (s *Switch) learn(a mac, p *Port) {
	if a.group() || s.where[a] == p {
		return
	}
	if _, known := s.where[a]; known || len(s.where) < addressesMax {
		s.where[a] = p
	}
}

// group says whether an address is that of many: multicast or broadcast.
func (a mac) group() bool { return a[0]&1 != 0 }

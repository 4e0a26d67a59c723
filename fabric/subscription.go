package fabric

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Channel is the topic of one channel.
func Channel(name string) Topic { return Topic{Name: name} }

// ChannelPrefix is the topic of all channels whose names begin with a prefix.
func ChannelPrefix(prefix string) Topic { return Topic{Name: prefix, Prefix: true} }

func (t Topic) matches(m *Message) bool {
	if t.Shard != m.Shard {
		return false
	}
	if t.Prefix {
		return strings.HasPrefix(m.Channel, t.Name)
	}
	return t.Name == m.Channel
}

// Subscription holds the messages of some topics until they are read: at most subscriptionMax, and 4 MiB. Further ones are
// lost to it, and counted; it holds up nobody.
type Subscription struct {
	l      *Listener
	topics []Topic

	mu     sync.Mutex
	queue  []Message
	bytes  int
	lost   uint64
	closed bool
	wake   chan struct{} // capacity 1: one signal stands for any number
	forget func() bool   // that the fabric's Close is to close it
}

const (
	subscriptionMax   = 4096
	subscriptionBytes = 4 << 20
	topicsMax         = 4096 // of one subscription
)

// Subscribe begins to hear what is published on topics, on this node and on others that it can reach: at most once each,
// and nothing that was published while the word was under way that this node listens. A message that several
// topics match comes once. Close it when it is not needed any more; the fabric's Close closes it too. Errors:
// ErrTooManyTopics, ErrMessageTooLarge.
func (f *Fabric) Subscribe(topics ...Topic) (*Subscription, error) {
	if len(topics) > topicsMax {
		return nil, fmt.Errorf("%w: %d in one subscription, at most %d", ErrTooManyTopics, len(topics), topicsMax)
	}
	for _, t := range topics {
		if len(t.Name) > MaxMessage {
			return nil, fmt.Errorf("%w: channel %.32q… has %d bytes, at most %d", ErrMessageTooLarge, t.Name, len(t.Name), MaxMessage)
		}
	}
	s := &Subscription{topics: append([]Topic(nil), topics...), wake: make(chan struct{}, 1)}
	s.l = f.Listen(s.hear)
	for _, t := range s.topics {
		s.l.Want(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget = context.AfterFunc(f.ctx, s.Close)
	return s, nil
}

func (s *Subscription) hear(m Message) int {
	for _, t := range s.topics {
		if t.matches(&m) {
			return s.put(m)
		}
	}
	return 0
}

func (s *Subscription) put(m Message) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := len(m.Channel) + len(m.Payload)
	if s.closed {
		return 0
	}
	if len(s.queue) >= subscriptionMax || s.bytes+size > subscriptionBytes {
		s.lost++
		s.l.m.count.lagged.Add(1)
		return 0
	}
	s.queue = append(s.queue, m)
	s.bytes += size
	s.signal()
	return 1
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next gives the next message, in the order in which they came, and waits for it. Errors: ErrClosed, ctx's.
func (s *Subscription) Next(ctx context.Context) (Message, error) {
	for {
		if m, ok, err := s.pop(); ok || err != nil {
			return m, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

func (s *Subscription) pop() (m Message, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		if s.closed {
			s.signal() // for who else waits
			err = ErrClosed
		}
		return m, false, err
	}
	m, s.queue = s.queue[0], s.queue[1:]
	if s.bytes -= len(m.Channel) + len(m.Payload); len(s.queue) == 0 {
		s.queue = nil
	} else {
		s.signal()
	}
	return m, true, nil
}

// Lost counts the messages that came while the subscription was full.
func (s *Subscription) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Close ends the subscription. What waits can still be read; then Next answers ErrClosed.
func (s *Subscription) Close() {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.signal()
	s.mu.Unlock()
	if was {
		return
	}
	s.forget()
	for _, t := range s.topics {
		s.l.Unwant(t)
	}
	s.l.Close()
}

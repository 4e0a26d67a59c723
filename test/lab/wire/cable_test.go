package wire

import (
	"encoding/binary"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edgemem/edgemem/test/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cable is a device in memory. What the switch writes to it is kept with the time at which it came.
type cable struct {
	in    chan []byte
	gone  chan struct{}
	close sync.Once

	mu  sync.Mutex
	got []arrival
}

type arrival struct {
	frame []byte
	at    time.Duration // since the beginning of the bubble
}

var bubbleBegan = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func newCable() *cable { return &cable{in: make(chan []byte), gone: make(chan struct{})} }

func (c *cable) Read(b []byte) (int, error) {
	select {
	case f := <-c.in:
		return copy(b, f), nil
	case <-c.gone:
		return 0, os.ErrClosed
	}
}

func (c *cable) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, arrival{append([]byte(nil), b...), time.Since(bubbleBegan)})
	return len(b), nil
}

func (c *cable) Close() error {
	c.close.Do(func() { close(c.gone) })
	return nil
}

// take gives what came so far, and forgets it.
func (c *cable) take() []arrival {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

var _ io.ReadWriteCloser = (*cable)(nil)

// everyone is the broadcast address; the others are small numbers.
const everyone = 0xff

const frameSize = 1000

// frame makes a frame of frameSize bytes with a number in it.
func frame(to, from byte, number int) []byte {
	f := make([]byte, frameSize)
	for i := range 6 {
		f[i] = to
	}
	if to != everyone {
		copy(f, []byte{2, 0, 0, 0, 0, to})
	}
	copy(f[6:], []byte{2, 0, 0, 0, 0, from})
	binary.BigEndian.PutUint32(f[14:], uint32(number))
	return f
}

func number(f []byte) int { return int(binary.BigEndian.Uint32(f[14:])) }

func numbers(got []arrival) (out []int) {
	for _, a := range got {
		out = append(out, number(a.frame))
	}
	return out
}

// bench is a switch with cables called a, b, c …, whose addresses 1, 2, 3 … it has learnt.
type bench struct {
	t      *testing.T
	s      *Switch
	cables map[string]*cable
}

// inBubble runs a test on a bench, in virtual time.
func inBubble(t *testing.T, seed uint64, names []string, test func(*bench)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		b := &bench{t, New(seed), map[string]*cable{}}
		defer b.s.Close()
		for i, name := range names {
			b.cables[name] = newCable()
			if err := b.s.Attach(name, b.cables[name]); err != nil {
				t.Fatal(err)
			}
			b.send(name, frame(everyone, byte(i+1), 0))
		}
		for _, c := range b.cables {
			c.take()
		}
		test(b)
	})
}

func (b *bench) send(from string, frames ...[]byte) {
	for _, f := range frames {
		b.cables[from].in <- f
		synctest.Wait()
	}
}

// sendMany sends numbered frames from 1 to n, a pause apart, and waits a minute.
func (b *bench) sendMany(from string, to, source byte, n int, pause time.Duration) {
	for i := range n {
		b.send(from, frame(to, source, i+1))
		time.Sleep(pause)
	}
	time.Sleep(time.Minute)
}

func (b *bench) set(from, to string, c Condition) {
	b.t.Helper()
	if err := b.s.Set(from, to, c); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stats(from, to string) Stats {
	b.t.Helper()
	st, err := b.s.Stats(from, to)
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

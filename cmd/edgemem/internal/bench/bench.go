// Package bench loads a node through the Redis protocol, as its clients do, and says how many commands a second it took and
// how long each waited: what `edgemem bench` prints. Where redis-benchmark is at hand it says the same.
//
// Every client is one goroutine with one connection, that sends a pipeline and waits for its replies. A wait is that of a whole pipeline.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
)

// Options say what to send.
type Options struct {
	Addr       string // host:port or unix:PATH
	Password   string // for AUTH; empty: none
	Region     string // that is selected
	Requests   int    // of each test
	Clients    int    // at once
	Pipeline   int    // commands that a client sends before it reads
	ValueBytes int
	Keys       int // that commands choose from, at random
	Seed       uint64
}

// Result is one test's. Waits are of whole pipelines, in milliseconds, within 0.1 %.
type Result struct {
	Test      string  `json:"test"`
	Requests  int64   `json:"requests"` // answered
	Errors    int64   `json:"errors"`   // of them, by an error reply
	Error     string  `json:"error,omitempty"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_s"`
	P50       float64 `json:"p50_ms"`
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// Waits that are told apart: 1 µs to 60 s, three digits.
const (
	waitMin    = 1
	waitMax    = 60_000_000
	waitDigits = 3
)

// load is one test under way.
type load struct {
	o     Options
	test  Test
	taken atomic.Int64 // requests that clients have taken on,
	done  atomic.Int64 // that were answered,
	wrong atomic.Int64 // and of these by an error reply

	mu      sync.Mutex
	waits   *hdrhistogram.Histogram
	failure string // the first error reply
	err     error  // what ended a client
}

func newWaits() *hdrhistogram.Histogram { return hdrhistogram.New(waitMin, waitMax, waitDigits) }

// Run carries out one test. It calls reach, from one goroutine at a time, with how many requests were answered. A client whose
// connection is lost ends the test, with an error.
func Run(ctx context.Context, o Options, test Test, reach func(done int64)) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clients, err := dialAll(ctx, o)
	defer closeAll(clients)
	if err != nil {
		return Result{}, err
	}
	stop := context.AfterFunc(ctx, func() { closeAll(clients) }) // a reply that does not come holds nobody
	defer stop()
	l := &load{o: o, test: test, waits: newWaits()}
	began, finished := time.Now(), make(chan struct{})
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			if !l.run(c) {
				cancel()
			}
		})
	}
	go func() { all.Wait(); close(finished) }()
	report(finished, func() { reach(l.done.Load()) })
	r := l.result(time.Since(began).Seconds())
	if l.err != nil {
		return r, fmt.Errorf("%s: %w", test.Name, l.err)
	}
	return r, ctx.Err()
}

func dialAll(ctx context.Context, o Options) (clients []*client, err error) {
	for i := range o.Clients {
		c, err := dial(ctx, o, uint64(i))
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		_ = c.conn.Close() // whatever it had to say is known by now
	}
}

// run sends what a client takes on until all is taken. It reports whether its connection lasted.
func (l *load) run(c *client) bool {
	waits, most := newWaits(), int64(l.o.Pipeline)
	var err error
	for err == nil {
		n := min(most, int64(l.o.Requests)-(l.taken.Add(most)-most))
		if n <= 0 {
			break
		}
		var bad int64
		sent := time.Now()
		if bad, err = c.pipeline(l.test, int(n)); err == nil {
			_ = waits.RecordValue(min(max(time.Since(sent).Microseconds(), waitMin), waitMax)) // within its bounds it cannot fail
			l.wrong.Add(bad)
			l.done.Add(n)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits.Merge(waits)
	l.failure, l.err = cmp.Or(l.failure, c.failure), cmp.Or(l.err, err)
	return err == nil
}

// result is read when all clients have ended.
func (l *load) result(seconds float64) Result {
	millis := func(q float64) float64 { return float64(l.waits.ValueAtQuantile(q)) / 1000 }
	return Result{
		Test: l.test.Name, Requests: l.done.Load(), Errors: l.wrong.Load(), Error: l.failure, Seconds: seconds, PerSecond: float64(l.done.Load()) / seconds,
		P50: millis(50), P95: millis(95), P99: millis(99), Max: float64(l.waits.Max()) / 1000,
	}
}

// reportEvery is how often reach is called.
const reportEvery = 100 * time.Millisecond

func report(finished <-chan struct{}, reach func()) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			reach()
			return
		case <-tick.C:
			reach()
		}
	}
}

// client is one connection.
type client struct {
	conn    *respclient.Conn
	o       Options
	random  *rand.Rand
	value   string
	failure string // the first error reply
}

func dial(ctx context.Context, o Options, i uint64) (*client, error) {
	conn, err := respclient.Dial(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, o: o, random: rand.New(rand.NewPCG(o.Seed, i))}
	value := make([]byte, o.ValueBytes)
	for k := range value {
		value[k] = byte('a' + c.random.IntN(26))
	}
	c.value = string(value)
	if o.Password != "" {
		if _, err := conn.Do("AUTH", o.Password); err != nil {
			return nil, errors.Join(fmt.Errorf("AUTH: %w", err), conn.Close())
		}
	}
	if _, err := conn.Do("SELECT", o.Region); err != nil {
		return nil, errors.Join(fmt.Errorf("SELECT %s: %w", o.Region, err), conn.Close())
	}
	return c, nil
}

// pipeline sends n commands and reads their replies; it counts those that are errors.
func (c *client) pipeline(test Test, n int) (bad int64, err error) {
	for range n {
		if err := c.conn.Send(test.command(c)...); err != nil {
			return 0, err
		}
	}
	if err := c.conn.Flush(); err != nil {
		return 0, err
	}
	for range n {
		_, err := c.conn.Receive()
		var reply respclient.Error
		switch {
		case errors.As(err, &reply):
			bad++
			if c.failure == "" {
				c.failure = reply.Error()
			}
		case err != nil:
			return bad, err
		}
	}
	return bad, nil
}

func (c *client) key(kind string) string {
	return fmt.Sprintf("bench:%s:%d", kind, c.random.IntN(c.o.Keys))
}

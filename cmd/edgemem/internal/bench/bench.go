// Package bench loads a node through the Redis protocol, as its clients do, and says how many commands a second it took and
// how long each waited: what `edgemem bench` prints. Where redis-benchmark is at hand it says the same.
//
// Every client is one goroutine with one connection, that sends a pipeline and waits for its replies. A wait is that of a whole pipeline.
package bench

import (
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

// Run carries out one test. It calls reach, from one goroutine at a time, with how many requests were answered.
func Run(ctx context.Context, o Options, test Test, reach func(done int64)) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		merged = hdrhistogram.New(waitMin, waitMax, waitDigits)
		failed []error
		text   string
		taken  atomic.Int64 // requests that a client has taken on
		done   atomic.Int64
		wrong  atomic.Int64
	)
	clients := make([]*client, 0, o.Clients)
	defer func() {
		for _, c := range clients {
			c.conn.Close()
		}
	}()
	for i := range o.Clients {
		c, err := dial(ctx, o, uint64(i))
		if err != nil {
			return Result{}, err
		}
		clients = append(clients, c)
	}
	stop := context.AfterFunc(ctx, func() { // a reply that does not come holds nobody
		for _, c := range clients {
			c.conn.Close()
		}
	})
	defer stop()
	began := time.Now()
	for _, c := range clients {
		all.Go(func() {
			waits := hdrhistogram.New(waitMin, waitMax, waitDigits)
			var err error
			for err == nil {
				n := min(int64(o.Pipeline), int64(o.Requests)-taken.Add(int64(o.Pipeline))+int64(o.Pipeline))
				if n <= 0 {
					break
				}
				var bad int64
				sent := time.Now()
				if bad, err = c.pipeline(test, int(n)); err != nil {
					break
				}
				_ = waits.RecordValue(min(max(time.Since(sent).Microseconds(), waitMin), waitMax)) // within its bounds it cannot fail
				wrong.Add(bad)
				done.Add(n)
			}
			mu.Lock()
			defer mu.Unlock()
			merged.Merge(waits)
			if text == "" {
				text = c.failure
			}
			if err != nil {
				failed = append(failed, err)
				cancel()
			}
		})
	}
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	report(finished, func() { reach(done.Load()) })
	seconds := time.Since(began).Seconds()
	millis := func(q float64) float64 { return float64(merged.ValueAtQuantile(q)) / 1000 }
	r := Result{
		Test: test.Name, Requests: done.Load(), Errors: wrong.Load(), Error: text, Seconds: seconds, PerSecond: float64(done.Load()) / seconds,
		P50: millis(50), P95: millis(95), P99: millis(99), Max: float64(merged.Max()) / 1000,
	}
	if len(failed) > 0 {
		return r, fmt.Errorf("%s: %w", test.Name, failed[0])
	}
	return r, ctx.Err()
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

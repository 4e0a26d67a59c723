package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// Probes of one hop under load: one node writes at a steady rate, and now and then marks a write, whose arrival at the
// neighbour is timed.

const (
	loadTick    = time.Millisecond
	markEvery   = 50               // writes
	loadKeys    = 10_000           // distinct keys that are not marks
	loadPatient = 10 * time.Second // after the last write, for marks that have not arrived
	markPrefix  = "mark:"
)

func markKey(i int) string { return fmt.Sprintf("%s%011d", markPrefix, i) }

// marks notes when marked writes left and arrived.
type marks struct {
	mu      sync.Mutex
	sent    []time.Time
	took    map[int]time.Duration
	arrived chan struct{} // capacity 1: one signal stands for any number
}

func newMarks() *marks { return &marks{took: map[int]time.Duration{}, arrived: make(chan struct{}, 1)} }

func (m *marks) leave() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, time.Now())
	return markKey(len(m.sent) - 1)
}

func (m *marks) arrive(key string) {
	now := time.Now()
	var i int
	if _, err := fmt.Sscanf(key, markPrefix+"%d", &i); err != nil {
		return
	}
	m.mu.Lock()
	if _, twice := m.took[i]; !twice && i < len(m.sent) {
		m.took[i] = now.Sub(m.sent[i])
	}
	m.mu.Unlock()
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// settle waits until all marks have arrived, or a while.
func (m *marks) settle(ctx context.Context) error {
	limit := time.NewTimer(loadPatient)
	defer limit.Stop()
	for m.missing() > 0 {
		select {
		case <-m.arrived:
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (m *marks) missing() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sent) - len(m.took)
}

func (m *marks) figures(rate float64) (values, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ms []float64
	for _, d := range m.took {
		ms = append(ms, float64(d.Microseconds())/1000)
	}
	if len(ms) == 0 {
		return nil, fmt.Errorf("none of %d marked writes arrived", len(m.sent))
	}
	slices.Sort(ms)
	return values{
		"p50_ms": ms[len(ms)/2], "p99_ms": ms[len(ms)*99/100], "ops": rate,
		"lost": 100 * float64(len(m.sent)-len(ms)) / float64(len(m.sent)),
	}, nil
}

// loadFlags are those of all probes under load.
func loadFlags(fs *flag.FlagSet) (rate *int, span *time.Duration) {
	return fs.Int("rate", 10_000, "writes a second"), fs.Duration("for", 10*time.Second, "time to write for")
}

// under writes at a rate for some time, however late single writes are, and gives the figures of the marks.
func (m *marks) under(ctx context.Context, rate int, span time.Duration, write func(key string) error) (values, error) {
	began := time.Now()
	n := 0
	for tick := time.NewTicker(loadTick); ; {
		due := int(time.Since(began).Seconds() * float64(rate))
		for ; n < due; n++ {
			k := key(n % loadKeys)
			if n%markEvery == 0 {
				k = m.leave()
			}
			if err := write(k); err != nil {
				return nil, err
			}
		}
		if time.Since(began) > span {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	reached := float64(n) / time.Since(began).Seconds()
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	return m.figures(reached)
}

// probeLoad times one hop between two members while one of them writes. A mark that never arrives is an error: pushes
// may be lost, writes may not.
func probeLoad(fs *flag.FlagSet) func(context.Context) (values, error) {
	rate, span := loadFlags(fs)
	return inFolder(func(ctx context.Context, dir string) (values, error) {
		a, b, err := startPair(ctx, dir)
		defer a.close()
		defer b.close()
		if err != nil {
			return nil, err
		}
		m := newMarks()
		watch, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { m.watch(b.region.Watch(watch, markPrefix)) })
		defer func() { stop(); wg.Wait() }()
		value := valueSource(1)
		got, err := m.under(ctx, *rate, *span, func(k string) error { return put(ctx, a.region, k, value()) })
		if err == nil && got["lost"] > 0 {
			err = fmt.Errorf("%.2f %% of the marked writes did not arrive within %v", got["lost"], loadPatient)
		}
		return got, err
	})
}

func (m *marks) watch(events iter.Seq2[fabric.WatchEvent, error]) {
	for e, err := range events {
		if err != nil {
			return // what does not arrive is counted
		}
		m.arrive(e.Key)
	}
}

// startPair gives two members that have each other's entries.
func startPair(ctx context.Context, dir string) (a, b *member, err error) {
	a, hb, err := openMembers(ctx, dir)
	if err != nil {
		return a, nil, err
	}
	if err := putAll(ctx, a.region, keysInOrder(1), 1); err != nil {
		return a, nil, errors.Join(err, hb.Close())
	}
	if b, err = start(ctx, hb); err != nil {
		return a, b, err
	}
	return a, b, await(ctx, "the first copy", time.Minute, func() bool { return equal(a.region, b.region, a.fabric, b.fabric) })
}

// probeLoadGossipsub sends as many messages, of the same size, by gossipsub alone. What it drops is lost.
func probeLoadGossipsub(fs *flag.FlagSet) func(context.Context) (values, error) {
	rate, span := loadFlags(fs)
	return func(ctx context.Context) (values, error) {
		a, b, err := gossipPair(ctx, gossipOptions(false))
		if err != nil {
			return nil, err
		}
		defer a.close()
		defer b.close()
		m := newMarks()
		reading, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { m.read(reading, b) })
		defer func() { stop(); wg.Wait() }()
		value := valueSource(1)
		return m.under(ctx, *rate, *span, func(k string) error { return a.topic.Publish(ctx, append([]byte(k), value()...)) })
	}
}

func (m *marks) read(ctx context.Context, g *gossipNode) {
	for {
		msg, err := g.sub.Next(ctx)
		if err != nil {
			return
		}
		if k := string(msg.Data[:min(keyBytes, len(msg.Data))]); strings.HasPrefix(k, markPrefix) {
			m.arrive(k)
		}
	}
}

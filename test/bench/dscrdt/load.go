package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
)

// loadPatient is how long marked writes may arrive after the last one left.
const loadPatient = 10 * time.Second

// marks notes when marked writes left and how long they took.
type marks struct {
	mu   sync.Mutex
	sent map[ds.Key]time.Time
	ms   []float64
}

func (m *marks) arrive(k ds.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.sent[k]; ok {
		m.ms = append(m.ms, float64(time.Since(at).Microseconds())/1000)
		delete(m.sent, k)
	}
}

func (m *marks) missing() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sent)
}

func (m *marks) figures(rate float64) (figures, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.ms)
	if n == 0 {
		return nil, fmt.Errorf("none of %d marked writes arrived", len(m.sent))
	}
	slices.Sort(m.ms)
	return figures{
		"p50_ms": m.ms[n/2], "p99_ms": m.ms[n*99/100], "ops": rate, "lost": 100 * float64(len(m.sent)) / float64(n+len(m.sent)),
	}, nil
}

// probeLoad times one hop while a node writes at a steady rate: in batches, because one by one it is slower than that.
// The last write of each batch is timed, from before its batch is committed.
func probeLoad(fs *flag.FlagSet) func(context.Context) (figures, error) {
	rate := fs.Int("rate", 10_000, "writes a second")
	batch := fs.Int("batch", 100, "writes in one batch")
	span := fs.Duration("for", 10*time.Second, "time to write for")
	return func(ctx context.Context) (figures, error) {
		m := &marks{sent: map[ds.Key]time.Time{}}
		a, b, err := openPair(ctx, m.arrive)
		if err != nil {
			return nil, err
		}
		defer a.close()
		defer b.close()
		began, n := time.Now(), 0
		for ; time.Since(began) < *span; n += *batch {
			due := began.Add(time.Duration(float64(n) / float64(*rate) * float64(time.Second)))
			time.Sleep(time.Until(due))
			if err := m.putBatch(ctx, a, n, *batch); err != nil {
				return nil, err
			}
		}
		reached := float64(n) / time.Since(began).Seconds()
		for end := time.Now().Add(loadPatient); m.missing() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		return m.figures(reached)
	}
}

func (m *marks) putBatch(ctx context.Context, a *node, first, n int) error {
	b, err := a.crdt.Batch(ctx)
	if err != nil {
		return err
	}
	for i := first; i < first+n; i++ {
		if err := b.Put(ctx, key(i), value()); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.sent[key(first+n-1)] = time.Now()
	m.mu.Unlock()
	return b.Commit(ctx)
}

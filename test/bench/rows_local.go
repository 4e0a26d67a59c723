package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

const (
	goMapName   = "Go map"
	dsOneName   = "go-ds-crdt one by one"
	dsBatchName = "go-ds-crdt batched"
	dsName      = "go-ds-crdt"
)

// localRows are about one process, without a network.
func localRows() []row {
	cores := runtime.NumCPU()
	return []row{
		{
			name: "write", rounds: 3, open: openWrite,
			figures: []figure{
				{key: "ops", title: "local register write, in process, one goroutine", unit: opsPerSecond,
					refs: []string{dsOneName, dsBatchName}, reach: "≥ 2 M/s", met: atLeast(2e6)},
				{key: "scale", title: fmt.Sprintf("the same by %d goroutines, to one", cores), unit: times,
					reach: fmt.Sprintf("scales: ≥ %.1f ×", 0.75*float64(cores)), met: atLeast(0.75 * float64(cores))},
			},
		},
		{
			name: "read", rounds: 3, open: openRead,
			figures: []figure{{key: "ns", title: "local read, in process, 1 M keys", unit: nanoseconds,
				refs: []string{goMapName}, reach: "≤ 150 ns", met: atMost(150)}},
		},
		{
			name: "bytes", rounds: 1, open: openBytes,
			figures: []figure{
				{key: "bytes", title: "RSS per entry, 16 B key, 100 B value, daemon", unit: bytesEach,
					refs: []string{redisName}, reach: "≤ 165 B", met: atMost(165)},
				{key: "embedded", title: "the same, embedded, in memory only", unit: bytesEach,
					reach: "≤ 165 B", met: atMost(165)},
			},
		},
		{
			name: "gc", rounds: 1, open: openGC,
			figures: []figure{{key: "ms", title: "full GC with 5 M entries live", unit: milliseconds,
				refs: []string{goMapName}, reach: "≤ 5 ms", met: atMost(5)}},
		},
	}
}

func openWrite(_ context.Context, e *env) ([]side, func(), error) {
	span := e.span(2*time.Second, 100*time.Millisecond).String()
	return []side{
		e.referenceSide(dsOneName, nil, "write", "-batch", "1", "-n", fmt.Sprint(e.size(100_000, 2_000))),
		e.referenceSide(dsBatchName, nil, "write", "-batch", "1000", "-n", fmt.Sprint(e.size(200_000, 5_000))),
		e.probeSide(edgemem, nil, "write", "-for", span, "-keys", fmt.Sprint(e.size(100_000, 5_000))),
	}, nil, nil
}

func openRead(_ context.Context, e *env) ([]side, func(), error) {
	span, n := e.span(2*time.Second, 100*time.Millisecond).String(), fmt.Sprint(e.size(1_000_000, 20_000))
	return []side{
		e.probeSide(goMapName, nil, "read-gomap", "-for", span, "-n", n),
		e.probeSide(edgemem, nil, "read", "-for", span, "-n", n),
	}, nil, nil
}

func openGC(_ context.Context, e *env) ([]side, func(), error) {
	n := fmt.Sprint(e.size(5_000_000, 50_000))
	return []side{
		e.probeSide(goMapName, nil, "gc-gomap", "-n", n),
		e.probeSide(edgemem, nil, "gc", "-n", n),
	}, nil, nil
}

// openBytes loads both servers by the same client and takes what their memory grew by. Redis keeps
// nothing on disk; edgemem does, and what it needs for that counts.
func openBytes(_ context.Context, e *env) ([]side, func(), error) {
	n := e.size(1_000_000, 20_000)
	redis := side{redisName, func(ctx context.Context) (values, error) {
		s, err := e.startRedis(ctx)
		if err != nil {
			return nil, err
		}
		defer s.quit()
		return e.grownBy(ctx, s, n)
	}}
	daemon := side{edgemem, func(ctx context.Context) (values, error) {
		d, err := e.startDaemon(ctx, "", node{})
		if err != nil {
			return nil, err
		}
		defer d.quit()
		got, err := e.grownBy(ctx, d.server, n)
		if err != nil {
			return nil, err
		}
		embedded, err := e.probe(ctx, "bytes", "-n", fmt.Sprint(n))
		got["embedded"] = embedded["bytes"]
		return got, err
	}}
	return []side{redis, daemon}, nil, nil
}

// grownBy loads n entries and gives the resident bytes for each, when the memory has come to rest.
func (e *env) grownBy(ctx context.Context, s *server, n int) (values, error) {
	before, err := rssBytes(s.pid())
	if err != nil {
		return nil, err
	}
	if err := fill(s.addr, 0, n); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(s.said.String(), 2000))
	}
	after, err := restingRSS(ctx, s.pid(), e.span(5*time.Second, time.Second))
	return values{"bytes": (after - before) / float64(n)}, err
}

// restingRSS waits until the memory of a process has kept within a hundredth for a while: the
// Go runtime gives memory back in the background.
func restingRSS(ctx context.Context, pid int, calm time.Duration) (float64, error) {
	const limit = 60 * time.Second
	last, err := rssBytes(pid)
	since := time.Now()
	for end := since.Add(limit); err == nil && time.Now().Before(end) && time.Since(since) < calm && ctx.Err() == nil; {
		time.Sleep(200 * time.Millisecond)
		var now float64
		if now, err = rssBytes(pid); now < 0.99*last || now > 1.01*last {
			last, since = now, time.Now()
		}
	}
	return last, err
}

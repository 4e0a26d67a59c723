package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// diskRows are about what stays, and what it takes to come back.
func diskRows() []row {
	const (
		live    = 1000 * (keyBytes + valueBytes)
		reserve = 8 << 20
	)
	return []row{
		{
			name: "disk", rounds: 1, open: openDisk,
			figures: []figure{
				{key: "overwritten", title: "disk after 1 M overwrites of 1 k keys", unit: bytesTotal,
					refs: []string{dsName}, reach: "≤ 2 × live + 8 MiB", met: atMost(2*live + reserve)},
				{key: "removed", title: "the same, then all removed", unit: bytesTotal,
					refs: []string{dsName}, reach: "≤ 8 MiB", met: atMost(reserve)},
				{key: "closed", title: "the same, once closed", unit: bytesTotal, reach: "≤ 8 MiB", met: atMost(reserve)},
			},
		},
		{
			name: "restart", rounds: 3, open: openRestart,
			figures: []figure{{key: "seconds", title: "restart with 1 M entries, to the first read", unit: seconds,
				refs: []string{redisName}, reach: "≤ 1.50 s", met: atMost(1.5)}},
		},
	}
}

// openDisk lets go-ds-crdt overwrite ten keys a thousand times, because it removes a key in time that
// grows with the square of its versions, and scales its bytes up to as many writes as edgemem makes.
func openDisk(_ context.Context, e *env) ([]side, func(), error) {
	n := e.size(1_000_000, 20_000)
	versions := n / 1000
	reference := side{dsName, func(ctx context.Context) (values, error) {
		const keys = 10
		got, err := e.reference(ctx, "disk", "-n", fmt.Sprint(keys*versions), "-keys", fmt.Sprint(keys))
		scale := 1000.0 / keys
		return values{"overwritten": got["bytes_overwritten"] * scale, "removed": got["bytes_removed"] * scale}, err
	}}
	return []side{reference, e.probeSide(edgemem, nil, "disk", "-n", fmt.Sprint(n))}, nil, nil
}

// openRestart loads both once, ends them, and times from the start of the process until it answers a
// read. Redis reads its dump.
func openRestart(ctx context.Context, e *env) ([]side, func(), error) {
	n := e.size(1_000_000, 20_000)
	dump, err := os.MkdirTemp(e.dir, "redis-")
	if err != nil {
		return nil, nil, err
	}
	r, err := e.startRedisIn(ctx, dump)
	if err != nil {
		return nil, nil, err
	}
	defer r.quit()
	if err := fill(r.addr, 0, n); err != nil {
		return nil, nil, err
	}
	if err := save(r.addr); err != nil {
		return nil, nil, err
	}
	d, err := e.startDaemon(ctx, "", node{})
	if err != nil {
		return nil, nil, err
	}
	if err := fill(d.addr, 0, n); err != nil {
		d.quit()
		return nil, nil, err
	}
	// The backlog of writes that memory acknowledged goes to the disk first; ending is not what is timed.
	if _, err := settledDisk(ctx, d.dir); err != nil {
		d.quit()
		return nil, nil, err
	}
	if err := d.stop(); err != nil {
		return nil, nil, fmt.Errorf("edgemem: end after loading: %w\n%s", err, tail(d.said.String(), 2000))
	}
	last := key(n - 1)
	return []side{
		{redisName, func(ctx context.Context) (values, error) {
			return timeToRead(func() (*server, error) { return e.startRedisIn(ctx, dump) }, last)
		}},
		{edgemem, func(ctx context.Context) (values, error) {
			return timeToRead(func() (*server, error) {
				d, err := e.startDaemon(ctx, d.dir, node{})
				if err != nil {
					return nil, err
				}
				return d.server, nil
			}, last)
		}},
	}, nil, nil
}

func save(addr string) error {
	c, err := dialRESP(addr)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.do("SAVE")
	return err
}

// timeToRead starts a server, reads a key and ends it again. Both answer nothing before they have
// loaded what they have.
func timeToRead(start func() (*server, error), key string) (values, error) {
	began := time.Now()
	s, err := start()
	if err != nil {
		return nil, err
	}
	defer s.quit()
	c, err := dialRESP(s.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	got, err := c.do("GET", key)
	if err == nil && len(got) != valueBytes {
		err = fmt.Errorf("%s: %s has %d bytes, not %d", s.name, key, len(got), valueBytes)
	}
	return values{"seconds": time.Since(began).Seconds()}, err
}

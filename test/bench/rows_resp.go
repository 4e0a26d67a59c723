package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var respTests = []string{"set", "get", "incr", "sadd", "hset"}

const respClients = 50

// respRows are about the Redis protocol, measured by redis-benchmark.
func respRows() []row {
	plain := row{name: "resp", rounds: 3, open: openRESP}
	for _, p := range []struct {
		depth int
		reach float64
	}{{1, 1.0}, {16, 1.25}} {
		for _, t := range respTests {
			plain.figures = append(plain.figures, figure{
				key: respKey(p.depth, t), title: fmt.Sprintf("RESP %s, %d clients, pipeline %d", strings.ToUpper(t), respClients, p.depth),
				unit: opsPerSecond, refs: []string{redisName}, reach: fmt.Sprintf("≥ %.2f × redis", p.reach), met: atLeastTimes(p.reach),
			})
		}
	}
	durable := row{name: "durable", rounds: 3, open: openDurable, figures: []figure{{
		key: "set", title: "durable SET, 64 writers (redis: appendfsync always)", unit: opsPerSecond,
		refs: []string{redisName}, reach: "≥ 1.50 × redis", met: atLeastTimes(1.5),
	}}}
	return []row{plain, durable}
}

func respKey(depth int, test string) string { return fmt.Sprintf("%s/%d", test, depth) }

// openRESP starts both servers once; the rounds take turns between them. Writes are acknowledged from
// memory by both, redis keeps nothing on disk, and edgemem brings what it has to its disk behind them.
func openRESP(ctx context.Context, e *env) ([]side, func(), error) {
	r, d, done, err := e.startBoth(ctx)
	if err != nil {
		return nil, done, err
	}
	return []side{
		{redisName, func(ctx context.Context) (values, error) { return e.benchRESP(ctx, r) }},
		{edgemem, func(ctx context.Context) (values, error) { return e.benchRESP(ctx, d.server) }},
	}, done, nil
}

func (e *env) startBoth(ctx context.Context, redisArgs ...string) (r *server, d *daemon, done func(), err error) {
	done = func() {
		r.quit()
		d.quit()
	}
	if r, err = e.startRedis(ctx, redisArgs...); err != nil {
		return r, d, done, err
	}
	d, err = e.startDaemon(ctx, "", node{})
	return r, d, done, err
}

func (e *env) benchRESP(ctx context.Context, s *server) (values, error) {
	out := make(values)
	for _, depth := range []int{1, 16} {
		got, err := e.redisBenchmark(ctx, load{
			addr: s.addr, clients: respClients, pipeline: depth, tests: strings.Join(respTests, ","),
			requests: e.size(100_000+25_000*(depth-1), 2_000), keys: e.size(100_000, 1_000),
		})
		if err != nil {
			return nil, errors.Join(err, errors.New(tail(s.said.String(), 500)))
		}
		for _, t := range respTests {
			if _, ok := got[t]; !ok {
				return nil, fmt.Errorf("redis-benchmark gave no figure for %s", t)
			}
			out[respKey(depth, t)] = got[t]
		}
	}
	return out, nil
}

// openDurable compares writes that are on disk before they are acknowledged, without a pipeline. Both
// data directories are on one file system.
func openDurable(ctx context.Context, e *env) ([]side, func(), error) {
	r, d, done, err := e.startBoth(ctx, "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return nil, done, err
	}
	if err := d.createDiskRegion(ctx, e); err != nil {
		return nil, done, err
	}
	l := load{clients: 64, pipeline: 1, tests: "set", requests: e.size(50_000, 1_000), keys: e.size(100_000, 1_000)}
	bench := func(addr string, database int) func(context.Context) (values, error) {
		return func(ctx context.Context) (values, error) {
			mine := l
			mine.addr, mine.database = addr, database
			return e.redisBenchmark(ctx, mine)
		}
	}
	return []side{{redisName, bench(r.addr, 0)}, {edgemem, bench(d.addr, diskRegion)}}, done, nil
}

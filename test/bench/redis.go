package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

const redisName = "redis"

// startRedis runs redis-server on a free loopback port with nothing kept on disk; args add to that.
func (e *env) startRedis(ctx context.Context, args ...string) (*server, error) {
	dir, err := os.MkdirTemp(e.dir, "redis-")
	if err != nil {
		return nil, err
	}
	return e.startRedisIn(ctx, dir, args...)
}

func (e *env) startRedisIn(ctx context.Context, dir string, args ...string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	base := []string{
		"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--daemonize", "no",
		"--loglevel", "warning", "--save", "", "--appendonly", "no",
	}
	s, err := e.startServer(redisName, addr, "redis-server", append(base, args...)...)
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("redis-server is not installed: the comparison needs Debian's redis-server")
	}
	if err != nil {
		return nil, err
	}
	if err := s.answers(ctx); err != nil {
		s.quit()
		return nil, err
	}
	return s, nil
}

// load is one call of redis-benchmark.
type load struct {
	addr     string
	database int
	clients  int
	pipeline int
	requests int // for each test
	tests    string
	keys     int // distinct keys, fields or members
}

// redisBenchmark gives requests a second for each test, by its name in lower case.
func (e *env) redisBenchmark(ctx context.Context, l load) (values, error) {
	host, port, err := net.SplitHostPort(l.addr)
	if err != nil {
		return nil, err
	}
	text, err := e.output(ctx, "", "redis-benchmark", "-h", host, "-p", port, "--dbnum", strconv.Itoa(l.database),
		"-c", strconv.Itoa(l.clients), "-P", strconv.Itoa(l.pipeline), "-n", strconv.Itoa(l.requests),
		"-t", l.tests, "-d", strconv.Itoa(valueBytes), "-r", strconv.Itoa(l.keys), "--csv")
	if err != nil {
		return nil, err
	}
	return readBenchmark(text)
}

// readBenchmark reads the lines `"SET","123456.00",…` that redis-benchmark --csv prints.
func readBenchmark(text string) (values, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("redis-benchmark's output: %w", err)
	}
	got := make(values)
	for _, line := range lines {
		if len(line) < 2 || line[0] == "test" {
			continue
		}
		rate, err := strconv.ParseFloat(line[1], 64)
		if err != nil {
			return nil, fmt.Errorf("redis-benchmark's output: %q: %w", line, err)
		}
		got[strings.ToLower(line[0])] = rate
	}
	if len(got) == 0 {
		return nil, fmt.Errorf("redis-benchmark measured nothing: %q", text)
	}
	return got, nil
}

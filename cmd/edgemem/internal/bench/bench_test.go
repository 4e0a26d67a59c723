package bench

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// server answers each command of a client, an array of bulk strings, with what reply says.
func server(t *testing.T, reply func(args []string) string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn, reply) // ends with the client
		}
	}()
	return l.Addr().String()
}

func serve(conn net.Conn, reply func([]string) string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	line := func() string { s, _ := r.ReadString('\n'); return strings.TrimSpace(s) }
	for {
		head := line()
		if !strings.HasPrefix(head, "*") {
			return
		}
		var args []string
		for range int(head[1] - '0') {
			line()
			args = append(args, line())
		}
		if _, err := conn.Write([]byte(reply(args))); err != nil {
			return
		}
	}
}

func options(addr string) Options {
	return Options{Addr: addr, Region: "bench", Requests: 100, Clients: 3, Pipeline: 7, ValueBytes: 5, Keys: 10}
}

// Exactly so many commands are sent, whatever the clients and pipelines, and error replies are counted.
func TestRun(t *testing.T) {
	t.Parallel()
	var sets, selects atomic.Int64
	addr := server(t, func(args []string) string {
		switch args[0] {
		case "SELECT":
			selects.Add(1)
		case "SET":
			if len(args[2]) != 5 {
				t.Errorf("value %q", args[2])
			}
			if sets.Add(1)%10 == 0 {
				return "-OOM no\r\n"
			}
		}
		return "+OK\r\n"
	})
	chosen, err := Choose([]string{"set"})
	if err != nil || len(chosen) != 1 {
		t.Fatal(chosen, err)
	}
	r, err := Run(t.Context(), options(addr), chosen[0], func(int64) {})
	if err != nil || r.Requests != 100 || sets.Load() != 100 || selects.Load() != 3 || r.Errors != 10 || r.Error != "OOM no" || r.P50 <= 0 || r.Max < r.P50 {
		t.Errorf("%+v, %v; %d sets", r, err, sets.Load())
	}
}

// A server that goes away, and one that never answers, end the run.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	gone := server(t, func(args []string) string {
		if args[0] == "SELECT" {
			return "+OK\r\n"
		}
		return "" // and waits for ever
	})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, options(gone), tests[0], func(int64) { cancel() })
	if err == nil {
		t.Error("ended without an error")
	}
	refused := server(t, func([]string) string { return "-NOAUTH no\r\n" })
	if _, err := Run(t.Context(), options(refused), tests[0], func(int64) {}); err == nil || !strings.Contains(err.Error(), "SELECT bench: NOAUTH no") {
		t.Error(err)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	if all, err := Choose(nil); err != nil || len(all) != len(Names()) {
		t.Error(all, err)
	}
	if two, err := Choose([]string{"GET", "set"}); err != nil || two[0].Name != "SET" || two[1].Name != "GET" {
		t.Error(two, err)
	}
	if _, err := Choose([]string{"mget"}); err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `no test "mget": want some of ping, set`) {
		t.Error(err)
	}
}

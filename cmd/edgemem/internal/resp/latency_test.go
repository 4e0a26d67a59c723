package resp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLatencyTells: what is slow is sampled, the worst of each second, and forgotten on request.
func TestLatencyTells(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		ask := func(args ...string) string {
			before := len(got.String())
			write(t, conn, encode(args...))
			time.Sleep(time.Second)
			synctest.Wait()
			return got.String()[before:]
		}
		slow := &command{name: "slow", arity: 2, run: func(c *client) {
			n, _ := parseInt(c.args[1])
			time.Sleep(time.Duration(n) * time.Millisecond)
			c.ok()
		}}
		s.table.add(slow)
		slow.index = 0
		ask("slow", "50")
		if r := ask("latency", "latest"); r != "*0\r\n" {
			t.Errorf("nothing is watched: %q", r)
		}
		if r := ask("latency", "doctor"); !strings.Contains(r, "latency-monitor-threshold") {
			t.Error(r)
		}
		ask("config", "set", "latency-monitor-threshold", "10")
		ask("slow", "5")
		ask("slow", "20")
		ask("slow", "70")
		ask("slow", "30")
		if r := ask("latency", "latest"); !strings.HasPrefix(r, "*1\r\n*4\r\n$7\r\ncommand\r\n:") || !strings.HasSuffix(r, ":30\r\n:70\r\n") {
			t.Errorf("%q", r)
		}
		if r := ask("latency", "history", "command"); !strings.HasPrefix(r, "*3\r\n") || !strings.Contains(r, ":20\r\n") {
			t.Errorf("%q", r)
		}
		if r := ask("latency", "doctor"); !strings.Contains(r, "slow in 3 seconds") || !strings.Contains(r, "40 ms on the average and 70 ms at worst") {
			t.Errorf("%q", r)
		}
		for i := range latencySamples + 5 {
			s.latency.note(eventAck, time.Duration(10+i)*time.Millisecond)
			time.Sleep(time.Second)
		}
		if samples, worst := s.latency.of(eventAck); len(samples) != latencySamples || worst != 10+latencySamples+4 {
			t.Errorf("%d samples, worst %d", len(samples), worst)
		}
		if r := ask("latency", "reset", "nosuch", "command"); r != ":1\r\n" {
			t.Errorf("%q", r)
		}
		if r := ask("latency", "reset"); r != ":1\r\n" {
			t.Errorf("%q", r)
		}
		if r := ask("latency", "history", "command"); r != "*0\r\n" {
			t.Errorf("%q", r)
		}
	})
}

// TestLatencyHistogram: each call is in the bucket of its time, and counts are sums from the shortest on.
func TestLatencyHistogram(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		slow := &command{name: "slow", arity: 2, run: func(c *client) {
			n, _ := parseInt(c.args[1])
			time.Sleep(time.Duration(n) * time.Microsecond)
			c.ok()
		}}
		s.table.list(slow)
		slow.index = s.table.find([]byte("get")).index // whose counters it takes
		for _, n := range []string{"3", "4", "5", "100"} {
			write(t, conn, encode("slow", n))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		before := len(got.String())
		write(t, conn, encode("latency", "histogram", "slow", "nosuch", "set"))
		time.Sleep(time.Second)
		synctest.Wait()
		if r := got.String()[before:]; r != "*2\r\n$4\r\nslow\r\n*4\r\n$5\r\ncalls\r\n:4\r\n$14\r\nhistogram_usec\r\n*6\r\n:4\r\n:2\r\n:8\r\n:3\r\n:128\r\n:4\r\n" {
			t.Errorf("%q", r)
		}
		before = len(got.String())
		write(t, conn, encode("config", "resetstat")+encode("latency", "histogram", "slow"))
		time.Sleep(time.Second)
		synctest.Wait()
		if r := got.String()[before:]; r != "+OK\r\n*0\r\n" {
			t.Errorf("%q", r)
		}
	})
}

// TestLatencyAsRedis compares what does not depend on the machine.
func TestLatencyAsRedis(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	b := dialBoth(t, addr, realRedis(t))
	b.run([][]string{{"latency", "latest"}, {"latency", "history", "command"}, {"latency", "history"}, {"latency", "reset"}, {"latency", "reset", "a", "b"}, {"latency", "nosuch"}, {"latency"},
		{"latency", "histogram", "nosuch"}, {"config", "get", "latency-monitor-threshold"}, {"config", "set", "latency-monitor-threshold", "x"}, {"config", "set", "latency-monitor-threshold", "10000"},
		{"config", "get", "latency-monitor-threshold"}, {"latency", "latest"}, {"command", "info", "latency|latest", "latency|reset", "latency|histogram"}})
}

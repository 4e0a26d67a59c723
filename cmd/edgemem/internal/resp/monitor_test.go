package resp

import (
	"regexp"
	"strings"
	"testing"
)

// A monitor sees what the others run, as Redis shows it, and no password.
func TestMonitor(t *testing.T) {
	t.Parallel()
	s, addr := start(t, func(c *Config) { c.Auth = "secret" })
	p, m := dial(t, addr), dial(t, addr)
	for _, x := range []*peer{p, m} {
		x.want("+OK", "auth", "secret")
	}
	m.want("+OK", "monitor")
	p.do("SET", "k", "a \"b\" \\ \r\n\t\a\b\x00\xff")
	p.want("+OK", "select", "fleet")
	p.do("multi")
	p.do("incr", "n")
	p.do("exec")
	p.do("auth", "default", "secret")
	p.do("hello", "3", "auth", "default", "secret")
	p.do("client", "list")
	p.do("nonsense")
	p.do("get", "k", "too many")
	p.do("ping")
	from := ` ` + regexp.QuoteMeta(p.conn.LocalAddr().String()) + `\] `
	for _, want := range []string{
		`0` + from + `"SET" "k" "a \\"b\\" \\\\ \\r\\n\\t\\a\\b\\x00\\xff"`, `0` + from + `"select" "fleet"`,
		`fleet` + from + `"multi"`, `fleet` + from + `"incr" "n"`, `fleet` + from + `"exec"`, `fleet` + from + `"ping"`,
	} {
		line, err := m.r.ReadString('\n')
		if err != nil || !regexp.MustCompile(`^\+\d{10}\.\d{6} \[`+want+"\r\n$").MatchString(line) {
			t.Errorf("%q, %v, want %s", line, err, want)
		}
	}
	m.want("+RESET", "reset")
	p.do("get", "k")
	m.want("+OK", "auth", "secret")
	m.want("+PONG", "ping")
	if n := s.monitors.n.Load(); n != 0 {
		t.Errorf("%d monitors after RESET", n)
	}
}

// A monitor that does not read is cut off, and holds up nobody.
func TestMonitorIsBounded(t *testing.T) {
	t.Parallel()
	s, addr := start(t, func(c *Config) { c.Limits.PushBytes = 64 << 10 })
	p, m := dial(t, addr), dial(t, addr)
	m.want("+OK", "monitor")
	value := strings.Repeat("x", 60_000)
	for range 10_000 {
		p.do("echo", value)
		if s.monitors.n.Load() == 0 {
			return
		}
	}
	t.Error("it is still there")
}

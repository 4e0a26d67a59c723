package resp

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

func monitorCommands() []*command {
	return []*command{{
		name: "monitor", arity: 1, flags: "admin noscript loading stale", group: "server", since: "1.0.0", cost: "O(1), and a line for each command from then on",
		summary: "Shows every command that clients of this node run.",
		note:    "Commands of operators, AUTH and HELLO are left out, and its own; who does not keep up is cut off. What a merge brings is no command.", is: flagNoMulti, run: monitor,
	}}
}

// monitors are the clients that see every command.
type monitors struct {
	n  atomic.Int32 // of all; read by each command
	mu sync.Mutex
	of map[*client]struct{}
}

func (m *monitors) add(c *client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = make(map[*client]struct{})
	}
	m.of[c] = struct{}{}
	m.n.Store(int32(len(m.of)))
}

func (m *monitors) remove(c *client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, c)
	m.n.Store(int32(len(m.of)))
}

func (m *monitors) all() []*client {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.of))
}

func monitor(c *client) {
	if c.monitoring { // Redis says nothing either
		return
	}
	c.monitoring = true
	c.ok()
	c.startPushing()
	c.srv.monitors.add(c)
}

func (c *client) endMonitoring() {
	if c.monitoring {
		c.monitoring = false
		c.srv.monitors.remove(c)
	}
}

// show lets the monitors see the command that is about to run.
func (c *client) show(cmd *command) {
	if c.srv.monitors.n.Load() == 0 || cmd.is&flagUnseen != 0 {
		return
	}
	line := c.shown(time.Now())
	for _, m := range c.srv.monitors.all() {
		if m != c {
			m.push(func(w *writer) {
				if w.room(len(line)) {
					w.raw(line)
				}
			})
		}
	}
}

// shown is a command as MONITOR tells it.
func (c *client) shown(now time.Time) string {
	db := c.labels.region
	if n := databaseOf(db); n >= 0 {
		db = strconv.FormatInt(n, 10)
	}
	micros := now.UnixMicro()
	line := append(strconv.AppendInt([]byte{'+'}, micros/1e6, 10), '.')
	line = append(line, strconv.FormatInt(1e6+micros%1e6, 10)[1:]...)
	line = append(append(append(append(append(line, " ["...), harmless(db)...), ' '), c.addr...), ']')
	for _, arg := range c.args {
		line = appendQuoted(append(line, ' '), arg)
	}
	return string(append(line, "\r\n"...))
}

// harmless is a name with what is not printable spelled out.
func harmless(name string) string {
	quoted := string(appendQuoted(nil, []byte(name)))
	return quoted[1 : len(quoted)-1]
}

// appendQuoted writes a text as Redis does where people read it.
func appendQuoted(b, text []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, ch := range text {
		switch {
		case ch == '"' || ch == '\\':
			b = append(b, '\\', ch)
		case ch == '\n':
			b = append(b, `\n`...)
		case ch == '\r':
			b = append(b, `\r`...)
		case ch == '\t':
			b = append(b, `\t`...)
		case ch == '\a':
			b = append(b, `\a`...)
		case ch == '\b':
			b = append(b, `\b`...)
		case ch < ' ' || ch > '~':
			b = append(b, '\\', 'x', hex[ch>>4], hex[ch&15])
		default:
			b = append(b, ch)
		}
	}
	return append(b, '"')
}

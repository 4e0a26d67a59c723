package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// Test is one kind of command.
type Test struct {
	Name    string
	command func(*client) []string
}

// tests are all, in the order in which they run: GET finds what SET wrote.
var tests = []Test{
	{"PING", func(*client) []string { return []string{"PING"} }},
	{"SET", func(c *client) []string { return []string{"SET", c.key("string"), c.value} }},
	{"GET", func(c *client) []string { return []string{"GET", c.key("string")} }},
	{"INCR", func(c *client) []string { return []string{"INCR", c.key("counter")} }},
	{"SADD", func(c *client) []string { return []string{"SADD", "bench:set", c.key("member")} }},
	{"HSET", func(c *client) []string { return []string{"HSET", "bench:hash", c.key("field"), c.value} }},
	{"ZADD", func(c *client) []string {
		return []string{"ZADD", "bench:zset", strconv.Itoa(c.random.IntN(1_000_000)), c.key("member")}
	}},
	{"LPUSH", func(c *client) []string { return []string{"LPUSH", "bench:list", c.value} }},
	{"XADD", func(c *client) []string {
		return []string{"XADD", "bench:stream", "MAXLEN", "~", "100000", "*", "value", c.value}
	}},
	{"RPOP", func(*client) []string { return []string{"RPOP", "bench:list"} }},
}

// Names lists the tests.
func Names() (names []string) {
	for _, t := range tests {
		names = append(names, strings.ToLower(t.Name))
	}
	return names
}

// Choose gives the tests of these names, in the order in which they run; all for none.
func Choose(names []string) ([]Test, error) {
	if len(names) == 0 {
		return tests, nil
	}
	wanted := make(map[string]bool)
	for _, n := range names {
		wanted[strings.ToUpper(n)] = true
	}
	var chosen []Test
	for _, t := range tests {
		if wanted[t.Name] {
			chosen = append(chosen, t)
			delete(wanted, t.Name)
		}
	}
	for _, n := range names {
		if wanted[strings.ToUpper(n)] {
			return nil, fmt.Errorf("no test %q: want some of %s", n, strings.Join(Names(), ", "))
		}
	}
	return chosen, nil
}

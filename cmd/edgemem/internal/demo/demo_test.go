package demo

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/redcon"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/dataset"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
)

// TestCompareFindsEveryDifference matters more than it looks: a proof that cannot fail proves nothing.
func TestCompareFindsEveryDifference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want  *wanted
		reply any
		says  string // "": equal
	}{
		"same string":     {text("v"), "v", ""},
		"other string":    {text("v"), "w", `holds "w", want "v"`},
		"lost string":     {text("v"), nil, `holds nothing, want "v"`},
		"same hash":       {hash("a", "1", "b", "2"), []any{"b", "2", "a", "1"}, ""},
		"lost field":      {hash("a", "1", "b", "2"), []any{"a", "1"}, `lacks "b"`},
		"old field":       {hash("a", "1"), []any{"a", "0"}, `"a" holds "0", want "1"`},
		"extra field":     {hash("a", "1"), []any{"a", "1", "b", "2"}, `has "b" too many`},
		"lost hash":       {hash("a", "1"), []any{}, `lacks "a"`},
		"same set":        {set("x", "y"), []any{"y", "x"}, ""},
		"lost member":     {set("x", "y"), []any{"x"}, `lacks "y"`},
		"revived member":  {set("x"), []any{"x", "y"}, `has "y" too many`},
		"many are cut":    {set("a", "b", "c", "d", "e"), []any{}, "and 2 more"},
		"a number for it": {text("7"), int64(7), "want"},
	} {
		if got := c.want.compare(c.reply); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: got %q, want %q", name, got, c.says)
		}
	}
}

func TestOracleFollowsTheRecords(t *testing.T) {
	t.Parallel()
	o := newOracle()
	for _, r := range []dataset.Record{
		{Key: "h", Kind: dataset.Hash, Fields: []dataset.Field{{Name: "a", Value: "1"}}},
		{Key: "h", Kind: dataset.Hash, Fields: []dataset.Field{{Name: "b", Value: "2"}}},
		{Key: "s", Kind: dataset.Set, Members: []string{"x", "x", "y"}},
		{Key: "c", Kind: dataset.Counter, Count: 40},
		{Key: "c", Kind: dataset.Counter, Count: 2},
		{Key: "v", Kind: dataset.String, Value: "old"},
		{Key: "v", Kind: dataset.String, Value: "new"},
		{Key: "gone", Kind: dataset.String, Value: "x"},
	} {
		o.apply(r)
	}
	o.del("gone")
	for key, reply := range map[string]any{"h": []any{"a", "1", "b", "2"}, "s": []any{"x", "y"}, "c": "42", "v": "new"} {
		if problem := o.keys[key].compare(reply); problem != "" {
			t.Errorf("%s: %s", key, problem)
		}
	}
	if got := o.sortedKeys(); !slices.Equal(got, []string{"c", "h", "s", "v"}) {
		t.Errorf("keys: %v", got)
	}
}

// faulty is a Redis server with the strings it is given, which answers as a node that lost writes would.
func faulty(t *testing.T, values map[string]string) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := redcon.NewServer(l.Addr().String(), func(c redcon.Conn, cmd redcon.Command) {
		switch strings.ToUpper(string(cmd.Args[0])) {
		case "DBSIZE":
			c.WriteInt(len(values))
		case "SCAN":
			c.WriteArray(2)
			c.WriteBulkString("0")
			c.WriteArray(len(values))
			for k := range values {
				c.WriteBulkString(k)
			}
		case "GET":
			if v, ok := values[string(cmd.Args[1])]; ok {
				c.WriteBulkString(v)
			} else {
				c.WriteNull()
			}
		default:
			c.WriteError("WRONGTYPE Operation against a key holding the wrong kind of value")
		}
	}, nil, nil)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	conn, err := respclient.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &node{name: "faulty", resp: conn}
}

func TestReadingBackFindsWhatIsLostStaleAndRevived(t *testing.T) {
	t.Parallel()
	d := &demo{oracle: newOracle()}
	d.oracle.set("kept", "v")
	d.oracle.set("stale", "new")
	d.oracle.set("lost", "v")
	d.oracle.hset("retyped", "f", "v")
	d.device = faulty(t, map[string]string{"kept": "v", "stale": "old", "revived": "v", "retyped": "v"})
	r := d.readBack(t.Context())[0]
	if r.err != nil {
		t.Fatal(r.err)
	}
	all := strings.Join(r.faults, "\n")
	for _, want := range []string{
		`"lost" is missing`, `"revived" is there, want it gone`, `"stale" holds "old", want "new"`, `"retyped" WRONGTYPE`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not among the faults:\n%s", want, all)
		}
	}
	if strings.Contains(all, "kept") {
		t.Errorf("what is right is called wrong:\n%s", all)
	}
}

func TestAWrongOutcomeOfAConflictIsJudgedSo(t *testing.T) {
	t.Parallel()
	n := faulty(t, map[string]string{"conflict:del-incr": "11", "conflict:removed": "old", "conflict:string:device": "north"})
	for key, wantProblem := range map[string]bool{"conflict:del-incr": true, "conflict:removed": true, "conflict:hash": true, "conflict:string:device": false} {
		i := slices.IndexFunc(conflicts(), func(c conflict) bool { return c.key == key })
		found, problem, err := conflicts()[i].judge(n)
		if err != nil || (problem != "") != wantProblem {
			t.Errorf("%s: found %q, problem %q, %v", key, found, problem, err)
		}
	}
}

func TestConflictsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range conflicts() {
		if seen[c.key] || c.rule == "" || c.what == "" || len(c.first.commands)+len(c.second.commands) == 0 {
			t.Errorf("%+v", c)
		}
		seen[c.key] = true
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var d []time.Duration
	for i := 200; i >= 1; i-- {
		d = append(d, time.Duration(i))
	}
	if p50, p99 := percentile(d, 50), percentile(d, 99); p50 != 101 || p99 != 199 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if percentile(nil, 50) != 0 {
		t.Error("percentile of nothing")
	}
}

func TestTheDaemonsEnvironmentIsClean(t *testing.T) {
	t.Parallel()
	got := environment([]string{"PATH=/bin", "EDGEMEM_RESP_PASSWORD=x", "NOTIFY_SOCKET=/run/x", "HOME=/h"})
	if !slices.Equal(got, []string{"PATH=/bin", "HOME=/h"}) {
		t.Errorf("got %v", got)
	}
}

// TestADaemonThatEndsIsReportedAtOnce starts a program that ends by itself where a daemon should be.
func TestADaemonThatEndsIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	n := &node{name: "brief", dir: t.TempDir(), exited: make(chan struct{})}
	n.cmd = exec.Command("true")
	if err := n.launch(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	select {
	case <-n.exited:
	case <-ctx.Done():
		t.Fatal("the end of the process was not noticed")
	}
}

package top

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func region(name string, writes, merged uint64) control.Region {
	r := control.Region{}
	r.Name, r.Entries = name, 1234
	r.Stats = crdt.Stats{LocalWrites: writes, PushApplied: merged / 2, TipsMerged: merged - merged/2}
	r.Memory.Held = 1 << 20
	return r
}

func status(pid int, regions ...control.Region) control.Status {
	s := control.Status{Regions: regions}
	s.Node = control.Node{Name: "gw", Tier: "edge", PID: pid, Ready: true, UptimeSeconds: 3723, Version: "v1"}
	s.Node.Memory.Used, s.Node.Memory.Budget, s.Node.Memory.Level = 96<<20, 100<<20, "reclaim"
	return s
}

// Rates are differences by the time between, also where a region is new or the daemon was started again.
func TestBetween(t *testing.T) {
	t.Parallel()
	before := status(1, region("a", 100, 10))
	now := status(1, region("a", 300, 14), region("new", 5000, 0))
	now.Node.Bandwidth.InBytes = 4096
	now.Regions[0].Lag = map[crdt.NodeID]fabric.Lag{"x": {Up: true, Writes: 7, Missing: 3}, "y": {Writes: 900}}
	r := Between(before, now, 2*time.Second)
	if a := r.Regions[0]; a.Writes != 100 || a.Merges != 2 || a.Lag != 7 || a.Missing != 3 {
		t.Errorf("a: %+v", a)
	}
	if r.Regions[1].Writes != 0 || r.Writes != 100 || r.In != 2048 {
		t.Errorf("%+v: what a region brought with it is no rate", r)
	}
	if r := Between(now, status(2, region("a", 1, 0)), time.Second); r.Writes != 0 || r.In != 0 {
		t.Errorf("after another start: %+v", r)
	}
	if r := Between(before, now, 0); r.Writes != 0 {
		t.Errorf("no time between: %+v", r)
	}
}

// shown feeds a model two statuses and gives what a terminal of that size would show.
func shown(t *testing.T, width, height int, keys ...string) []string {
	t.Helper()
	var m tea.Model = model{every: time.Second}
	send := func(msg tea.Msg) { m, _ = m.Update(msg) }
	send(tea.WindowSizeMsg{Width: width, Height: height})
	var before, now []control.Region
	for i := range 40 {
		before = append(before, region(fmt.Sprintf("tenant-%02d", i), 0, 0))
		now = append(now, region(fmt.Sprintf("tenant-%02d", i), uint64(i), 0))
	}
	now[3].Name, before[3].Name = "evil\x1b[2J\x07name", "evil\x1b[2J\x07name"
	at := time.Unix(1_800_000_000, 0)
	send(answer{status(1, before...), nil, at})
	last := status(1, now...)
	last.Peers = []control.Peer{{Name: "far", Tier: "cloud"}, {Name: "near", Tier: "edge", Connected: true, RTTMillis: 1.25, Transport: "quic"}}
	last.Alarms = []control.Alarm{{Kind: "clone", Name: "truck-7", Detail: "two processes write with one node's key"}}
	send(answer{last, nil, at.Add(time.Second)})
	for _, k := range keys {
		send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)})
	}
	return strings.Split(ansi.Strip(m.View()), "\n")
}

func TestView(t *testing.T) {
	t.Parallel()
	lines := shown(t, 100, 30)
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"gw (edge) on line, up 1h2m3s", "96 % of 100 MiB", "pressure reclaim", "! clone truck-7  two processes", "1 of 2 peers connected", "780/s here",
		"near                 edge         1.2 ms  quic      connected", "tenant-39", "39/s", "1 to 15 of 40 regions", "q quit · s sort (writes)",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if near, far := strings.Index(all, "near"), strings.Index(all, "far  "); near > far {
		t.Error("the peer that is away comes first")
	}
	if len(lines) != 30 {
		t.Errorf("%d lines on a terminal of 30", len(lines))
	}
	for _, l := range shown(t, 50, 12) {
		if n := ansi.StringWidth(l); n > 50 {
			t.Errorf("%d cells on a terminal of 50: %q", n, l)
		}
	}
	shown(t, 1, 1)
	shown(t, 0, 0)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if all := strings.Join(shown(t, 100, 60, "s", "s", "s"), "\n"); strings.Index(all, "tenant-00") > strings.Index(all, "tenant-39") || !strings.Contains(all, "sort (name)") {
		t.Errorf("not by name:\n%s", all)
	}
	if all := strings.Join(shown(t, 100, 30, "j", "j"), "\n"); !strings.Contains(all, "3 to 17 of 40") {
		t.Errorf("not scrolled:\n%s", all)
	}
	if all := strings.Join(shown(t, 100, 30, "p"), "\n"); !strings.Contains(all, "paused at") {
		t.Errorf("not paused:\n%s", all)
	}
	if _, quit := (model{}).Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}); quit == nil || quit() != tea.Quit() {
		t.Error("q does not end it")
	}
}

// A name that another node chose does nothing to the terminal.
func TestHostileName(t *testing.T) {
	t.Parallel()
	var m tea.Model = model{width: 100, height: 30}
	m, _ = m.Update(answer{status(1, region("evil\x1b[2J\x07name", 0, 0)), nil, time.Unix(1, 0)})
	if view := m.View(); strings.Contains(view, "\x1b[2J") || strings.Contains(view, "\x07") || !strings.Contains(view, "evil·name") {
		t.Errorf("%q", view)
	}
}

// An answer that does not come is told, and what was known stays.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	var m tea.Model = model{every: time.Second, width: 120, height: 30}
	m, _ = m.Update(answer{err: errors.New("no daemon"), at: time.Unix(1, 0)})
	if view := ansi.Strip(m.View()); !strings.Contains(view, "no answer: no daemon") {
		t.Error(view)
	}
	m, _ = m.Update(answer{status(1, region("a", 0, 0)), nil, time.Unix(2, 0)})
	m, _ = m.Update(answer{err: errors.New("gone"), at: time.Unix(3, 0)})
	if view := ansi.Strip(m.View()); !strings.Contains(view, "no answer since") || !strings.Contains(view, "gw (edge)") {
		t.Error(view)
	}
}

// The program ends with its context, and leaves no goroutine.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	source := func(context.Context) (control.Status, error) {
		cancel()
		return status(1), nil
	}
	if err := Run(ctx, source, time.Millisecond, tea.WithInput(nil), tea.WithOutput(&strings.Builder{}), tea.WithoutSignalHandler()); err != nil {
		t.Error(err)
	}
}

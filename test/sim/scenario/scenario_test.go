package scenario

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const small = `
name = "small"
seed = 7
[[tier]]
name = "edge"
nodes = 12
delay = "3ms"
jitter = "1ms"
loss = 0.05
[[tier]]
name = "device"
nodes = 20
attach = "edge"
links_max = 2
delay = "9ms"
up_mbit = 1
loss = 0.05
[overlay]
connections = 5
[start]
entries = 50
writers = 3
[[load]]
from = "1s"
for = "5s"
rate = 20
writers = 6
keys = 20
removes = 0.3
`

func play(t *testing.T, text string) *Report {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func event(lines ...string) string { return "[[event]]\n" + strings.Join(lines, "\n") + "\n" }

// TestRunConverges: after every kind of fault all nodes become equal.
func TestRunConverges(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]string{
		"quiet":     "",
		"partition": event(`at = "2s"`, `do = "partition"`, `parts = 3`) + event(`at = "8s"`, `do = "heal"`),
		"unplug":    event(`at = "2s"`, `do = "unplug"`, `share = 0.5`, `lasts = "2s"`, `every = "1s"`, `for = "3s"`),
		"restart":   event(`at = "3s"`, `do = "restart"`, `share = 0.3`, `lasts = "1s"`),
		"wipe":      event(`at = "3s"`, `do = "wipe"`, `tier = "edge"`, `share = 0.3`),
		"roam":      event(`at = "2s"`, `do = "roam"`, `share = 0.5`, `every = "500ms"`, `for = "3s"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rep := play(t, small+events)
			if !rep.Converged || rep.Writes < 60 {
				t.Fatalf("\n%s", rep)
			}
		})
	}
}

// TestRunReplays: a seed gives one run.
func TestRunReplays(t *testing.T) {
	t.Parallel()
	text := small + event(`at = "2s"`, `do = "restart"`, `share = 0.3`, `lasts = "1s"`)
	a, b := play(t, text), play(t, text)
	for _, rep := range []*Report{a, b} {
		rep.Scenario, rep.Wall, rep.HeapBytes = nil, 0, 0
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("%+v\n%+v", a, b)
	}
}

// TestAdmission: a node that serves one pull and keeps one waiting refuses the rest, and all converge none the less.
func TestAdmission(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "[start]", "[pull]\nserving = 1\nline = 1\n[start]\ndown = true", 1)
	text = strings.Replace(strings.Replace(text, "loss = 0.05", "up_mbit = 2", 1), "removes = 0.3", "value_bytes = 9000", 1)
	rep := play(t, text+event(`at = "6s"`, `do = "plug"`))
	if !rep.Converged || rep.Refused == 0 || rep.Served != 1 || rep.Waited != 1 {
		t.Fatalf("\n%s", rep)
	}
}

// TestDontWant: where nodes say that they have a large frame, fewer copies of it come.
func TestDontWant(t *testing.T) {
	t.Parallel()
	large := strings.Replace(strings.Replace(small, "rate = 20", "rate = 20\nvalue_bytes = 50000", 1), "loss = 0.05", "loss = 0.0\nup_mbit = 20", 1)
	with := play(t, large+"[gossip]\ndont_want_bytes = 1024\n")
	without := play(t, large)
	if with.Servers.Mean >= without.Servers.Mean {
		t.Fatalf("%.2f copies a server with, %.2f without", with.Servers.Mean, without.Servers.Mean)
	}
}

// TestReconciles: where nodes forget what they removed, those that were away reconcile.
func TestReconciles(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "entries = 50", "entries = 400\nmax_ghosts = 2", 1)
	rep := play(t, text+event(`at = "1s"`, `do = "partition"`)+event(`at = "5s"`, `do = "heal"`))
	if !rep.Converged || rep.Replies == 0 {
		t.Fatalf("\n%s", rep)
	}
}

// TestCheck: what a file expects and does not get is named.
func TestCheck(t *testing.T) {
	t.Parallel()
	rep := play(t, small+"[expect]\nwithin = \"1ns\"\nhops = 0.01\nserver_copies = 0.5\ndevice_copies = 0.5\nserved = 1\npeak_mbit = 0.001\nnode_bytes_max = 10\n")
	if wrong := rep.Check(); len(wrong) != 7 {
		t.Fatalf("%q", wrong)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for why, text := range map[string]string{
		"unknown settings": small + "[[load]]\nsped = 3\n",
		"name":             strings.Replace(small, `name = "small"`, "", 1),
		"nodes":            "name = \"x\"\n",
		"tier":             strings.Replace(small, `attach = "edge"`, `attach = "hub"`, 1),
		"event":            small + event(`do = "explode"`),
		"degree":           small + "[gossip]\ndegree = 9\n",
		"load":             small + "[[load]]\nrate = 5.0\n",
		"limit":            "limit = \"9000h\"\n" + small,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// TestRegular: the graph is connected, of about the degree, and has no edge twice.
func TestRegular(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		n, degree := 3+rng.IntN(200), 2+rng.IntN(8)
		g := regular(n, degree, rng)
		reached, todo := map[int]bool{0: true}, []int{0}
		for len(todo) > 0 {
			a := todo[0]
			todo = todo[1:]
			if len(g[a]) > degree+1 {
				t.Fatalf("n=%d degree=%d: %d has %d neighbours", n, degree, a, len(g[a]))
			}
			for i, b := range g[a] {
				if slices.Contains(g[a][:i], b) || b == a {
					t.Fatalf("n=%d degree=%d: %d is linked to %v", n, degree, a, g[a])
				}
				if !reached[b] {
					reached[b] = true
					todo = append(todo, b)
				}
			}
		}
		if len(reached) != n {
			t.Fatalf("n=%d degree=%d: %d are connected", n, degree, len(reached))
		}
	}
}

// TestPeak: bytes that take two seconds and a half to leave count where they leave.
func TestPeak(t *testing.T) {
	t.Parallel()
	var u usage
	u.sent(2500, 500*time.Millisecond, 3*time.Second)
	u.sent(100, 3*time.Second, 3*time.Second)
	if u.out != 2600 || u.peak < 999 || u.peak > 1001 || u.bucket != 100 {
		t.Fatalf("%+v", u)
	}
}

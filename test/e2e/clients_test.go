package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// clientsDir holds the scripts and, after npm ci, the clients.
const clientsDir = "clients"

// expected is what exercise.mjs must print, whatever the client and the protocol.
const expected = `{
	"set": "OK", "get": "hello", "missing": null, "binary": true,
	"pipeline": ["OK", 1, "a", "error: WRONGTYPE Operation against a key holding the wrong kind of value", 42],
	"many": 1000,
	"sadd": 3, "srem": 1, "smembers": ["a", "c"], "smismember": [1, 0],
	"hset": 2, "hgetall": {"name": "Ada", "born": "1815"}, "hincrby": 7, "hmget": ["Ada", null],
	"decrby": -5, "incrbyfloat": "2.5", "mset": "OK", "mget": ["1", "2", null],
	"setex": "OK", "pttl": true, "gone": null, "expire": 1, "ttl": true, "persist": 1, "ttlAfterPersist": -1,
	"scan": 250, "sscan": 250, "type": "hash", "del": 2,
	"select": ["OK", null],
	"blocking": {"pushed": 2, "popped": ["one", "two"], "behind": "PONG", "left": 0, "best": ["a", 1], "moved": ["three", ["three"]],
		"timedOut": null, "unblocked": 1, "ended": "UNBLOCKED"},
	"wokenByMerge": "from afar",
	"wrongtype": "WRONGTYPE Operation against a key holding the wrong kind of value"
}`

// TestNodeClients runs ioredis and node-redis, as npm has them, against an edge, and reads what they wrote at
// the cloud, where they also write what wakes them at the edge.
func TestNodeClients(t *testing.T) {
	t.Parallel()
	needClients(t)
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "edge", Tier: "edge"})
	for _, client := range []string{"ioredis", "node-redis"} {
		for _, protocol := range []string{"2", "3"} {
			t.Run(client+"/RESP"+protocol, func(t *testing.T) {
				prefix := client + protocol
				checkClient(t, runClient(t, nodes[1], nodes[0], client, protocol, prefix))
				harness.Converge(t, harness.Patience, "default", nodes...)
				if got := nodes[0].Do("GET", prefix+":greeting"); got != "hello" {
					t.Errorf("the cloud has %v, want what %s wrote at the edge", got, client)
				}
			})
		}
	}
}

func needClients(t *testing.T) {
	t.Helper()
	harness.Need(t, "node", "nodejs")
	if _, err := os.Stat(filepath.Join(clientsDir, "node_modules", "ioredis")); err == nil {
		return
	}
	const how = "the clients are not installed: npm ci --prefix test/e2e/clients"
	if harness.InCI() {
		t.Fatal(how)
	}
	t.Skip("SKIPPED: " + how)
}

func runClient(t *testing.T, n, away *harness.Node, client, protocol, prefix string) map[string]any {
	t.Helper()
	host, port, err := net.SplitHostPort(n.RESP())
	if err != nil {
		t.Fatal(err)
	}
	_, awayPort, err := net.SplitHostPort(away.RESP())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", client+".mjs", host, port, awayPort, protocol, prefix)
	cmd.Dir = clientsDir
	cmd.Env = harness.Environment()
	r := harness.RunCommand(t, "", cmd)
	var got map[string]any
	if err := json.Unmarshal([]byte(r.Stdout), &got); r.Code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	return got
}

func checkClient(t *testing.T, got map[string]any) {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal([]byte(expected), &want); err != nil {
		t.Fatal(err)
	}
	for field := range want {
		if !reflect.DeepEqual(got[field], want[field]) {
			t.Errorf("%s: %v, want %v", field, got[field], want[field])
		}
	}
	mustMatch(t, "refused", got["refused"], `^ERR 'xack' not supported by edgemem: .+`)
	mustMatch(t, "unknown", got["unknown"], `(?i)^ERR unknown command 'NONSENSE', with args beginning with: 'x'`)
}

// TestGoRedis runs go-redis as its release is, against an edge.
func TestGoRedis(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "goredis")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Dir = filepath.Join(clientsDir, "goredis") // a module of its own, so that nothing else depends on the client
	if r := harness.RunCommand(t, "", build); r.Code != 0 {
		if harness.InCI() {
			t.Fatalf("go build: %s", r.Stderr)
		}
		t.Skipf("SKIPPED: go-redis cannot be built here: %s", r.Stderr)
	}
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "edge", Tier: "edge"})
	for _, protocol := range []string{"2", "3"} {
		t.Run("RESP"+protocol, func(t *testing.T) {
			cmd := exec.Command(program, nodes[1].RESP(), nodes[0].RESP(), protocol, "go"+protocol)
			cmd.Env = harness.Environment()
			if r := harness.RunCommand(t, "", cmd); r.Code != 0 {
				t.Errorf("exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
		})
	}
}

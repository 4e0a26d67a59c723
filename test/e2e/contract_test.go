package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestStatusContract reads what `edgemem status -o json` prints the way a script would: by path, from text.
func TestStatusContract(t *testing.T) {
	t.Parallel()
	cloud, _, device := startMesh(t)
	device.Do("SET", "k", "v")
	harness.Converge(t, harness.Patience, "default", cloud, device)

	var s map[string]any
	if err := json.Unmarshal([]byte(device.CLI("status", "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	node := s["node"].(map[string]any)
	for field, pattern := range map[string]string{
		"id": `^12D3KooW`, "name": `^device$`, "tier": `^device$`,
		"resp": `^127\.0\.0\.1:[1-9]\d*$`, "http": `^127\.0\.0\.1:[1-9]\d*$`,
	} {
		if text, _ := node[field].(string); !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("node.%s is %v, want %s", field, node[field], pattern)
		}
	}
	listen := node["listen"].([]any)
	if len(listen) != 2 || !strings.HasPrefix(listen[0].(string), "/ip4/127.0.0.1/") || strings.Contains(listen[0].(string), "/tcp/0") {
		t.Errorf("node.listen is %v, want two addresses with the ports that were found", listen)
	}
	checkPeers(t, s["peers"].([]any))
	checkDefault(t, s["regions"].([]any)[0].(map[string]any), node)
}

func checkPeers(t *testing.T, peers []any) {
	t.Helper()
	names := map[any]bool{}
	for _, p := range peers {
		peer := p.(map[string]any)
		rtt, isNumber := peer["rtt_ms"].(float64)
		if !isNumber || rtt < 0 || peer["connected"] != true || peer["id"] == "" || peer["tier"] != peer["name"] {
			t.Errorf("peer %v", peer)
		}
		names[peer["name"]] = true
	}
	if len(peers) != 2 || !names["cloud"] || !names["edge"] {
		t.Errorf("peers are %v, want cloud and edge", names)
	}
}

func checkDefault(t *testing.T, region, node map[string]any) {
	t.Helper()
	if region["name"] != "default" || region["entries"] != 1.0 || region["bytes"].(float64) <= 0 || region["digest"] == "" {
		t.Errorf("region %v", region)
	}
	context := region["context"].(map[string]any)
	if runs, _ := context[node["origin"].(string)].(map[string]any); runs["base"] != 1.0 {
		t.Errorf("context is %v, want one write of %v", context, node["origin"])
	}
	lag := region["lag"].(map[string]any)
	if len(lag) != 2 {
		t.Errorf("lag is %v, want two peers", lag)
	}
	for id, l := range lag {
		if _, ok := l.(map[string]any)["writes"].(float64); !ok {
			t.Errorf("lag of %s is %v, want writes", id, l)
		}
	}
}

// TestReadiness wants 200 from a node that is alone: an off-line edge is healthy.
func TestReadiness(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{Tier: "edge"})
	if code := n.HTTPStatus("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d without peers, want 200", code)
	}
	n.CLI("offline")
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		if code := n.HTTPStatus(path); code != http.StatusOK {
			t.Errorf("%s answers %d off line, want 200", path, code)
		}
	}
}

// TestWriteHereReadThere writes at every node with the CLI and over RESP, and reads everywhere.
func TestWriteHereReadThere(t *testing.T) {
	t.Parallel()
	cloud, edge, device := startMesh(t)
	nodes := []*harness.Node{cloud, edge, device}
	for _, n := range nodes {
		n.CLI("set", "cli:"+n.Name, n.Name)
		n.CLI("incr", "visits", "--by", "5")
		n.Do("SET", "resp:"+n.Name, n.Name)
	}
	harness.Converge(t, harness.Patience, "default", nodes...)
	for _, reader := range nodes {
		for _, writer := range nodes {
			for _, key := range []string{"cli:" + writer.Name, "resp:" + writer.Name} {
				if got := reader.Do("GET", key); got != writer.Name {
					t.Errorf("%s has %v for %s, want %s", reader.Name, got, key, writer.Name)
				}
			}
		}
		if got := strings.TrimSpace(reader.CLI("get", "visits")); got != "15" {
			t.Errorf("%s counts %s visits, want 15", reader.Name, got)
		}
	}
}

// TestJoinTwice gives a member its ticket once more: a note, not an error.
func TestJoinTwice(t *testing.T) {
	t.Parallel()
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "device"})
	nodes[1].Stop()
	nodes[1].Start() // with the same --join
	harness.Connected(t, harness.Patience, 1, nodes...)
	if log := nodes[1].Log(); !strings.Contains(log, "a member of the fabric already") {
		t.Errorf("no note about the ticket in\n%s", log)
	}
}

package e2e

import (
	"os"
	"regexp"
	"sync"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// startMesh starts a cloud, an edge and a device that joined by ticket, and waits until all are connected
// to all.
func startMesh(t *testing.T) (cloud, edge, device *harness.Node) {
	t.Helper()
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"},
		harness.Options{Name: "edge", Tier: "edge"}, harness.Options{Name: "device", Tier: "device"})
	return nodes[0], nodes[1], nodes[2]
}

// startFabric starts nodes of which the first founds the fabric.
func startFabric(t *testing.T, founder harness.Options, others ...harness.Options) []*harness.Node {
	t.Helper()
	nodes := []*harness.Node{harness.Start(t, founder)}
	for _, o := range others {
		o.Join = nodes[0].Ticket()
		nodes = append(nodes, harness.NewNode(t, o))
	}
	startAll(t, nodes[1:])
	harness.Connected(t, harness.Patience, len(others), nodes...)
	return nodes
}

// startAll starts nodes at the same time.
func startAll(t *testing.T, nodes []*harness.Node) {
	t.Helper()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = n.TryStart() })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("start %s: %v\n%s", nodes[i].Name, err, nodes[i].Log())
		}
	}
}

// mustMatch compares a text with a regular expression.
func mustMatch(t *testing.T, what string, got any, pattern string) {
	t.Helper()
	if text, _ := got.(string); !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("%s: %v does not match %s", what, got, pattern)
	}
}

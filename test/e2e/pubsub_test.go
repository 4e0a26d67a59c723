package e2e

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// listening waits until a node knows that so many others listen to something.
func listening(t *testing.T, n *harness.Node, others int) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "word of who listens", func() error {
		info := redisCLI(t, n, "", "INFO", "stats")
		if want := fmt.Sprintf("pubsub_listening_nodes:%d\r", others); !strings.Contains(info, want) {
			return fmt.Errorf("%s does not say %q", n.Name, want)
		}
		return nil
	})
}

func TestMessagesAcrossNodes(t *testing.T) {
	t.Parallel()
	harness.Need(t, "redis-cli", "redis-tools")
	cloud, edge, device := startMesh(t)
	onEdge, onDevice := edge.Dial(), device.Dial()
	for c, args := range map[*harness.Conn][]string{onEdge: {"SUBSCRIBE", "news"}, onDevice: {"PSUBSCRIBE", "ne*"}} {
		if _, err := c.Do(args...); err != nil {
			t.Fatal(err)
		}
	}
	listening(t, cloud, 2)
	const n = 100
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "PUBLISH news %d\n", i)
	}
	for i, answer := range strings.Fields(redisCLI(t, cloud, lines.String())) {
		if answer != "0" {
			t.Fatalf("PUBLISH %d answers %q: nobody listens on that node", i, answer)
		}
	}
	for i := range n {
		for c, want := range map[*harness.Conn][]any{onEdge: {"message", "news", fmt.Sprint(i)}, onDevice: {"pmessage", "ne*", "news", fmt.Sprint(i)}} {
			if got, err := c.Receive(); err != nil || !reflect.DeepEqual(got, any(want)) {
				t.Fatalf("%v, %v, want %v", got, err, want)
			}
		}
	}
	// Who listened is killed, and forgotten; it starts again, and is found.
	device.Kill()
	listening(t, cloud, 1)
	device.Start()
	again := device.Dial()
	if _, err := again.Do("SUBSCRIBE", "news"); err != nil {
		t.Fatal(err)
	}
	listening(t, cloud, 2)
	redisCLI(t, edge, "", "PUBLISH", "news", "back")
	if got, err := again.Receive(); err != nil || !reflect.DeepEqual(got, any([]any{"message", "news", "back"})) {
		t.Errorf("%v, %v", got, err)
	}
}

package cli

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/fabric"
)

func TestStatusShowsPullsThatRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := printPulling(&out, []fabric.PullProgress{
		{Region: "default", Peer: "12D3KooWcloud", Bytes: 30 << 20, Covered: 0.304, BytesLeft: 70 << 20, ETAMillis: 83_400},
		{Region: "orders", Peer: "12D3KooWother", BytesLeft: -1, ETAMillis: -1},
	}, map[string]string{"12D3KooWcloud": "cloud"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PULLING FROM DONE CAME LEFT TIME LEFT",
		"default cloud 30 % 30 MiB about 70 MiB 1m23s",
		"orders 12D3KooWothe… 0 % 0 B – –",
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if got := strings.Join(strings.Fields(line), " "); i >= len(want) || got != want[i] {
			t.Errorf("line %d: %q", i, got)
		}
	}
}

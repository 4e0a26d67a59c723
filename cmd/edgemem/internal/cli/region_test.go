package cli

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func TestRegionsAreShownWithWhoIsBehind(t *testing.T) {
	t.Parallel()
	r := control.RegionOf(fabric.RegionStatus{
		Name: "default", Ack: "memory", Entries: 1234567, Bytes: 5 << 20, Digest: "0123456789abcdef",
		Context: crdt.Context{crdt.Origin{1}: crdt.Runs{Base: 1000, Above: []crdt.Span{{Lo: 1002, Hi: 2003}}}},
		Lag: map[crdt.NodeID]fabric.Lag{
			"p1": {Writes: 2000, AgeMS: 12_300}, "p2": {Missing: 3, AgeMS: 5}, "p3": {AgeMS: -1}, "p4": {AgeMS: 1}},
	})
	names := map[string]string{"p1": "cloud", "p2": "edge", "p3": "new", "p4": "even"}
	var list, one strings.Builder
	if err := printRegions(&list, []control.Region{r}, names); err != nil {
		t.Fatal(err)
	}
	if err := printRegion(&one, r, names); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{list.String(), "default  memory  1,234,567  5.0 MiB  0123456789ab…  cloud lacked 2,000 12s ago, edge had 3 more just now, new not heard of yet\n"},
		{one.String(), "010000000000…  1,000       1 ranges up to 2,003\n"},
		{one.String(), "cloud  2,000   0         12s ago\n"},
		{one.String(), "new    0       0         never\n"},
	} {
		if !strings.Contains(c.in, c.want) {
			t.Errorf("%q is not in\n%s", c.want, c.in)
		}
	}
}

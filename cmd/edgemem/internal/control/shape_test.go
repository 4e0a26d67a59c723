package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// statusShape is what scripts may rely on in `edgemem status -o json`: fields may be added, and none of
// these may go or change its type. A * stands for any key of a map; counters under stats and sync are
// for people, and may change.
const statusShape = `
.alarms[].detail string
.alarms[].kind string
.alarms[].name string
.alarms[].node string
.alarms[].notice bool
.alarms[].since string
.alarms[].what_to_do string
.node.bandwidth.in_bytes number
.node.bandwidth.out_bytes number
.node.bandwidth.stream_in_bytes number
.node.bandwidth.stream_out_bytes number
.node.data_dir string
.node.disk.encrypted bool
.node.disk.free_bytes number
.node.disk.full bool
.node.disk.logs_bytes number
.node.disk.merges_held bool
.node.disk.refused_writes number
.node.disk.tables_bytes number
.node.disk.unsaved_cells number
.node.disk.value_logs_bytes number
.node.fabric string
.node.http string
.node.id string
.node.listen[] string
.node.memory.budget_bytes number
.node.memory.eviction.away number
.node.memory.eviction.away_bytes number
.node.memory.eviction.policy string
.node.memory.go_limit_bytes number
.node.memory.heap_bytes number
.node.memory.level string
.node.memory.mapped_bytes number
.node.memory.merges_held bool
.node.memory.refused_writes number
.node.memory.reserve_bytes number
.node.memory.resident_bytes number
.node.memory.used_bytes number
.node.name string
.node.offline bool
.node.origin string
.node.pid number
.node.ready bool
.node.resp string
.node.tier string
.node.uptime_s number
.node.version string
.nodes[].connected bool
.nodes[].dark bool
.nodes[].id string
.nodes[].labels.* string
.nodes[].lag.behind_ms number
.nodes[].lag.bytes number
.nodes[].lag.missing number
.nodes[].lag.regions number
.nodes[].lag.writes number
.nodes[].last_heard string
.nodes[].last_writes_heard string
.nodes[].name string
.nodes[].origin string
.nodes[].retired.at string
.nodes[].retired.by string
.nodes[].self bool
.nodes[].since string
.nodes[].tier string
.peers[].addr string
.peers[].addrs[] string
.peers[].connected bool
.peers[].direction string
.peers[].expiry string
.peers[].id string
.peers[].last_seen string
.peers[].name string
.peers[].rtt_ms number
.peers[].tier string
.peers[].transport string
.regions[].ack string
.regions[].at string
.regions[].bytes number
.regions[].complete.dark[] string
.regions[].complete.of[] string
.regions[].complete.through[] string
.regions[].complete.up_to string
.regions[].consistency string
.regions[].context.*.above[][] number
.regions[].context.*.base number
.regions[].digest string
.regions[].ended.origins number
.regions[].ended.writes number
.regions[].entries number
.regions[].gaps bool
.regions[].ghosts number
.regions[].values_on_disk number
.regions[].holders[].id string
.regions[].holders[].name string
.regions[].holders[].tier string
.regions[].lag.*.age_ms number
.regions[].lag.*.behind_ms number
.regions[].lag.*.bytes number
.regions[].lag.*.connected bool
.regions[].lag.*.missing number
.regions[].lag.*.writes number
.regions[].min_copies number
.regions[].name string
.regions[].placement string
.regions[].writers[].node string
.regions[].writers[].origin string
.regions[].writers[].writes number
`

func TestStatusKeepsItsShape(t *testing.T) {
	t.Parallel()
	region := gapped()
	region.Lag = map[crdt.NodeID]fabric.Lag{"*": {}}
	region.Complete = fabric.Completeness{UpTo: time.Unix(1, 0), Of: []crdt.NodeID{"p"}, Through: []crdt.NodeID{"p"}, Dark: []crdt.NodeID{"p"}}
	region.Writers = []fabric.Writer{{}}
	region.Holders = []fabric.Holder{{}}
	s := Status{
		Alarms: []Alarm{{Name: "n"}},
		Nodes: []Member{{Origin: "o", Labels: map[string]string{"*": "v"}, Since: time.Unix(1, 0), LastHeard: time.Unix(1, 0), LastWrites: time.Unix(1, 0),
			Retired: &fabric.Retirement{}, Lag: &fabric.NodeLag{}}},
		Node:    Node{Listen: []string{""}},
		Peers:   []Peer{{Addrs: []string{""}, Addr: "a", Transport: "tcp", Direction: "in", LastSeen: time.Unix(1, 0)}},
		Regions: []Region{RegionOf(region)},
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	shape("", v, got)
	for _, want := range strings.Fields(strings.ReplaceAll(statusShape, " ", "=")) {
		if want = strings.ReplaceAll(want, "=", " "); !got[want] {
			t.Errorf("%s is missing; there are\n%s", want, strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
			return
		}
	}
}

// shape flattens v to the set of its paths and their types.
func shape(path string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if strings.HasSuffix(path, "].context") || strings.HasSuffix(path, "regions[].lag") {
				k = "*"
			}
			shape(path+"."+k, e, into)
		}
	case []any:
		for _, e := range v {
			shape(path+"[]", e, into)
		}
	case float64:
		into[path+" number"] = true
	default:
		into[fmt.Sprintf("%s %T", path, v)] = true
	}
}

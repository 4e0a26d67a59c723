package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// Status tells everything about the node, its peers and its regions at one moment.
func (b backend) Status() control.Status {
	all := b.fabric.Status()
	s := control.Status{Node: b.node(), Alarms: all.Alarms, Nodes: all.Nodes, Peers: []control.Peer{}, Regions: []control.Region{}} // [] in JSON, not null
	for _, p := range b.host.Peers() {
		s.Peers = append(s.Peers, control.PeerOf(p))
	}
	for _, r := range all.Regions {
		s.Regions = append(s.Regions, control.RegionOf(r))
	}
	return s
}

// splitAddrs tells the addresses that this node listens on from those of relays that lead here.
func splitAddrs(all []string) (own, relayed []string) {
	own = []string{} // [] in JSON, not null
	for _, a := range all {
		if strings.Contains(a, "/p2p-circuit") {
			relayed = append(relayed, a)
		} else {
			own = append(own, a)
		}
	}
	return own, relayed
}

func (d *Daemon) node() control.Node {
	dir, err := filepath.Abs(d.cfg.DataDir)
	if err != nil {
		dir = d.cfg.DataDir
	}
	origin, _ := d.fabric.Origin().MarshalText() // never fails
	wire := d.host.Bandwidth()
	listen, relayed := splitAddrs(d.host.Addrs())
	return control.Node{
		ID: string(d.host.Self()), Name: d.host.Name(), Tier: d.host.Tier(),
		Profile: control.Profile{Profile: d.memory.profile, Settings: d.memory.profile.Rows()},
		RESP:    address(d.respListener), HTTP: address(d.httpListener), Listen: listen, Relayed: relayed,
		Fabric: d.host.FabricID().String(), Origin: string(origin), Version: build.Get().Version, PID: os.Getpid(), DataDir: dir,
		Ready: d.Ready() == nil, Offline: d.host.Offline(), UptimeSeconds: time.Since(d.began).Round(time.Millisecond).Seconds(),
		Memory: control.Memory{MemoryStatus: d.fabric.Memory(), Plan: d.memory.plan.Why, GoLimit: d.memory.plan.GoLimit, HeapBytes: int64(heapBytes()), ResidentBytes: residentBytes()},
		Bandwidth: control.Bandwidth{
			InBytes: wire.TCP.In + wire.QUIC.In, OutBytes: wire.TCP.Out + wire.QUIC.Out,
			StreamInBytes: wire.Streams.In, StreamOutBytes: wire.Streams.Out,
		},
		Disk: d.disk(), Sync: d.fabric.SyncStats(), Scrub: d.fabric.ScrubStats(),
	}
}

func (d *Daemon) disk() control.Disk {
	out := control.Disk{DiskStatus: d.fabric.Disk(), Encrypted: d.cfg.KeyFile != ""}
	st, err := d.store.Stats()
	if err != nil {
		return out // it is closing
	}
	out.Disk, out.FreeBytes = st.Disk(), st.FreeBytes
	if st.Failed != nil {
		out.Failed = st.Failed.Error()
	}
	return out
}

// about gives the lines of the HTTP index. Before the mesh is up there is little to say.
func (d *Daemon) about() []string {
	lines := []string{fmt.Sprintf("edgemem %s: %s, tier %s", build.Get().Version, d.cfg.Name, d.cfg.Tier)}
	if err := d.Ready(); err != nil {
		return append(lines, err.Error())
	}
	n := d.node()
	return append(lines, "id      "+n.ID, "fabric  "+n.Fabric, "resp    "+n.RESP, "listen  "+strings.Join(n.Listen, " "))
}

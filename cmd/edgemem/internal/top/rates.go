package top

import (
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
)

// Rates is how a node moved between two statuses, per second. Its JSON is a line of `edgemem top -o json`.
type Rates struct {
	At        time.Time     `json:"at"`
	Seconds   float64       `json:"seconds"` // between the two
	Node      string        `json:"node"`
	Alarms    int           `json:"alarms"`
	Peers     int           `json:"peers_connected"`
	Resident  int64         `json:"resident_bytes"`
	Used      int64         `json:"used_bytes"`
	Budget    int64         `json:"budget_bytes"`
	Pressure  string        `json:"pressure"`
	In        float64       `json:"in_bytes_per_s"`
	Out       float64       `json:"out_bytes_per_s"`
	Writes    float64       `json:"writes_per_s"` // made here
	Merges    float64       `json:"merges_per_s"` // that came from others
	Evictions float64       `json:"evictions_per_s"`
	Faults    float64       `json:"faults_per_s"` // values read back from the disk
	Regions   []RegionRates `json:"regions"`
}

// RegionRates is one region's part.
type RegionRates struct {
	Name    string  `json:"name"`
	Entries int     `json:"entries"`
	Held    int64   `json:"held_bytes"`
	Writes  float64 `json:"writes_per_s"`
	Merges  float64 `json:"merges_per_s"`
	Lag     uint64  `json:"lag_writes"` // of the connected peer that lacks most
	Missing uint64  `json:"missing"`    // known to be at some peer and not here
	Loading bool    `json:"loading"`    // reads are refused as yet
	Full    string  `json:"full"`       // why writes are refused, if they are
}

// Between gives what happened from one status to a later one. A daemon that was started again in between counts from 0.
func Between(before, now control.Status, span time.Duration) Rates {
	seconds := span.Seconds()
	if before.Node.PID != now.Node.PID || seconds <= 0 {
		before, seconds = now, max(seconds, 1)
	}
	per := func(a, b uint64) float64 { return float64(b-min(a, b)) / seconds }
	r := Rates{
		Seconds: seconds, Node: now.Node.Name, Alarms: standing(now), Resident: now.Node.Memory.ResidentBytes,
		Used: now.Node.Memory.Used, Budget: now.Node.Memory.Budget, Pressure: now.Node.Memory.Level,
		In:        per(uint64(before.Node.Bandwidth.InBytes), uint64(now.Node.Bandwidth.InBytes)),
		Out:       per(uint64(before.Node.Bandwidth.OutBytes), uint64(now.Node.Bandwidth.OutBytes)),
		Evictions: per(before.Node.Memory.Eviction.Evicted, now.Node.Memory.Eviction.Evicted),
		Faults:    per(before.Node.Memory.Eviction.Faults, now.Node.Memory.Eviction.Faults),
		Regions:   []RegionRates{},
	}
	for _, p := range now.Peers {
		if p.Connected {
			r.Peers++
		}
	}
	old := make(map[string]crdt.Stats, len(before.Regions))
	for _, x := range before.Regions {
		old[x.Name] = x.Stats
	}
	for _, x := range now.Regions {
		was, known := old[x.Name]
		if !known {
			was = x.Stats
		}
		g := RegionRates{
			Name: x.Name, Entries: x.Entries, Held: x.Memory.Held, Loading: x.Loading, Full: x.Memory.Refuses,
			Writes: per(was.LocalWrites, x.Stats.LocalWrites),
			Merges: per(was.PushApplied+was.TipsMerged, x.Stats.PushApplied+x.Stats.TipsMerged),
		}
		for _, l := range x.Lag {
			if l.Up {
				g.Lag = max(g.Lag, l.Writes)
			}
			g.Missing = max(g.Missing, l.Missing)
		}
		r.Writes += g.Writes
		r.Merges += g.Merges
		r.Regions = append(r.Regions, g)
	}
	return r
}

// standing counts the alarms that are no mere notices.
func standing(s control.Status) (n int) {
	for _, a := range s.Alarms {
		if !a.Notice {
			n++
		}
	}
	return n
}

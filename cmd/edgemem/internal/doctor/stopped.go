package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist"
)

// Stopped examines the data directory of a node that does not run, without changing it. All that is readable is held in memory, as by the
// node. The error says why it could not look.
func Stopped(dir string, key []byte) (*Report, error) {
	r := &Report{DataDir: dir, Findings: []Finding{}, Regions: []fabric.RegionUsage{}}
	store := datadir.StorePath(dir)
	x, err := persist.Examine(store, key)
	if err != nil {
		return nil, err
	}
	r.Store = &x
	r.Disk = Disk{Disk: x.Disk, GarbageBytes: x.Garbage, Encrypted: x.Encrypted}
	r.Disk.FreeBytes, _ = persist.FreeBytes(store) // 0 where it is not known
	r.Disk.Look(dir)
	if x.Damage != nil {
		r.Damage = x.Damage.Error()
		r.Problem("the store is damaged: "+r.Damage, "'edgemem doctor --repair' tells what is left and what would be dropped, and asks; or restore a backup")
	}
	for _, what := range x.Repairs {
		r.Note("the next start mends "+what, "")
	}
	if !x.Clean && x.Damage == nil {
		r.Note("the last process was killed, or its disk was full; nothing acknowledged is missing", "")
	}
	if err := r.regions(store, key); err != nil {
		return nil, err
	}
	r.Judge()
	return r, nil
}

// regions reads all records that are readable.
func (r *Report) regions(store string, key []byte) error {
	cores := map[crdt.RegionID]*crdt.Region{}
	disk := map[crdt.RegionID]*fabric.RegionUsage{}
	bad := map[string]error{}
	_, err := persist.Salvage(store, key, func(key, value []byte) error {
		rec := crdt.Record{Key: key, Value: value}
		AddDisk(disk, key, int64(len(key)+len(value)))
		id, _ := crdt.RecordRegion(key)
		if name, isMeta, err := crdt.RecordName(rec); isMeta && err == nil {
			cores[id] = crdt.NewRegion(crdt.Config{Name: name})
		}
		if core := cores[id]; core != nil && bad[core.Name()] == nil {
			if err := core.Load(rec); err != nil {
				bad[core.Name()] = err
			}
		}
		return nil
	})
	var damage *persist.DamageError
	if errors.As(err, &damage) {
		return nil // it is told already
	}
	if err != nil {
		return err
	}
	for id, u := range disk {
		r.Disk.LiveBytes += u.DiskBytes
		r.addRegion(id, cores[id], u)
	}
	slices.SortFunc(r.Regions, func(a, b fabric.RegionUsage) int { return cmp.Compare(a.Name, b.Name) })
	for name, err := range bad {
		r.Problem(fmt.Sprintf("region %s does not load: %v", name, err), "restore a backup, or 'edgemem doctor --repair'")
	}
	return nil
}

func (r *Report) addRegion(id crdt.RegionID, core *crdt.Region, disk *fabric.RegionUsage) {
	u := fabric.RegionUsage{Name: fmt.Sprintf("%x, without a name", id[:4])}
	if core != nil {
		u = fabric.Measure(core)
		u.System = strings.HasPrefix(u.Name, "edgemem.")
	}
	u.DiskBytes, u.DiskRecords = disk.DiskBytes, disk.DiskRecords
	r.Regions = append(r.Regions, u)
}

// Plan says what a repair would keep and drop.
type Plan struct {
	DataDir      string               `json:"data_dir"`
	Damage       string               `json:"damage"`
	Problems     []string             `json:"problems"`
	Commit       uint64               `json:"commit"` // that the store would go back to
	Acknowledged uint64               `json:"acknowledged"`
	Keeps        []persist.LostRegion `json:"keeps"`
	Drops        []persist.LostRegion `json:"drops"`
	Lost         int                  `json:"values_lost"`
}

// ErrSound: there is nothing to repair.
var ErrSound = errors.New("the store is sound: there is nothing to repair")

// PlanRepair looks at a damaged store and changes nothing.
func PlanRepair(dir string, key []byte) (Plan, error) {
	store := datadir.StorePath(dir)
	x, err := persist.Examine(store, key)
	if err != nil {
		return Plan{}, err
	}
	if x.Damage == nil {
		return Plan{}, ErrSound
	}
	s, err := persist.Salvage(store, key, func(_, _ []byte) error { return nil })
	if err != nil {
		return Plan{}, err
	}
	return planOf(dir, x.Damage, s), nil
}

func planOf(dir string, damage error, s *persist.Salvaged) Plan {
	p := Plan{DataDir: dir, Damage: damage.Error(), Commit: s.Commit, Acknowledged: s.Acknowledged, Keeps: s.Whole, Drops: s.Torn, Lost: s.Lost}
	for _, err := range s.Problems {
		p.Problems = append(p.Problems, err.Error())
	}
	return p
}

// Print tells the plan.
func (p Plan) Print(w io.Writer, keepTorn bool) {
	fmt.Fprintf(w, "damage: %s\n", p.Damage)
	for _, what := range p.Problems {
		fmt.Fprintf(w, "unreadable: %s\n", what)
	}
	if p.Commit < p.Acknowledged {
		fmt.Fprintf(w, "the store goes back to commit %d of %d: what was written after that is lost here, unless peers have it\n", p.Commit, p.Acknowledged)
	}
	for _, r := range p.Keeps {
		fmt.Fprintf(w, "keeps region %s, %d records\n", r.Name, r.Records)
	}
	for _, r := range p.Drops {
		if keepTorn {
			fmt.Fprintf(w, "keeps region %s TORN, %d records: nodes that connect will take what is missing for removed\n", r.Name, r.Records)
			continue
		}
		fmt.Fprintf(w, "drops region %s, of which %d records are readable: peers that hold it bring it back; the readable ones stay aside\n", r.Name, r.Records)
	}
}

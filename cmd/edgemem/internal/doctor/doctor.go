// Package doctor judges a node: what its bytes are made of, on disk and in memory, what is wrong with it, and what to do. The daemon fills
// a Report of a node that runs (daemon), Stopped one of a data directory.
package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist"
)

// Report is what `edgemem doctor -o json` prints.
type Report struct {
	Running  bool                 `json:"running"`
	DataDir  string               `json:"data_dir"`
	Degraded bool                 `json:"degraded"` // some finding is a problem
	Findings []Finding            `json:"findings"`
	Memory   *Memory              `json:"memory,omitempty"` // of a node that runs
	Disk     Disk                 `json:"disk"`
	Store    *persist.Examination `json:"store,omitempty"` // of a stopped node
	Damage   string               `json:"damage,omitempty"`
	Regions  []fabric.RegionUsage `json:"regions"`
}

// Finding is something to know, or a problem.
type Finding struct {
	Problem bool   `json:"problem"`
	What    string `json:"what"`
	Do      string `json:"what_to_do,omitempty"`
}

// Memory is what the process takes.
type Memory struct {
	ResidentBytes int64          `json:"resident_bytes"` // 0: not known on this system
	HeapBytes     int64          `json:"heap_bytes"`
	BudgetBytes   int64          `json:"budget_bytes"` // for what regions hold; 0: none
	MappedBytes   int64          `json:"mapped_bytes"` // by the pools that they lie in, at most
	Regions       crdt.Footprint `json:"regions"`
	OtherBytes    int64          `json:"other_bytes"` // resident, and none of those: libp2p, Badger, the program, garbage
}

// Disk is what the data directory takes.
type Disk struct {
	persist.Disk
	LiveBytes    int64   `json:"live_bytes"`               // newest versions of all records
	GarbageBytes int64   `json:"value_log_garbage_bytes"`  // as far as compactions have found it
	FreeBytes    int64   `json:"free_bytes"`               // on the file system
	Encrypted    bool    `json:"encrypted"`                //
	Left         []Extra `json:"left_behind,omitempty"`    // that the node does not use
	IdentityByte int64   `json:"identity_and_peers_bytes"` // the folder p2p
}

// Extra is something in the data directory that the node does not use.
type Extra struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Note adds something to know.
func (r *Report) Note(what, do string) { r.Findings = append(r.Findings, Finding{false, what, do}) }

// Problem adds what makes the node degraded.
func (r *Report) Problem(what, do string) {
	r.Findings = append(r.Findings, Finding{true, what, do})
	r.Degraded = true
}

func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// Limits beyond which something is said.
const (
	garbageMin    = 16 << 20 // less is not worth a word
	originsMany   = 1000
	ghostsPerLive = 2
)

// Judge adds what the figures tell.
func (r *Report) Judge() {
	r.judgeDisk()
	for _, u := range r.Regions {
		r.judgeRegion(u)
	}
	if m := r.Memory; m != nil && m.BudgetBytes > 0 && m.Regions.Total() > m.BudgetBytes*9/10 {
		r.Problem(fmt.Sprintf("the regions hold %s of a budget of %s: writes will be refused", size(m.Regions.Total()), size(m.BudgetBytes)),
			"raise --memory, or remove what is not needed: all regions are in memory")
	}
}

func (r *Report) judgeDisk() {
	d := r.Disk
	if waste := d.Total() - 2*d.LiveBytes; waste > garbageMin {
		r.Note(fmt.Sprintf("the disk holds %s for %s that live", size(d.Total()), size(d.LiveBytes)),
			"'edgemem checkpoint' gives back what it can now; the node does so every ten minutes")
	}
	if d.GarbageBytes > garbageMin {
		r.Note(fmt.Sprintf("%s in value logs are garbage", size(d.GarbageBytes)), "'edgemem checkpoint' rewrites the files that are mostly garbage")
	}
	for _, x := range d.Left {
		r.Note(fmt.Sprintf("%s takes %s, and the node does not use it", x.Path, size(x.Bytes)), "delete it once it is not needed any more")
	}
}

func (r *Report) judgeRegion(u fabric.RegionUsage) {
	if u.Ghosts > ghostsPerLive*u.Entries && u.Ghosts > 10_000 {
		r.Note(fmt.Sprintf("region %s remembers %s removes beside %s entries", u.Name, humanize.Comma(int64(u.Ghosts)), humanize.Comma(int64(u.Entries))),
			"they go when all members have seen them: 'edgemem node list' shows who is away, 'edgemem node retire' ends the wait for who will not be back")
	}
	if u.Origins > originsMany {
		r.Note(fmt.Sprintf("region %s was written by %s starts of nodes, whose record takes %s", u.Name, humanize.Comma(int64(u.Origins)), size(u.Memory.Causal)),
			"starts that ended collapse when all members have seen them: 'edgemem node list' shows who is away")
	}
}

// extras are what restores, repairs and damage leave behind.
var extras = []string{"restoring", "before-restore-*", "damaged-*", filepath.Join("p2p", "peers.damaged")}

// Look fills in what the data directory itself tells.
func (d *Disk) Look(dir string) {
	d.IdentityByte = treeBytes(filepath.Join(dir, "p2p"))
	for _, pattern := range extras {
		found, err := filepath.Glob(filepath.Join(escape(dir), pattern))
		if err != nil {
			continue // the patterns are sound
		}
		for _, path := range found {
			d.Left = append(d.Left, Extra{path, treeBytes(path)})
		}
	}
}

// escape takes the meaning of a pattern from a path.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func treeBytes(root string) (bytes int64) {
	_ = filepath.WalkDir(root, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // what cannot be read is not counted
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// AddDisk notes a record of the store with its region.
func AddDisk(by map[crdt.RegionID]*fabric.RegionUsage, key []byte, bytes int64) {
	id, ok := crdt.RecordRegion(key)
	if !ok {
		return
	}
	u := by[id]
	if u == nil {
		u = &fabric.RegionUsage{}
		by[id] = u
	}
	u.DiskBytes += bytes
	u.DiskRecords++
}

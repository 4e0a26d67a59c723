// Package doctor judges a node: what its bytes are made of, on disk and in memory, what is wrong with it, and what to do. The daemon fills
// a Report of a node that runs (daemon), Stopped one of a data directory.
package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

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
	ResidentBytes int64               `json:"resident_bytes"` // 0: not known on this system
	HeapBytes     int64               `json:"heap_bytes"`
	BudgetBytes   int64               `json:"budget_bytes"` // for what regions hold; 0: none
	MappedBytes   int64               `json:"mapped_bytes"` // by the pools that they lie in, at most
	Regions       crdt.Footprint      `json:"regions"`
	OtherBytes    int64               `json:"other_bytes"` // resident, and not of the regions; Resident tells what
	Used          int64               `json:"used_bytes"`  // by regions, as the budget counts it: without buffers and the Go objects of causal metadata; free slots count where values leave memory
	Node          fabric.MemoryStatus `json:"node"`
	Pools         fabric.PoolStatus   `json:"pools"`
	Go            GoMemory            `json:"go"`
	Resident      *Resident           `json:"resident,omitempty"` // where the system tells
	Store         persist.Memory      `json:"store"`
}

// GoMemory is what the Go runtime took of the system, by its own account. What was never touched is not resident.
type GoMemory struct {
	ObjectsBytes  int64 `json:"objects_bytes"`  // live, and not swept yet
	FreeBytes     int64 `json:"free_bytes"`     // kept for what comes next
	ReleasedBytes int64 `json:"released_bytes"` // given back: address space
	StackBytes    int64 `json:"stack_bytes"`
	OtherBytes    int64 `json:"other_bytes"` // tables of the runtime
	LimitBytes    int64 `json:"limit_bytes"` // GOMEMLIMIT; 0: none
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
	OtherBytes   int64   `json:"other_bytes"`              // the store's lists, locks and marks
	AllBytes     int64   `json:"all_bytes"`                // of the data directory, as du counts: blocks, since logs are sparse files
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
	garbageMin     = 16 << 20 // less is not worth a word
	originsMany    = 1000
	ghostsPerLive  = 2
	slackMin       = 16 << 20
	slackShare     = 4 // one byte in so many
	unexplainedMin = 64 << 20
)

// Judge adds what the figures tell.
func (r *Report) Judge() {
	r.judgeDisk()
	for _, u := range r.Regions {
		r.judgeRegion(u)
	}
	if r.Memory != nil {
		r.judgeMemory(r.Memory)
	}
}

func (r *Report) judgeMemory(m *Memory) {
	n := m.Node
	switch {
	case n.Level == "refuse":
		r.Problem(fmt.Sprintf("writes are refused: the regions hold %s, and %s more are reserved, of the %s that %s of budget leave to writers", size(n.Used), size(n.Unused), size(n.Budget-n.Reserve), size(n.Budget)),
			"raise --memory, remove what is not needed, or lower reservations")
	case m.BudgetBytes > 0 && n.Used > m.BudgetBytes*9/10:
		r.Problem(fmt.Sprintf("the regions hold %s of a budget of %s: writes will be refused", size(n.Used), size(m.BudgetBytes)),
			"raise --memory, or remove what is not needed")
	}
	for _, l := range n.Lines {
		if l.Refuses && n.Level != "refuse" {
			r.Note(fmt.Sprintf("writes to %s regions are refused: %s are used or reserved of the %s that they may fill", l.Priority, size(l.Taken), size(l.Limit)),
				"raise --memory, or the priority of what matters: 'edgemem region create NAME --priority guaranteed'")
		}
	}
	if free := m.Pools.Free - m.Pools.Discarded; free > slackMin && free > m.Pools.Mapped/slackShare {
		r.Note(fmt.Sprintf("the pools keep %s free of %s that they have mapped", size(free), size(m.Pools.Mapped)), "it goes back to the system when nothing has used it for a minute; under pressure at once")
	}
	x := m.Resident
	if x == nil {
		return
	}
	if m.Go.FreeBytes > unexplainedMin && m.Go.FreeBytes > m.Go.ObjectsBytes {
		r.Note(fmt.Sprintf("the Go heap keeps %s free beside %s in use", size(m.Go.FreeBytes), size(m.Go.ObjectsBytes)), "it goes back to the system within minutes; GOMEMLIMIT bounds it")
	}
	if x.UnexplainedBytes > unexplainedMin && x.UnexplainedBytes > x.TotalBytes/slackShare {
		r.Note(fmt.Sprintf("%s of %s resident are none of what is known here", size(x.UnexplainedBytes), size(x.TotalBytes)), "if it grows, report it with what 'edgemem doctor -o json' says now and an hour later")
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
	f := u.Memory
	if f.Slack > slackMin && f.Slack > f.Total()/slackShare {
		r.Note(fmt.Sprintf("region %s holds %s in free slots of its %s", u.Name, size(f.Slack), size(f.Total())),
			"what is written next takes them; a start of the node packs the region anew")
	}
	if f.Ghost > slackMin && f.Ghost > f.Total()/slackShare && u.Ghosts <= ghostsPerLive*u.Entries {
		r.Note(fmt.Sprintf("the removes that region %s remembers take %s of its %s", u.Name, size(f.Ghost), size(f.Total())), "--max-ghost-bytes bounds them; they go when all members have seen them")
	}
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

// Look fills in what the data directory itself tells. The parts of the store are known already.
func (d *Disk) Look(dir string) {
	d.AllBytes = treeBytes(dir)
	d.IdentityByte = treeBytes(filepath.Join(dir, "p2p"))
	other := d.AllBytes - d.IdentityByte - d.Total()
	for _, pattern := range extras {
		found, err := filepath.Glob(filepath.Join(escape(dir), pattern))
		if err != nil {
			continue // the patterns are sound
		}
		for _, path := range found {
			x := Extra{path, treeBytes(path)}
			d.Left = append(d.Left, x)
			if !strings.HasPrefix(path, filepath.Join(dir, "p2p")+string(filepath.Separator)) {
				other -= x.Bytes
			}
		}
	}
	d.OtherBytes = max(0, other)
}

// escape takes the meaning of a pattern from a path.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// treeBytes is what the files and folders below root take, in blocks.
func treeBytes(root string) (bytes int64) {
	_ = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil { // what cannot be read is not counted
			bytes += st.Blocks * blockBytes
		}
		return nil
	})
	return bytes
}

// blockBytes is the unit of Stat_t.Blocks.
const blockBytes = 512

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

// Package profile fits a node to a size of machine. What differs between a device and a server, in the store, the mesh, the memory and the Go
// runtime, is one row each of one table here; what a flag says is stronger than the profile.
//
//	--profile ── auto ──▶ tier, memory of the cgroup or the machine, width of words ──▶ device │ server
package profile

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/machine"
	"github.com/edgemem/edgemem/persist"
	"github.com/edgemem/edgemem/tiers/evict"
)

// Names of profiles, and what leaves the choice to the machine.
const (
	Auto   = "auto"
	Device = "device"
	Server = "server"
)

// Names lists what --profile takes.
func Names() []string { return []string{Auto, Device, Server} }

// Where auto draws the line.
const (
	// smallBytes is the memory up to which any node is a device: a server's store alone may take six times its memtable of 16 MiB.
	smallBytes = 512 << 20
	// smallTableBytes is a table of the store there: a compaction has ten in work.
	smallTableBytes = 512 << 10
	// tightBytes is the memory up to which a device takes less still. Three memtables, and a table that is being built of one, lie on the Go heap.
	tightBytes         = 256 << 20
	tightMemtableBytes = 2 << 20
)

// A Profile is what a node of one size runs with. Zero is the default of whom it is for.
type Profile struct {
	Name string `json:"name"`
	Why  string `json:"why"` // it was chosen

	Store         persist.Profile `json:"-"`
	MemtableBytes int64           `json:"-"` // of the store; 0: as Store has it
	JournalBytes  int64           `json:"-"` // likewise
	TableBytes    int64           `json:"-"` // likewise
	ChunkBytes    int             `json:"-"` // in which the pools map memory
	PeersLow      int             `json:"-"` // connections up to which members are dialled
	PeersHigh     int             `json:"-"` // and above which the least useful are closed
	MaxBacklog    int             `json:"-"` // changed cells of a region that may wait for the disk
	MaxStaged     int             `json:"-"` // bytes of a causal pull that are held back
	Eviction      string          `json:"-"` // order in which values leave memory for the disk
	GCPercent     int             `json:"-"` // GOGC
	FreeAfter     time.Duration   `json:"-"` // from ready on, when what the start took is given back; 0: as the Go runtime does it
}

// Fit makes the store's memory no larger than becomes a budget of a server's regions; 0 is no budget. With a small one what the store takes beside
// it would be most of the process.
func (p *Profile) Fit(budget int64) {
	c := persist.Defaults(p.Store)
	if p.Name != Server || budget <= 0 {
		return
	}
	p.MemtableBytes = min(max(budget/memtableShare, memtableLeast), c.MemtableBytes)
	p.JournalBytes = min(max(budget/journalShare, memtableLeast), c.JournalBytes)
}

// What a server's store takes of its regions' budget: up to six memtables, and the index of two segments of the journal, some 45 bytes a record.
const (
	memtableShare = 32
	journalShare  = 8
	memtableLeast = 4 << 20
)

// Choose gives the profile that a setting asks for, or the one that suits the tier and the tightest limit of memory; a limit without bytes is not
// known. wordBits is 32 or 64.
func Choose(setting, tier string, limit machine.Limit, wordBits int) Profile {
	small := limit.Bytes > 0 && limit.Bytes <= smallBytes
	p := server()
	switch {
	case setting == Device:
		p, p.Why = device(), "as configured"
	case setting == Server:
		p.Why = "as configured"
	case tier == "device":
		p, p.Why = device(), "for tier device"
	case small:
		p, p.Why = device(), "for "+limit.String()
	case wordBits == 32:
		p, p.Why = device(), "for 32-bit words"
	default:
		p.Why = "for tier " + tier + " and " + limit.String()
	}
	if small {
		p.TableBytes = smallTableBytes
	}
	if p.Name == Device && limit.Bytes > 0 && limit.Bytes <= tightBytes {
		p.MemtableBytes = tightMemtableBytes
	}
	return p
}

func device() Profile {
	return Profile{
		Name: Device, Store: persist.ProfileDevice, ChunkBytes: 64 << 10, PeersLow: 8, PeersHigh: 16, MaxBacklog: 1 << 14, MaxStaged: 8 << 20,
		// Whoever takes more than its memory holds writes without end, and the store compacts in more than such a machine has.
		Eviction: "none", GCPercent: 50, FreeAfter: 5 * time.Second,
	}
}

func server() Profile {
	return Profile{
		Name: Server, Store: persist.ProfileServer, ChunkBytes: 256 << 10, PeersLow: 24, PeersHigh: 48, MaxBacklog: 128 << 10, MaxStaged: 64 << 20,
		Eviction: evict.Names()[0], GCPercent: 100,
	}
}

// A Row is one setting of a profile, as people read it.
type Row struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
}

// Rows lists what the profile sets.
func (p Profile) Rows() []Row {
	c := persist.Defaults(p.Store)
	if p.MemtableBytes > 0 {
		c.MemtableBytes = p.MemtableBytes
	}
	if p.JournalBytes > 0 {
		c.JournalBytes = p.JournalBytes
	}
	if p.TableBytes > 0 {
		c.TableBytes = p.TableBytes
	}
	rests, free := "no", "as the Go runtime does"
	if p.Store == persist.ProfileDevice {
		rests = "yes"
	}
	if p.FreeAfter > 0 {
		free = fmt.Sprintf("%v after ready", p.FreeAfter)
	}
	return []Row{
		{"store: memtable", size(c.MemtableBytes)},
		{"store: segment of the journal", size(c.JournalBytes)},
		{"store: table", size(c.TableBytes)},
		{"store: value log file", size(c.ValueLogFileBytes)},
		{"store: kept free on the disk", size(c.MinFreeBytes)},
		{"store: compactors rest when idle", rests},
		{"store: cells that wait for a commit", humanize.Comma(int64(p.MaxBacklog))},
		{"pools: chunk", size(int64(p.ChunkBytes))},
		{"memory: values leave it for the disk", p.Eviction},
		{"mesh: connections", fmt.Sprintf("%d to %d", p.PeersLow, p.PeersHigh)},
		{"mesh: held back of a causal pull", size(int64(p.MaxStaged))},
		{"runtime: GOGC", strconv.Itoa(p.GCPercent)},
		{"runtime: memory of the start is given back", free},
	}
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }

// Table has the rows of both profiles side by side: setting, device, server. A device with no more than tightBytes of memory has a
// memtable of tightMemtableBytes, a node with no more than smallBytes tables of smallTableBytes.
func Table() [][3]string {
	var rows [][3]string
	servers := server().Rows()
	for i, r := range device().Rows() {
		rows = append(rows, [3]string{r.Setting, r.Value, servers[i].Value})
	}
	rows[0][2] += fmt.Sprintf(", or 1/%d of a smaller budget", memtableShare)
	rows[1][2] += fmt.Sprintf(", or 1/%d of a smaller budget", journalShare)
	rows[0][1] += fmt.Sprintf(", or %s with no more than %s of memory", size(tightMemtableBytes), size(tightBytes))
	for i := 1; i <= 2; i++ {
		rows[2][i] += fmt.Sprintf(", or %s with no more than %s of memory", size(smallTableBytes), size(smallBytes))
	}
	return rows
}

// Both gives the rows of each profile by its name.
func Both() map[string][]Row {
	return map[string][]Row{Device: device().Rows(), Server: server().Rows()}
}

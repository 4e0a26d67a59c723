package daemon

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/doctor"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Doctor takes stock of the node and judges it. What is on disk was verified when the node started, and is read back by scrubs.
func (b backend) Doctor(ctx context.Context) (*doctor.Report, error) {
	regions, err := b.fabric.Usage(ctx)
	if err != nil {
		return nil, err
	}
	r := &doctor.Report{Running: true, DataDir: b.node().DataDir, Findings: []doctor.Finding{}, Regions: regions}
	disk := map[crdt.RegionID]*fabric.RegionUsage{}
	if err := b.store.Usage(nil, func(key []byte, bytes int64) { doctor.AddDisk(disk, key, bytes) }); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, u := range disk {
		r.Disk.LiveBytes += u.DiskBytes
	}
	for i := range r.Regions {
		u := &r.Regions[i]
		if x := disk[crdt.RegionIDOf(u.Name)]; x != nil {
			u.DiskBytes, u.DiskRecords = x.DiskBytes, x.DiskRecords
		}
	}
	if r.Memory, err = b.memoryOf(r.Regions); err != nil {
		return nil, err
	}
	if n := r.Memory.Node.Eviction.Lost; n > 0 {
		r.Problem(fmt.Sprintf("%d values are on disk alone, and cannot be read back", n), "edgemem scrub fetches them from a peer that has them; else write or remove their keys, which the log names")
	}
	if m := r.Memory.Node; m.Eviction.Exhausted && m.Level != "none" {
		r.Note("memory is short, and no more values can leave it: what is left is keys, causality and values of less than 64 bytes", "raise --memory, or remove entries")
	}
	d := b.disk()
	r.Disk.Disk, r.Disk.FreeBytes, r.Disk.Encrypted, r.Disk.GarbageBytes = d.Disk, d.FreeBytes, d.Encrypted, b.store.Garbage()
	r.Disk.Look(b.cfg.DataDir)
	b.complaints(r)
	r.Judge()
	return r, nil
}

// memoryOf tells what the process takes and what of it is what.
func (b backend) memoryOf(regions []fabric.RegionUsage) (*doctor.Memory, error) {
	node := b.fabric.Memory()
	m := &doctor.Memory{
		HeapBytes: int64(heapBytes()), BudgetBytes: node.Budget, MappedBytes: node.Mapped, Used: node.Used, Node: node, Pools: b.fabric.Pools(), Go: goMemory(),
	}
	for i := range regions {
		m.Regions.Add(regions[i].Memory)
	}
	var err error
	if m.Store, err = b.store.Memory(); err != nil {
		return nil, err
	}
	m.Resident = resident(b.cfg.DataDir)
	if x := m.Resident; x != nil {
		x.Explain(m.Pools.Mapped-m.Pools.Discarded, m.Go.ObjectsBytes+m.Go.FreeBytes, m.Go.StackBytes+m.Go.OtherBytes)
		m.ResidentBytes = x.TotalBytes
	} else {
		m.ResidentBytes = residentBytes()
	}
	if m.ResidentBytes > 0 {
		m.OtherBytes = max(0, m.ResidentBytes-m.Regions.Total())
	}
	return m, nil
}

// complaints are what the node knows of itself.
func (b backend) complaints(r *doctor.Report) {
	if d := b.disk(); d.Failed != "" {
		r.Problem("the store takes no more commits: "+d.Failed, "check the disk of the machine, and start the node again")
	}
	for _, a := range b.fabric.Alarms() {
		if a.Notice {
			r.Note(fmt.Sprintf("%s at %s: %s", a.Kind, nameOr(a), a.Detail), a.Do)
			continue
		}
		r.Problem(fmt.Sprintf("alarm %s at %s: %s", a.Kind, nameOr(a), a.Detail), a.Do)
	}
	var gaps []string
	for _, s := range b.fabric.Regions() {
		if s.Gaps {
			gaps = append(gaps, s.Name)
		}
	}
	if slices.Sort(gaps); len(gaps) > 0 {
		r.Note("writes are known to be missing in "+strings.Join(gaps, ", "), "they come with the next pull from whoever has them")
	}
}

func nameOr(a fabric.Alarm) string {
	if a.Name != "" {
		return a.Name
	}
	return string(a.Node)
}

// residentBytes is what the kernel counts for this process; 0 where it does not say.
func residentBytes() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

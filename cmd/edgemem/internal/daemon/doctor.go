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
	r := &doctor.Report{Running: true, DataDir: b.node().DataDir, Findings: []doctor.Finding{}, Regions: b.fabric.Usage()}
	disk := map[crdt.RegionID]*fabric.RegionUsage{}
	if err := b.store.Usage(func(key []byte, bytes int64) { doctor.AddDisk(disk, key, bytes) }); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, u := range disk {
		r.Disk.LiveBytes += u.DiskBytes
	}
	m := b.fabric.Memory()
	r.Memory = &doctor.Memory{ResidentBytes: residentBytes(), HeapBytes: int64(heapBytes()), BudgetBytes: m.Budget, MappedBytes: m.Mapped}
	for i := range r.Regions {
		u := &r.Regions[i]
		if x := disk[crdt.RegionIDOf(u.Name)]; x != nil {
			u.DiskBytes, u.DiskRecords = x.DiskBytes, x.DiskRecords
		}
		r.Memory.Regions.Add(u.Memory)
	}
	if m := r.Memory; m.ResidentBytes > 0 {
		m.OtherBytes = max(0, m.ResidentBytes-m.Regions.Total())
	}
	d := b.disk()
	r.Disk.Disk, r.Disk.FreeBytes, r.Disk.Encrypted, r.Disk.GarbageBytes = d.Disk, d.FreeBytes, d.Encrypted, b.store.Garbage()
	r.Disk.Look(b.cfg.DataDir)
	b.complaints(r)
	r.Judge()
	return r, nil
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

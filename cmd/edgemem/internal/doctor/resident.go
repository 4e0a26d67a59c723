package doctor

import (
	"bufio"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// Resident is what of a process is in memory, by the kernel's account of its mappings.
type Resident struct {
	TotalBytes       int64 `json:"total_bytes"`       // the kernel's RSS
	GoHeapBytes      int64 `json:"go_heap_bytes"`     // the Go heap: objects, free spans, and arenas of the store's memtables as far as they were touched
	GoOtherBytes     int64 `json:"go_other_bytes"`    // stacks and tables of the Go runtime, at most
	PoolBytes        int64 `json:"pool_bytes"`        // what regions lie in, at most
	StoreBytes       int64 `json:"store_bytes"`       // pages of the store's files: the kernel drops them when it needs memory
	ProgramBytes     int64 `json:"program_bytes"`     // the executable; likewise, but for what it wrote
	FileBytes        int64 `json:"other_file_bytes"`  // of other files
	UnexplainedBytes int64 `json:"unexplained_bytes"` // anonymous memory that is none of these
	anonymous        int64
}

// ReadMappings adds up /proc/PID/smaps. heapAddr is the address of any object in the Go heap, dataDir and program are paths as the kernel
// gives them. What it cannot read it leaves out.
func ReadMappings(smaps io.Reader, heapAddr uint64, dataDir, program string) (r Resident) {
	var add *int64
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if from, _, isRange := strings.Cut(name, "-"); isRange && !strings.HasSuffix(name, ":") {
			add = r.partOf(from, path(rest), heapAddr, dataDir, program)
			continue
		}
		if name != "Rss:" || add == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil || kib < 0 {
			continue
		}
		r.TotalBytes += kib << 10
		*add += kib << 10
	}
	return r
}

// path is what stands behind permissions, offset, device and inode.
func path(rest string) string {
	fields := strings.Fields(rest)
	if len(fields) < 5 {
		return ""
	}
	return strings.Join(fields[4:], " ")
}

// arenaBits is how far apart the Go heap and what mmap places by itself are at least, where addresses have 64 bits.
const arenaBits = 40

func (r *Resident) partOf(from, path string, heapAddr uint64, dataDir, program string) *int64 {
	addr, err := strconv.ParseUint(from, 16, 64)
	switch {
	case err != nil:
		return nil
	case path == program && path != "":
		return &r.ProgramBytes
	case strings.HasPrefix(path, dataDir+string(filepath.Separator)) && dataDir != "":
		return &r.StoreBytes
	case strings.HasPrefix(path, "/"):
		return &r.FileBytes
	case addr>>arenaBits == heapAddr>>arenaBits && heapAddr>>arenaBits > 0:
		return &r.GoHeapBytes
	}
	return &r.anonymous
}

// Explain splits anonymous memory: what the pools have mapped, the Go runtime's own, and what is left. The Go heap is taken for what the
// runtime says where addresses do not tell it apart.
func (r *Resident) Explain(pools, goHeap, goOther int64) {
	left := r.anonymous
	take := func(part *int64, most int64) {
		*part = max(0, min(most, left))
		left -= *part
	}
	take(&r.PoolBytes, pools)
	if r.GoHeapBytes == 0 {
		take(&r.GoHeapBytes, goHeap)
	}
	take(&r.GoOtherBytes, goOther)
	r.UnexplainedBytes = left
}

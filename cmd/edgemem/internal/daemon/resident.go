package daemon

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"runtime/metrics"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/doctor"
)

// goMemory reads the runtime's account of itself.
func goMemory() doctor.GoMemory {
	var m doctor.GoMemory
	parts := []struct {
		name string
		add  *int64
	}{
		{"/memory/classes/heap/objects:bytes", &m.ObjectsBytes},
		{"/memory/classes/heap/unused:bytes", &m.FreeBytes},
		{"/memory/classes/heap/free:bytes", &m.FreeBytes},
		{"/memory/classes/heap/released:bytes", &m.ReleasedBytes},
		{"/memory/classes/heap/stacks:bytes", &m.StackBytes},
		{"/memory/classes/os-stacks:bytes", &m.StackBytes},
		{"/memory/classes/metadata/mcache/free:bytes", &m.OtherBytes},
		{"/memory/classes/metadata/mcache/inuse:bytes", &m.OtherBytes},
		{"/memory/classes/metadata/mspan/free:bytes", &m.OtherBytes},
		{"/memory/classes/metadata/mspan/inuse:bytes", &m.OtherBytes},
		{"/memory/classes/metadata/other:bytes", &m.OtherBytes},
		{"/memory/classes/profiling/buckets:bytes", &m.OtherBytes},
		{"/memory/classes/other:bytes", &m.OtherBytes},
	}
	samples := make([]metrics.Sample, len(parts))
	for i, p := range parts {
		samples[i].Name = p.name
	}
	metrics.Read(samples)
	for i, p := range parts {
		if v := samples[i].Value; v.Kind() == metrics.KindUint64 {
			*p.add += int64(v.Uint64())
		}
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		m.LimitBytes = limit
	}
	return m
}

// resident reads the kernel's account of the mappings of this process; nil where it does not tell.
func resident(dataDir string) *doctor.Resident {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil
	}
	defer f.Close()
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		program = ""
	}
	object := make([]byte, 128<<10) // too large for the stack
	r := doctor.ReadMappings(f, uint64(reflect.ValueOf(object).Pointer()), dir, program)
	return &r
}

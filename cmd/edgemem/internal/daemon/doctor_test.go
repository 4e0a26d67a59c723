package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// TestDoctorsNumbersAddUp compares what the doctor says with the kernel's word: the parts of memory with RSS, those of the disk with the
// blocks of the directory, and regions' with the budget's account.
func TestDoctorsNumbersAddUp(t *testing.T) {
	dir := t.TempDir()
	cfg := configIn(dir)
	cfg.Memory = "256MiB"
	d := openIn(t, cfg)
	defer d.Close()
	r, err := d.fabric.CreateRegion(t.Context(), "r", fabric.RegionConfig{Ack: fabric.AckDisk})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		err := r.Update(t.Context(), func(tx *crdt.Tx) error {
			for j := range 500 {
				tx.Set(fmt.Sprint("key", i*500+j), []byte(strings.Repeat("v", 200)), false)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.store.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	rep, err := backend{d}.Doctor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := rep.Memory.Resident
	if x == nil {
		t.Skip("SKIPPED: the system does not tell what is resident")
	}
	if sum := x.GoHeapBytes + x.GoOtherBytes + x.PoolBytes + x.StoreBytes + x.ProgramBytes + x.FileBytes + x.UnexplainedBytes; sum != x.TotalBytes {
		t.Errorf("the parts of memory come to %d of %d", sum, x.TotalBytes)
	}
	if rss := residentBytes(); x.TotalBytes < rss*8/10 || x.TotalBytes > rss*12/10 {
		t.Errorf("the mappings come to %d, VmRSS is %d", x.TotalBytes, rss)
	}
	if x.GoHeapBytes < 1<<20 || x.ProgramBytes < 1<<20 || x.StoreBytes < 1<<20 || x.PoolBytes < 4<<20 {
		t.Errorf("some part is not seen: %+v", *x)
	}
	m := rep.Memory
	if held := m.Regions.Value + m.Regions.Index + m.Regions.Ghost; held > m.Used || m.Used > m.Regions.Total() {
		t.Errorf("the regions hold %+v, by the budget's account %d", m.Regions, m.Used)
	}
	if sum := m.Pools.Used + m.Pools.Slabs + m.Pools.Free; m.Pools.Used < m.Used || sum > m.Pools.Mapped || sum < m.Pools.Mapped*9/10 {
		t.Errorf("pools %+v for %d bytes", m.Pools, m.Used)
	}
	blocks := blocksOf(t, dir)
	k := rep.Disk
	if sum := k.Total() + k.IdentityByte + k.OtherBytes; sum != k.AllBytes || k.AllBytes < blocks*9/10 || k.AllBytes > blocks*11/10 {
		t.Errorf("the parts of the disk come to %d of %d; the directory has %d", sum, k.AllBytes, blocks)
	}
	for _, u := range rep.Regions {
		if u.Name != "r" {
			continue
		}
		if o := u.ByOrigin; len(o) != 1 || o[0].Live != 20_000 || o[0].Bytes != u.ValueBytes || u.DiskBytes < u.ValueBytes || u.DiskRecords < 20_000 {
			t.Errorf("usage %+v", u)
		}
	}
}

func blocksOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

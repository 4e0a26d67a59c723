package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

const smaps = `00400000-00500000 r-xp 00000000 00:21 7                          /usr/bin/edgemem
Size:               1024 kB
Rss:                 100 kB
Pss:                 100 kB
Anonymous:             8 kB
00600000-00700000 rw-p 00000000 00:21 7                          /usr/bin/edgemem
Rss:                  20 kB
22a65000000-22a73c00000 rw-p 00000000 00:00 0 
Rss:                3000 kB
7f413cdcc000-7f413d263000 rw-p 00000000 00:00 0 
Rss:                 700 kB
7f4147000000-7f414f000000 rw-s 00000000 00:21 9                  /data dir/a/store/badger/00001.mem
Rss:                  50 kB
7f4150000000-7f4160000000 r--s 00000000 00:21 11                 /data dir/another/file
Rss:                   4 kB
7ffc4c4c1000-7ffc4c4e2000 rw-p 00000000 00:00 0                          [stack]
Rss:                  16 kB
nonsense
Rss:                 lots kB
`

// TestMappings: every kilobyte goes to one part.
func TestMappings(t *testing.T) {
	t.Parallel()
	r := ReadMappings(strings.NewReader(smaps), 0x22a66000040, "/data dir/a", "/usr/bin/edgemem")
	r.Explain(400<<10, 1<<40, 200<<10)
	want := Resident{
		TotalBytes: 3890 << 10, GoHeapBytes: 3000 << 10, GoOtherBytes: 200 << 10, PoolBytes: 400 << 10, StoreBytes: 50 << 10,
		ProgramBytes: 120 << 10, FileBytes: 4 << 10, UnexplainedBytes: 116 << 10,
	}
	if r.anonymous = 0; r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	// Where addresses have 32 bits the runtime's word counts.
	r = ReadMappings(strings.NewReader(smaps), 0x3d263000, "/data dir/a", "/usr/bin/edgemem")
	r.Explain(400<<10, 3100<<10, 200<<10)
	if r.GoHeapBytes != 3100<<10 || r.UnexplainedBytes != 16<<10 {
		t.Errorf("%+v", r)
	}
}

// TestDiskIsAllOfTheDirectory: the parts come to what is there, sparse files by their blocks.
func TestDiskIsAllOfTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"p2p/peers/x", "p2p/peers.damaged/y", "damaged-1/z", "store/MARK"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 10_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "store/MARK"), 1<<30); err != nil {
		t.Fatal(err)
	}
	var d Disk
	d.Look(dir)
	if d.AllBytes < 40_000 || d.AllBytes > 1<<20 {
		t.Errorf("all of it takes %d bytes", d.AllBytes)
	}
	var aside int64
	for _, x := range d.Left {
		if strings.Contains(x.Path, "damaged-") {
			aside += x.Bytes
		}
	}
	if sum := d.IdentityByte + d.OtherBytes + aside; sum != d.AllBytes || len(d.Left) != 2 {
		t.Errorf("%+v: the parts are %d", d, sum)
	}
}

// TestJudgeSpeaks: each finding has its numbers and what to do, and a node that is well has none.
func TestJudgeSpeaks(t *testing.T) {
	t.Parallel()
	r := &Report{Memory: &Memory{}}
	r.Judge()
	if len(r.Findings) != 0 {
		t.Errorf("an empty node: %+v", r.Findings)
	}
	m := &Memory{BudgetBytes: 1 << 30, Go: GoMemory{FreeBytes: 100 << 20, ObjectsBytes: 50 << 20}, Resident: &Resident{TotalBytes: 400 << 20, UnexplainedBytes: 150 << 20}}
	m.Node.Used, m.Node.Budget, m.Node.Level = 1000<<20, 1<<30, "slow"
	m.Node.Lines = append(m.Node.Lines, lineOf("best-effort", 900<<20, 1000<<20))
	m.Pools.Mapped, m.Pools.Free = 2<<30, 1<<30
	u := usageOf("r", 100<<20, 60<<20, 60<<20)
	u.Ghosts, u.Entries = 10, 100
	r = &Report{Memory: m}
	r.Regions = append(r.Regions, u)
	r.Judge()
	all := ""
	for _, f := range r.Findings {
		if f.Do == "" {
			t.Errorf("%q does not say what to do", f.What)
		}
		all += f.What + "\n"
	}
	for _, want := range []string{
		"the regions hold 1000 MiB of a budget of 1.0 GiB", "writes to best-effort regions are refused: 1000 MiB are used or reserved of the 900 MiB",
		"the pools keep 1.0 GiB free of 2.0 GiB", "the Go heap keeps 100 MiB free beside 50 MiB", "150 MiB of 400 MiB resident are none",
		"region r holds 60 MiB in free slots of its 220 MiB", "the removes that region r remembers take 60 MiB of its 220 MiB",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no finding says %q:\n%s", want, all)
		}
	}
	if !r.Degraded {
		t.Error("the node is not degraded")
	}
}

func lineOf(priority fabric.Priority, limit, taken int64) fabric.LineStatus {
	return fabric.LineStatus{Priority: priority, Limit: limit, Taken: taken, Refuses: true}
}

func usageOf(name string, value, slack, ghost int64) fabric.RegionUsage {
	return fabric.RegionUsage{Name: name, Memory: crdt.Footprint{Value: value, Slack: slack, Ghost: ghost}}
}

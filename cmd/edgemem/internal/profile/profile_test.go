package profile_test

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/machine"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
)

const mib = 1 << 20

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting, tier string
		memory        int64 // MiB
		bits          int
		want, why     string
		memtable      int64 // MiB
	}{
		{"auto", "device", 8192, 64, "device", "for tier device", 0},
		{"auto", "device", 64, 64, "device", "for tier device", 2},
		{"", "device", 0, 64, "device", "for tier device", 0},
		{"auto", "edge", 512, 64, "device", "for 512 MiB by memory.max", 0},
		{"auto", "edge", 513, 64, "server", "for tier edge and 513 MiB by memory.max", 0},
		{"auto", "cloud", 0, 64, "server", "for tier cloud and no limit known", 0},
		{"auto", "edge", 2048, 32, "device", "for 32-bit words", 0},
		{"server", "device", 64, 64, "server", "as configured", 0},
		{"server", "edge", 2048, 32, "server", "as configured", 0},
		{"device", "cloud", 65536, 64, "device", "as configured", 0},
		{"device", "cloud", 256, 64, "device", "as configured", 2},
	} {
		p := profile.Choose(c.setting, c.tier, machine.Limit{Bytes: c.memory * mib, From: "memory.max"}, c.bits)
		if p.Name != c.want || p.Why != c.why || p.MemtableBytes != c.memtable*mib {
			t.Errorf("%s, tier %s, %d MiB, %d bits: %s %s, memtable of %d; want %s %s, %d MiB", c.setting, c.tier, c.memory, c.bits,
				p.Name, p.Why, p.MemtableBytes, c.want, c.why, c.memtable)
		}
	}
}

// TestTable: the table names for both profiles what nodes run with.
func TestTable(t *testing.T) {
	t.Parallel()
	rows := map[string][3]string{}
	for _, r := range profile.Table() {
		rows[r[0]] = r
	}
	for setting, want := range map[string][2]string{
		"store: memtable": {" MiB, or 2.0 MiB with no more than 256 MiB of memory", " MiB, or 1/32 of a smaller budget"}, "pools: chunk": {"64 KiB", "256 KiB"},
		"store: table":      {"2.0 MiB, or 512 KiB with no more than 512 MiB of memory", "2.0 MiB, or 512 KiB with no more than 512 MiB of memory"},
		"mesh: connections": {"8 to 16", "24 to 48"}, "runtime: GOGC": {"50", "100"}, "store: compactors rest when idle": {"yes", "no"},
	} {
		r, ok := rows[setting]
		if !ok || !strings.HasSuffix(r[1], want[0]) || !strings.HasSuffix(r[2], want[1]) {
			t.Errorf("%s: %q and %q, want %q and %q", setting, r[1], r[2], want[0], want[1])
		}
	}
	p := profile.Choose("server", "edge", machine.Limit{}, 64)
	for budget, want := range map[int64][2]int64{0: {0, 0}, 64 * mib: {4 * mib, 8 * mib}, 256 * mib: {8 * mib, 32 * mib}, 1 << 40: {16 * mib, 128 * mib}} {
		fitted := p
		if fitted.Fit(budget); fitted.MemtableBytes != want[0] || fitted.JournalBytes != want[1] {
			t.Errorf("budget %d: memtable %d, journal %d, want %v", budget, fitted.MemtableBytes, fitted.JournalBytes, want)
		}
	}
	tight := profile.Choose("device", "device", machine.Limit{Bytes: 64 * mib}, 64).Rows()
	if tight[0].Value != "2.0 MiB" {
		t.Errorf("with 64 MiB the memtable is %s", tight[0].Value)
	}
}

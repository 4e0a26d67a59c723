package persist_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// TestNarrowTables: the size of tables where words have 32 bits leaves room for the worst that can be in them.
func TestNarrowTables(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		memtable  int64
		cpus      int
		encrypted bool
		want      int64
	}{
		{1 << 20, 4, false, 1<<20 + 1}, {2 << 20, 4, false, 2<<20 + 1}, {8 << 20, 64, false, 8<<20 + 1},
		{2 << 20, 1, true, 2<<20 + 1}, {2 << 20, 4, true, 4<<20 + 1}, {2 << 20, 64, true, 64<<20 + 1},
	} {
		if got := persist.NarrowTableBytes(x.memtable, x.cpus, x.encrypted); got != x.want {
			t.Errorf("memtable of %d, %d CPUs, encrypted %v: tables of %d, want %d", x.memtable, x.cpus, x.encrypted, got, x.want)
		}
	}
}

// TestBadlyFilledBlocks writes what fills blocks of tables badly: entries of little more than half a block, and keys as long as they can be. Where
// words have 32 bits, tables that outgrew the first buffer of their builder were garbage.
func TestBadlyFilledBlocks(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"plain": nil, "encrypted": bytes.Repeat([]byte{7}, persist.KeyBytes)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := persist.Config{Dir: t.TempDir(), Key: key}
			want := map[string][]byte{}
			random := rand.New(rand.NewPCG(1, 2))
			for life := range 2 {
				s, err := persist.Open(config)
				check(t, err)
				for b := range 40 {
					var recs []crdt.Record
					for i := range 40 {
						rec := badlyFilling(random, life, b, i)
						recs = append(recs, rec)
						want[string(rec.Key)] = rec.Value
					}
					check(t, s.Commit(recs))
				}
				check(t, s.Close())
			}
			s, err := persist.Open(config)
			check(t, err)
			found := 0
			check(t, s.Load(func(key, value []byte) error {
				if v, ok := want[string(key)]; ok {
					found++
					if !bytes.Equal(v, value) {
						t.Errorf("%.40q came back with another value", key)
					}
				}
				return nil
			}))
			if found != len(want) {
				t.Errorf("%d of %d records came back", found, len(want))
			}
			check(t, s.Close())
		})
	}
}

func badlyFilling(random *rand.Rand, life, b, i int) crdt.Record {
	key := fmt.Appendf(nil, "%02d-%03d-%03d", life, b, i)
	value := make([]byte, 2030+random.IntN(200))
	switch i % 10 {
	case 3: // the longest entry of a table
		key, value = append(key, make([]byte, 32<<10-len(key)-64)...), value[:2000]
	case 7: // little more than half a large block
		key = append(key, make([]byte, 18<<10)...)
	}
	for j := range value {
		value[j] = byte(random.Uint32())
	}
	return crdt.Record{Key: key, Value: value}
}

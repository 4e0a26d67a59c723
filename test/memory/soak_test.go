//go:build linux

package memory

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

var (
	soakFor    = flag.Duration("soak", 0, "how long TestSoak runs once the region is written; 0: a few seconds of a small one")
	soakBudget = flag.Int("budget", 256, "with -soak: MiB that the node may take")
)

func TestMain(m *testing.M) { flag.Parse(); os.Exit(harness.Main(m)) }

const (
	soakParts = 4    // of what regions may hold that the region takes
	valueLen  = 1000 // bytes of its values, about
	beyond    = 20   // MiB that the process may take beyond the budget
)

// soak is a node that holds four times its budget, a peer that has memory enough, and what was written to them.
type soak struct {
	t        *testing.T
	node     *harness.Node
	peer     *harness.Node
	keys     int
	budget   int            // MiB, of the node; without -soak of its regions
	limit    int            // MiB, of resident memory; 0: a budget of regions does not say
	versions []atomic.Int32 // of each key, as acknowledged by the one who writes it
	maybe    sync.Map       // keys whose last write was not answered, and its version
	stop     chan struct{}
	wg       sync.WaitGroup

	writes, merged, scanned, hot, most atomic.Int64
}

// TestSoak writes, merges, scans and reads a region of four times what the node's regions may hold. All along the process stays within the budget and a little,
// and at the end every value is what was written last.
//
//	go test ./test/memory -run Soak -soak 10m -timeout 1h -v
func TestSoak(t *testing.T) {
	s := &soak{t: t, stop: make(chan struct{}), budget: 24}
	span, of := 5*time.Second, "--region-memory"
	if *soakFor > 0 {
		span, of, s.budget, s.limit = *soakFor, "--memory", *soakBudget, *soakBudget+beyond
	} else if testing.Short() {
		t.Skip("SKIPPED in short mode: it builds and runs two daemons")
	}
	s.node = harness.Start(t, harness.Options{Name: "small", Tier: "device", Args: []string{of, fmt.Sprintf("%dMiB", s.budget), "--eviction", "s3fifo", "--scrub-every", "0"}})
	regions := s.field("maxmemory")
	s.keys = soakParts * regions / valueLen
	s.versions = make([]atomic.Int32, s.keys)
	s.peer = harness.Start(t, harness.Options{Name: "large", Tier: "edge", Join: s.node.Ticket(), Args: []string{"--memory", "0", "--scrub-every", "0"}})
	s.run(s.watch)
	began := time.Now()
	s.fill()
	t.Logf("%d values of %d bytes written in %v, %d times the %d MiB that regions may hold; resident at most %d MiB", s.keys, valueLen, time.Since(began).Round(time.Second),
		soakParts, regions>>20, s.most.Swap(0)>>20)
	s.run(func() { s.write(s.node, &s.writes, 1, 2, 3) })
	s.run(func() { s.write(s.peer, &s.merged, 0) })
	s.run(s.scan)
	s.run(s.readHot)
	for left := span; left > 0; left -= time.Minute {
		time.Sleep(min(left, time.Minute))
		t.Logf("%d writes, %d merged, %d scanned, %d hot reads; resident at most %d MiB; %s", s.writes.Load(), s.merged.Load(), s.scanned.Load(), s.hot.Load(),
			s.most.Load()>>20, s.info())
	}
	close(s.stop)
	s.wg.Wait()
	s.verify()
	if held := s.field("mem_region_bytes"); held > regions {
		t.Errorf("regions hold %d bytes of a budget of %d", held, regions)
	}
	if most := s.most.Load() >> 20; s.limit > 0 && most > int64(s.limit) {
		t.Errorf("resident at most %d MiB, of a budget of %d and %d", most, s.budget, s.limit-s.budget)
	}
}

func (s *soak) run(fn func()) { s.wg.Go(fn) }

func (s *soak) over() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *soak) info() string {
	var parts []string
	text, _ := s.node.Do("INFO", "memory").(string)
	for line := range strings.SplitSeq(text, "\r\n") {
		for _, name := range []string{"mem_region_bytes", "mem_pool_bytes", "mem_go_heap_bytes", "mem_values_on_disk", "value_faults", "value_hit_ratio"} {
			if strings.HasPrefix(line, name+":") {
				parts = append(parts, line)
			}
		}
	}
	return strings.Join(parts, " ")
}

// field is a number of INFO memory.
func (s *soak) field(name string) (n int) {
	text, _ := s.node.Do("INFO", "memory").(string)
	_, rest, _ := strings.Cut("\r\n"+text, "\r\n"+name+":")
	if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
		s.t.Fatalf("INFO memory has no %s: %v", name, err)
	}
	return n
}

// watch notes the most that was resident.
func (s *soak) watch() {
	for !s.over() {
		if n := resident(s.node.PID()); n > s.most.Load() {
			s.most.Store(n)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func resident(pid int) (n int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n << 10
}

func (s *soak) key(i int) string { return fmt.Sprintf("key:%012d", i) }

// value is what version v of a key holds: its length and every part of it tell which it is.
func (s *soak) value(i, v int) string {
	rng := rand.New(rand.NewPCG(uint64(i), uint64(v)))
	b := make([]byte, valueLen-100+rng.IntN(200))
	for k := range b {
		b[k] = byte(rng.Uint32())
	}
	return string(b)
}

// batch is how many commands are under way at once.
const batch = 64

// fill writes every key once, each at the one who writes it.
func (s *soak) fill() {
	var wg sync.WaitGroup
	for part := range 4 {
		at := s.node
		if part == 0 {
			at = s.peer
		}
		wg.Go(func() {
			c := at.Dial()
			for i := part; i < s.keys; i += 4 * batch {
				var cmds [][]string
				for k := i; k < s.keys && len(cmds) < batch; k += 4 {
					cmds = append(cmds, []string{"SET", s.key(k), s.value(k, 0)})
				}
				s.ok(c.Pipeline(cmds))
			}
		})
	}
	wg.Wait()
}

func (s *soak) ok(replies []any, err error) {
	if err != nil {
		s.t.Error(err)
		return
	}
	for _, r := range replies {
		if err, bad := r.(error); bad {
			s.t.Error(err)
			return
		}
	}
}

// write overwrites keys of some parts, popular ones more often.
func (s *soak) write(at *harness.Node, count *atomic.Int64, parts ...int) {
	c, rng := at.Dial(), rand.New(rand.NewPCG(uint64(parts[0]), 1))
	for !s.over() {
		var cmds [][]string
		picked := map[int]int32{}
		for len(cmds) < batch {
			i := rng.IntN(s.keys/4)*4 + parts[rng.IntN(len(parts))]
			if i >= s.keys || picked[i] > 0 {
				continue
			}
			picked[i] = s.versions[i].Load() + 1
			cmds = append(cmds, []string{"SET", s.key(i), s.value(i, int(picked[i]))})
		}
		replies, err := c.Pipeline(cmds)
		if err != nil { // no word: each of them is written, or not
			s.t.Logf("%s does not answer, and is asked again: %v", at.Name, err)
			for i, v := range picked {
				s.maybe.Store(i, v)
				s.versions[i].Store(v)
			}
			c = at.Dial()
			continue
		}
		s.ok(replies, nil)
		for i, v := range picked {
			s.versions[i].Store(v)
			s.maybe.Delete(i)
		}
		count.Add(int64(len(cmds)))
		time.Sleep(20 * time.Millisecond)
	}
}

// scan goes through the whole region and reads what it finds.
func (s *soak) scan() {
	c, cursor := s.node.Dial(), "0"
	for !s.over() {
		reply, err := c.Do("SCAN", cursor, "COUNT", "100")
		page, ok := reply.([]any)
		if err != nil || !ok || len(page) != 2 {
			s.t.Errorf("SCAN %s: %v", cursor, err)
			return
		}
		cursor, _ = page[0].(string)
		cmd := []string{"MGET"}
		for _, k := range page[1].([]any) {
			cmd = append(cmd, k.(string))
		}
		if len(cmd) == 1 {
			continue
		}
		reply, err = c.Do(cmd...)
		values, ok := reply.([]any)
		if err != nil || !ok || len(values) != len(cmd)-1 {
			s.t.Errorf("MGET of %d keys: %d values, %v", len(cmd)-1, len(values), err)
			return
		}
		for i, v := range values {
			if v == nil {
				s.t.Errorf("%s has no value", cmd[i+1])
			}
		}
		s.scanned.Add(int64(len(values)))
		time.Sleep(5 * time.Millisecond)
	}
}

// readHot reads a tenth of the region again and again.
func (s *soak) readHot() {
	c, rng := s.node.Dial(), rand.New(rand.NewPCG(9, 9))
	for !s.over() {
		var cmds [][]string
		for range batch {
			cmds = append(cmds, []string{"GET", s.key(rng.IntN(s.keys/10) * 10)})
		}
		replies, err := c.Pipeline(cmds)
		if s.ok(replies, err); err != nil {
			return
		}
		s.hot.Add(batch)
		time.Sleep(5 * time.Millisecond)
	}
}

// verify reads everything, once the two are equal.
func (s *soak) verify() {
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		a, b := s.node.MustRegion("default"), s.peer.MustRegion("default")
		if a.Digest == b.Digest && a.Entries == b.Entries && a.Entries == s.keys {
			break
		}
		if time.Since(start) > 2*time.Minute {
			s.t.Fatalf("%d entries of %d, the peer has %d; digests %s and %s", a.Entries, s.keys, b.Entries, a.Digest, b.Digest)
		}
	}
	c := s.node.Dial()
	for i := 0; i < s.keys; i += batch {
		var cmds [][]string
		for k := i; k < min(i+batch, s.keys); k++ {
			cmds = append(cmds, []string{"GET", s.key(k)})
		}
		replies, err := c.Pipeline(cmds)
		if err != nil {
			s.t.Fatal(err)
		}
		for k, got := range replies {
			version := int(s.versions[i+k].Load())
			if _, maybe := s.maybe.Load(i + k); maybe && got == s.value(i+k, version-1) {
				continue
			}
			if want := s.value(i+k, version); got != want {
				s.t.Fatalf("%s is not version %d: %.40q", s.key(i+k), s.versions[i+k].Load(), fmt.Sprint(got))
			}
		}
		if n := resident(s.node.PID()); n > s.most.Load() {
			s.most.Store(n)
		}
	}
	s.t.Logf("all %d values are right; resident at most %d MiB; %s", s.keys, s.most.Load()>>20, s.info())
}

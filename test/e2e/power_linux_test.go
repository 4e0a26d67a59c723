package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/disk"
)

var cuts = flag.Int("cuts", 6, "rounds of power cuts and kill -9 in each TestPower")

// longMax makes values that go to the value log, and batches that do not fit in one transaction of a device.
const longMax = 48 << 10

// powered is a node whose data directory is on a disk that loses power.
type powered struct {
	*harness.Node
	t    *testing.T
	rnd  *rand.Rand
	disk *disk.Disk
	dir  string
	sum  disk.Report

	rotten int           // starts that were refused
	tidied chan struct{} // closed when the checkpoint under way has ended; nil: none is
}

// startPowered starts a node on such a disk, or skips.
func startPowered(t *testing.T, rnd *rand.Rand, d disk.Options, o harness.Options) *powered {
	t.Helper()
	o.Dir = filepath.Join(harness.ShortDir(t), "node")
	must(t, os.Mkdir(o.Dir, 0o700))
	p := &powered{t: t, rnd: rnd, disk: disk.New(d), dir: o.Dir}
	if err := p.disk.Mount(o.Dir); errors.Is(err, disk.ErrNoFUSE) {
		t.Skipf("SKIPPED: a node whose power is cut is NOT tested here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.disk.Abandon)
	p.Node = harness.NewNode(t, o)
	p.Start()
	return p
}

// fall kills the daemon; mostly the power of its disk is cut in the same instant.
func (p *powered) fall() (what string) {
	p.t.Helper()
	if p.rnd.IntN(5) == 0 {
		p.Kill()
		p.waitTidied()
		return "kill -9"
	}
	return p.cut()
}

func (p *powered) cut() (what string) {
	p.t.Helper()
	p.off()
	r := p.disk.Cut(p.rnd)
	p.sum.Add(r)
	must(p.t, p.disk.Mount(p.dir))
	return "power cut: " + r.String()
}

// off leaves the disk without a mount.
func (p *powered) off() {
	p.t.Helper()
	p.disk.Hold()
	if p.Running() {
		must(p.t, syscall.Kill(p.PID(), syscall.SIGKILL))
	}
	p.disk.Release()
	p.Kill()
	p.waitTidied()
	must(p.t, p.disk.Unmount())
}

// live lets the daemon live for a while after it has acknowledged something. In some lives its disk is tidied meanwhile.
func (p *powered) live(ledger *harness.Ledger, before uint64) {
	p.t.Helper()
	reach(p.t, ledger, before+1)
	life := time.Duration(p.rnd.Int64N(int64(lifeMax)))
	if p.rnd.IntN(4) == 0 {
		p.tidied = make(chan struct{})
		go func() {
			defer close(p.tidied)
			harness.Edgemem(p.t, "checkpoint", "--data-dir", p.Dir) // it may not survive it
		}()
		p.t.Cleanup(p.waitTidied)
		life += lifeMax / 2
	}
	<-time.After(life) // the moment is the point
}

// waitTidied waits for a checkpoint: when its daemon is dead it opens the store itself.
func (p *powered) waitTidied() {
	if p.tidied != nil {
		<-p.tidied
	}
}

// TestPower cuts the power of a node that is alone, over and over, while clients write, and now and then while it starts. What it acknowledged
// must come from its own disk, after every cut.
func TestPower(t *testing.T) {
	t.Parallel()
	rnd, s := pickSeed(t)
	p := startPowered(t, rnd, disk.Options{}, harness.Options{})
	p.CLI("region", "create", safe, "--ack", "disk")
	ledger, lives := harness.NewLedger(), newLives()
	for round := range *cuts {
		lives.born(t, p.Node)
		before := ledger.Acknowledged()
		stop := startLongWriters(t, ledger, safe, s+uint64(round), connections, longMax, p.Node)
		p.live(ledger, before)
		what := p.fall()
		stop()
		for rnd.IntN(4) == 0 { // power that comes and goes
			p.Launch()
			<-time.After(time.Duration(rnd.Int64N(int64(lifeMax))))
			what += "; while it started: " + p.fall()
		}
		t.Logf("round %d, %d acknowledged: %s", round, ledger.Acknowledged()-before, what)
		p.Start()
		mustHold(t, ledger, safe, p.Node)
		if rnd.IntN(2) == 0 {
			t.Logf("round %d, rot: %s", round, p.rot(ledger))
			p.Start()
		}
	}
	lives.born(t, p.Node)
	for _, a := range p.MustStatus().Alarms {
		t.Errorf("alarm: %+v", a)
	}
	t.Logf("%d rounds, %d syncs, %d acknowledged writes, none lost: %v; rot refused %d times; %v", *cuts, p.disk.Syncs(), ledger.Acknowledged(), p.sum, p.rotten, ledger)
	if *cuts >= 6 && p.sum.Lost == 0 {
		t.Error("no cut took anything: nothing was tested")
	}
}

// TestPowerYoung cuts the power of nodes that have just been made, on a disk where a file's name is not safe until its folder is: who the node is
// and what it acknowledged stay.
func TestPowerYoung(t *testing.T) {
	t.Parallel()
	rnd, s := pickSeed(t)
	for round := range min(*cuts, 3) {
		p := startPowered(t, rnd, disk.Options{Strict: true}, harness.Options{})
		born := p.Started().Node.ID
		p.CLI("region", "create", safe, "--ack", "disk")
		ledger := harness.NewLedger()
		stop := startWriters(t, ledger, safe, s+uint64(round), 1, p.Node)
		reach(t, ledger, 1)
		t.Log(p.cut())
		stop()
		p.Start()
		mustHold(t, ledger, safe, p.Node)
		if id := p.Started().Node.ID; id != born {
			t.Errorf("the node was %s and is %s", born, id)
		}
		p.off()
	}
}

// TestPowerOfALiar cuts the power of a disk that says that it synced and did not: what the other tests look for is found. A store that lost
// what it acknowledged refuses to open, or the ledger misses it.
func TestPowerOfALiar(t *testing.T) {
	t.Parallel()
	rnd, s := pickSeed(t)
	for round := range 10 {
		p := startPowered(t, rnd, disk.Options{Lie: true}, harness.Options{})
		p.CLI("region", "create", safe, "--ack", "disk")
		ledger := harness.NewLedger()
		stop := startWriters(t, ledger, safe, s+uint64(round), 1, p.Node)
		reach(t, ledger, 100)
		what := p.cut()
		stop()
		if err := p.TryStart(); err != nil {
			t.Logf("%s: %v", what, err)
			return
		}
		c := p.Dial()
		c.Do("SELECT", safe)
		wrong, err := ledger.Check(c)
		c.Close()
		if err != nil || len(wrong) > 0 {
			t.Logf("%s: %d things are wrong, %v", what, len(wrong), err)
			return
		}
		p.off()
	}
	t.Error("ten cuts of a disk that lies lost nothing that was noticed")
}

// TestPowerMesh cuts the power of a node whose peer goes on: the peer has seen writes that the node has lost. No dot is given twice, or the
// two would hold something else under it for ever.
func TestPowerMesh(t *testing.T) {
	t.Parallel()
	rnd, s := pickSeed(t)
	witness := harness.NewNode(t, harness.Options{Name: "cloud", Tier: "cloud", Listen: harness.OwnAddress()})
	witness.Start()
	p := startPowered(t, rnd, disk.Options{}, harness.Options{Name: "device", Join: witness.Ticket()})
	harness.Connected(t, harness.Patience, 1, p.Node, witness)
	for _, region := range []string{safe, "quick"} {
		ack := map[string]string{safe: "disk", "quick": "memory"}[region]
		witness.CLI("region", "create", region, "--ack", ack)
	}
	nodes := []*harness.Node{p.Node, witness}
	waitForRegion(t, safe, nodes)
	ledger, lives := harness.NewLedger(), newLives()
	lives.born(t, witness)
	stop := startLongWriters(t, ledger, safe, s, connections, longMax, nodes...)
	quick := startWriters(t, harness.NewLedger(), "quick", s, 1, p.Node) // what it loses, the witness may have
	for range *cuts {
		lives.born(t, p.Node)
		before := ledger.Acknowledged()
		p.live(ledger, before)
		lives.look(t, nodes)
		t.Log(p.fall())
		p.Start()
	}
	lives.born(t, p.Node)
	stop()
	quick()
	harness.Converge(t, harness.Patience, safe, nodes...)
	harness.Converge(t, harness.Patience, "quick", nodes...)
	lives.look(t, nodes)
	mustHold(t, ledger, safe, nodes...)
	for _, n := range nodes {
		for _, a := range n.MustStatus().Alarms {
			t.Errorf("%s: alarm %+v", n.Name, a)
		}
	}
	t.Logf("%d rounds, %d acknowledged writes: %v", *cuts, ledger.Acknowledged(), p.sum)
}

// rot flips one bit that is safe, in a copy of the disk, and starts the node there. It has all that it acknowledged, or says which file is
// damaged, and what is left; it never starts with less.
func (p *powered) rot(ledger *harness.Ledger) (what string) {
	p.t.Helper()
	p.off()
	whole := p.disk
	defer func() {
		p.off()
		p.disk = whole
		must(p.t, p.disk.Mount(p.dir))
	}()
	p.disk = whole.Clone()
	name := p.pickFile()
	at, bit, err := p.disk.Flip(name, p.rnd)
	must(p.t, err)
	must(p.t, p.disk.Mount(p.dir))
	what = fmt.Sprintf("%s, bit %d of byte %d flipped", name, bit, at)
	said := len(p.AllLog())
	if err := p.TryStart(); err == nil {
		mustHold(p.t, ledger, safe, p.Node)
		return what + ", and nothing was missing"
	}
	complaint := harness.Complaint(p.t, harness.Result{Stderr: p.AllLog()[said:]})
	if !strings.Contains(complaint, "damaged") || !strings.Contains(complaint, filepath.Base(name)) {
		p.t.Errorf("%s: the daemon does not say that it is damaged: %s", what, complaint)
	}
	if strings.HasPrefix(name, "store/") {
		r := harness.Edgemem(p.t, "doctor", "--repair", "--data-dir", p.dir)
		if r.Code != 6 || !strings.Contains(r.Stdout, "region "+safe) {
			p.t.Errorf("%s: doctor --repair, exit code %d, does not tell what is left of region %s:\n%s%s", what, r.Code, safe, r.Stdout, r.Stderr)
		}
	}
	p.rotten++
	return what + ", refused: " + complaint
}

// pickFile picks a kind of file first, so that a few large ones do not take all.
func (p *powered) pickFile() string {
	kinds := map[string][]string{}
	for name := range p.disk.Files() {
		kind := cmp.Or(filepath.Ext(name), name)
		kinds[kind] = append(kinds[kind], name)
	}
	of := kinds[slices.Sorted(maps.Keys(kinds))[p.rnd.IntN(len(kinds))]]
	slices.Sort(of)
	return of[p.rnd.IntN(len(of))]
}

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/doctor"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Verify the node, explain its bytes, and say what to do",
		Long: `Verify the node, explain its bytes on disk and in memory by region, by who wrote them, by
removes that are remembered, by free slots and by causal metadata, and say what to do.
RESIDENT is the kernel's count of the process, part by part; the rest is the node's own.
'region show' explains one region further.

Of a stopped node every byte that the store relies on is read and checked, as a start
does, and nothing is changed. A node that runs was checked when it started; 'edgemem
scrub' reads its disk back.

--repair is for a stopped node whose store is damaged. It says what it would keep and
drop, and goes on after a yes: at the terminal, or by --yes. A new store is made of all
regions that are whole; behind a gap in the logs nothing is taken, so it shows one
instant. Regions that lost records are dropped: they come back from nodes that hold
them, and as they are would make those take what is missing for removed. --keep-torn
keeps them, which is right only where no other node has them. The damaged files, and
a backup of every record that is readable, stay aside in damaged-TIME.

Exits with 0 if all is well, 6 if something is not, and 1 if it could not look.`,
		Example: `  edgemem doctor
  edgemem doctor -o json | jq -r '.findings[] | select(.problem) | .what'
  edgemem doctor --repair --data-dir /var/lib/edgemem`,
		Args: args(0, 0, ""),
	}
	addStore(cmd)
	o := outputFlag(cmd)
	var r repairing
	cmd.Flags().BoolVar(&r.wanted, "repair", false, "make a new store of what is whole in a damaged one")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "with --repair: do not ask")
	cmd.Flags().BoolVar(&r.keepTorn, "keep-torn", false, "with --repair: keep regions that lost records")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settingsOf(cmd)
		if err != nil {
			return err
		}
		if !r.wanted && (r.yes || r.keepTorn) {
			return usagef("--yes and --keep-torn have a meaning with --repair only")
		}
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		if r.wanted {
			return r.run(ctx, cmd, c, o)
		}
		rep, err := examine(ctx, c)
		if err != nil {
			return err
		}
		return printDoctor(cmd.OutOrStdout(), o, rep)
	}
	return cmd
}

// examine asks the daemon or, if there is none, looks at the directory.
func examine(ctx context.Context, c config.Config) (*doctor.Report, error) {
	client := control.NewClient(c.DataDir)
	defer client.Close()
	rep, err := client.Doctor(ctx)
	if !errors.Is(err, control.ErrUnreachable) || !datadir.HasStore(c.DataDir) {
		return rep, err
	}
	key, err := c.Key()
	if err != nil {
		return nil, err
	}
	rep, err = doctor.Stopped(c.DataDir, key)
	return rep, explainStore(c.DataDir, err)
}

func printDoctor(w io.Writer, o *output, rep *doctor.Report) error {
	var err error
	if o.structured() {
		err = o.print(w, rep)
	} else {
		err = printDoctorText(w, rep)
	}
	if err == nil && rep.Degraded {
		err = fmt.Errorf("%w: see the findings", errDegraded)
	}
	return err
}

func printDoctorText(w io.Writer, rep *doctor.Report) error {
	for _, f := range rep.Findings {
		word := "note"
		if f.Problem {
			word = "PROBLEM"
		}
		fmt.Fprintf(w, "%s: %s\n", word, f.What)
		if f.Do != "" {
			fmt.Fprintf(w, "  %s\n", f.Do)
		}
	}
	if len(rep.Findings) == 0 {
		fmt.Fprintln(w, "all is well")
	}
	fmt.Fprintln(w)
	if err := printDoctorDisk(w, rep); err != nil {
		return err
	}
	if m := rep.Memory; m != nil {
		if err := printDoctorMemory(w, m); err != nil {
			return err
		}
	}
	return printDoctorRegions(w, rep.Regions)
}

func printDoctorDisk(w io.Writer, rep *doctor.Report) error {
	d := rep.Disk
	t := newTable(w)
	t.row("ON DISK", "")
	t.row("tables", formatBytes(d.Tables))
	t.row("journal", formatBytes(d.Journal))
	t.row("write-ahead logs", formatBytes(d.Logs))
	t.row("value logs", fmt.Sprintf("%s, of which %s known garbage", formatBytes(d.ValueLogs), formatBytes(d.GarbageBytes)))
	t.row("of it live", formatBytes(d.LiveBytes)+", the newest version of each record")
	t.row("identity and peers", formatBytes(d.IdentityByte))
	t.row("lists, locks, marks", formatBytes(d.OtherBytes))
	t.row("all", formatBytes(d.AllBytes)+", as du counts")
	t.row("free", formatBytes(d.FreeBytes))
	t.row("encrypted", map[bool]string{true: "yes", false: "no"}[d.Encrypted])
	if x := rep.Store; x != nil {
		t.row("commits", fmt.Sprintf("%s readable, %s acknowledged", formatCount(int(x.Commit)), formatCount(int(x.Acknowledged))))
		t.row("not in tables yet", formatCount(int(x.Undrained))+" commits, in the journal")
		t.row("files", fmt.Sprintf("%d tables, %d logs, %d value logs", x.Tables, x.Logs, x.ValueLogs))
	}
	return t.Flush()
}

func printDoctorMemory(w io.Writer, m *doctor.Memory) error {
	if err := printRegionMemory(w, m); err != nil {
		return err
	}
	g := m.Go
	t := newTable(w)
	t.row("\nRESIDENT", formatBytes(m.ResidentBytes))
	if x := m.Resident; x != nil {
		t.row("pools", formatBytes(x.PoolBytes)+", what regions lie in, at most")
		t.row("Go heap", formatBytes(x.GoHeapBytes)+", of it touched")
		t.row("Go stacks, tables", formatBytes(x.GoOtherBytes)+", at most")
		t.row("store files", formatBytes(x.StoreBytes)+": the kernel drops these pages when it needs memory")
		t.row("program", formatBytes(x.ProgramBytes)+": likewise")
		t.row("other files", formatBytes(x.FileBytes))
		t.row("unexplained", formatBytes(x.UnexplainedBytes))
	}
	limit := "no limit"
	if g.LimitBytes > 0 {
		limit = "limit " + formatBytes(g.LimitBytes)
	}
	t.row("\nGO HEAP", formatBytes(g.ObjectsBytes+g.FreeBytes)+", "+limit)
	t.row("objects", formatBytes(g.ObjectsBytes)+", with what is not swept yet")
	t.row("  store's memtables", fmt.Sprintf("%s in %d, touched as far as they are written", formatBytes(m.Store.ArenaBytes), m.Store.Memtables))
	if c := m.Store.CacheBytes; c > 0 {
		t.row("  store's caches", formatBytes(c)+" at most: the store is encrypted")
	}
	t.row("free", formatBytes(g.FreeBytes)+", kept for what comes next")
	t.row("given back", formatBytes(g.ReleasedBytes))
	t.row("\nSTORE FILES", fmt.Sprintf("%d memtables, %d tables, %d value logs map %s of addresses", m.Store.Memtables, m.Store.Tables, m.Store.ValueLogs, formatBytes(m.Store.MappedBytes)))
	return t.Flush()
}

// printRegionMemory tells what regions hold, as the budget counts it, and where it lies.
func printRegionMemory(w io.Writer, m *doctor.Memory) error {
	f, p := m.Regions, m.Pools
	t := newTable(w)
	t.row("\nREGIONS, IN MEMORY", formatBytes(f.Total()))
	t.row("entries", formatBytes(f.Value))
	t.row("indexes", formatBytes(f.Index))
	t.row("causal metadata", formatBytes(f.Causal))
	t.row("remembered removes", formatBytes(f.Ghost))
	t.row("buffers", formatBytes(f.Buffer))
	t.row("free slots", formatBytes(f.Slack))
	if e := m.Node.Eviction; e.Away > 0 || e.Evicted > 0 {
		t.row("on disk alone", fmt.Sprintf("%s values, %s; %s left memory (%s), %s were read back, of which %s stayed", formatCount(e.Away), formatBytes(e.AwayBytes),
			formatCount(int(e.Evicted)), e.Policy, formatCount(int(e.Faults)), formatCount(int(e.Returned))))
	}
	if e := m.Node.Eviction; e.Packed > 0 {
		t.row("packed", fmt.Sprintf("%s values, %s, take %s", formatCount(e.Packed), formatBytes(e.PackedBytes), formatBytes(e.PackedSize)))
	}
	if m.BudgetBytes > 0 {
		t.row("budget", fmt.Sprintf("%s of %s used, %s reserved for single regions and unused", formatBytes(m.Used), formatBytes(m.BudgetBytes), formatBytes(m.Node.Unused)))
	} else {
		t.row("budget", "none; "+formatBytes(m.Used)+" would count")
	}
	t.row("pools", fmt.Sprintf("%s mapped: %s used (%s of it rounding), %s free in slabs, %s free in chunks, of which %s given back",
		formatBytes(p.Mapped), formatBytes(p.Used), formatBytes(p.Rounding), formatBytes(p.Slabs), formatBytes(p.Free), formatBytes(p.Discarded)))
	return t.Flush()
}

func printDoctorRegions(w io.Writer, regions []fabric.RegionUsage) error {
	t := newTable(w)
	t.row("\nREGION", "ENTRIES", "KEYS+VALUES", "NOT IN MEMORY", "IN MEMORY", "FREE SLOTS", "REMOVES", "THEY TAKE", "WRITERS", "ON DISK", "MOST IS WRITTEN BY")
	for _, u := range regions {
		t.row(u.Name, formatCount(u.Entries), formatBytes(u.ValueBytes), formatBytes(u.AwayBytes), formatBytes(u.Memory.Total()), formatBytes(u.Memory.Slack),
			formatCount(u.Ghosts), formatBytes(u.Memory.Ghost), formatCount(u.Origins), formatBytes(u.DiskBytes), mostly(u))
	}
	return t.Flush()
}

// mostly names who wrote most of a region.
func mostly(u fabric.RegionUsage) string {
	if len(u.ByOrigin) == 0 {
		return "–"
	}
	o := u.ByOrigin[0]
	who := short(o.Origin.String(), 12)
	if o.Node != "" {
		who = short(string(o.Node), 16)
	}
	return fmt.Sprintf("%s, %s values, %s", who, formatCount(o.Live), formatBytes(o.Bytes))
}

// repairing is doctor --repair.
type repairing struct{ wanted, yes, keepTorn bool }

func (r repairing) run(ctx context.Context, cmd *cobra.Command, c config.Config, o *output) error {
	if !datadir.HasStore(c.DataDir) {
		return fmt.Errorf("--data-dir %s: %w: there is no store", c.DataDir, control.ErrNotFound)
	}
	key, err := c.Key()
	if err != nil {
		return err
	}
	plan, err := doctor.PlanRepair(c.DataDir, key)
	if errors.Is(err, doctor.ErrSound) {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), err)
		return err
	}
	if errors.Is(err, persist.ErrLocked) {
		return fmt.Errorf("%w; a node that runs repairs itself with 'edgemem scrub'", explainStore(c.DataDir, err))
	}
	if err != nil {
		return explainStore(c.DataDir, err)
	}
	out := cmd.OutOrStdout()
	if o.structured() {
		out = cmd.ErrOrStderr()
	}
	plan.Print(out, r.keepTorn)
	if !r.yes && !confirmed(cmd, out) {
		return fmt.Errorf("%w: the store is damaged, and nothing was changed; --yes goes on without asking", errDegraded)
	}
	m := newMeter(cmd.ErrOrStderr(), "repair", "records")
	rep, err := datadir.Repair(ctx, c.DataDir, key, r.keepTorn, func(p persist.BackupProgress) { m.reach(int64(p.Records), int64(p.Of), p.Stored) })
	m.done()
	if err != nil {
		return explainStore(c.DataDir, err)
	}
	if o.structured() {
		return o.print(cmd.OutOrStdout(), struct {
			Plan doctor.Plan          `json:"plan"`
			Did  datadir.RepairReport `json:"did"`
		}{plan, rep})
	}
	_, err = fmt.Fprintf(out, "repaired: %s records are in the new store; the damaged one is in %s, with %s, a backup of all that was readable\n",
		formatCount(int(rep.Records)), rep.Aside, rep.Salvaged)
	return err
}

// confirmed asks at a terminal.
func confirmed(cmd *cobra.Command, out io.Writer) bool {
	if !isTerminal(cmd.InOrStdin()) {
		return false
	}
	fmt.Fprint(out, "go on? Type yes: ")
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "yes"
}

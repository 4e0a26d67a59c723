package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/place"
)

func regionCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "region",
		Short: "Create, list, show or delete regions",
		Long: `A region is a named map of keys that is shared as one: the unit of acknowledgement, and
what SELECT chooses in the Redis protocol. 'default' always exists and is database 0;
others come into being by 'region create', or when first written to.`,
		Example: `  edgemem region create orders --ack disk
  edgemem region create tenant-7 --quota 100MiB --priority best-effort
  edgemem region list
  printf 'SELECT orders\nSET o:17 open\n' | redis-cli -p 7379`,
	}, regionCreateCommand(), regionListCommand(), regionShowCommand(), regionDeleteCommand(), regionExplainCommand(), regionGiveCommand(), regionTakeCommand())
}

func regionCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a region, or change what its writes wait for, how they show, what memory and which holders it has",
		Long: `Create a region on every node, or change one that exists: what no flag names stays as it
is, for a new region the default.

--ack says what writes wait for before they are acknowledged: memory (applied here, on
disk soon after), disk (synced: no crash loses them), quorum (as disk, and merged by more
than half of the holders, this one among them) or all (merged by every holder). A write
that too few are known to have after 10 s is answered by an error, and stays, and merges
later: the smaller side of a split acknowledges none. --consistency says when other
nodes show them: eventual (as they come) or causal (never before all that their writer
had seen of the region; reads answer LOADING while a pull of more than 64 MiB, or 8 MiB
on a device, comes in).

--quota is what the region may take of the memory of each node that holds it, by what
'region list' shows as HELD. At it local writes are refused (-OOM), by one write or
pipeline beyond it; removes and merges go on, so a region can be over its quota where
much was written elsewhere meanwhile. --reserve is what each node keeps for it: what the
region does not use of that is refused to others' writes as if it were used. A node on
which all reservations do not fit refuses a new one, and raises an alarm where one was
made elsewhere. 'none' takes either back.

--priority says who gives way first as a node's memory runs short: best-effort, then
burstable, then guaranteed. Writes of the best priority that a node has are slowed down
from 95 % of what its budget leaves to writers, and refused at 100 %; each priority
below that 5 % earlier: best-effort beside guaranteed regions from 85 %, and at 90 %.

--placement says where its copies are to be: everywhere, where there is demand for it, or
pinned to nodes. --min-copies is how many there are to be at least; --tiers and --labels
say which nodes may hold it (those that run with --label). All of that is kept with the
region and known to every node, and 'region show' lists who holds it. A region that is not
everywhere is held at first by the node that creates it, and by those that hold something of it
already. Copies of a demand region then go to where it is read, and leave where more is written to
it than read; there are at least --min-copies, and a holder that is not reached for 10 minutes is
replaced. 'region take-copy' and 'region give-copy' move copies by hand. --dry-run tells what would move, and
changes nothing; 'region explain' tells what moved, and why.

--queue-writes lets a node that has no copy and reaches no holder keep writes of Redis and HTTP clients on
its disk until it does: those whose effect depends on nothing that is there, such as SET, INCR, SADD,
HSET, ZADD and XADD. The others are refused, and so is what 'edgemem set' and 'incr' write.`,
		Example: `  edgemem region create orders --ack disk --priority guaranteed --reserve 64MiB
  edgemem region create chat --consistency causal
  edgemem region create tenant-7 --quota 100MiB --priority best-effort
  edgemem region create tenant-7 --quota none
  edgemem region create maps --placement demand --min-copies 2 --tiers edge,regional,cloud`,
		Args: args(1, 1, "one NAME"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	var want control.RegionOptions
	words := map[string][]string{
		"ack": {"memory", "disk", "quorum", "all"}, "consistency": {"eventual", "causal"}, "priority": {"guaranteed", "burstable", "best-effort"},
		"placement": place.PlacementNames(),
	}
	cmd.Flags().StringVar(&want.Ack, "ack", "", "what writes wait `FOR`: memory, disk, quorum or all (default: as it is, and memory where it is new)")
	cmd.Flags().StringVar(&want.Consistency, "consistency", "", "when other nodes show writes, `HOW`: eventual or causal (default: as it is, and eventual where it is new)")
	cmd.Flags().StringVar(&want.Priority, "priority", "", "`WHO` gives way when memory is short: guaranteed, burstable or best-effort (default: as it is, and burstable where it is new)")
	quota := cmd.Flags().String("quota", "", "`SIZE` that it may take of each node's memory, such as 100MiB, or none (default: as it is, and none where it is new)")
	reserve := cmd.Flags().String("reserve", "", "`SIZE` that each node keeps for it, such as 64MiB, or none (default: as it is, and none where it is new)")
	cmd.Flags().StringVar(&want.Placement, "placement", "", "`WHERE` its copies are to be: everywhere, demand or pinned (default: as it is, and everywhere where it is new)")
	cmd.Flags().IntVar(&want.MinCopies, "min-copies", 0, "`COUNT` of live copies that there are to be at least (default: as it is, and 1 where it is new)")
	tierList := cmd.Flags().String("tiers", "", "`LIST` of the tiers that may hold it, such as edge,cloud, or all (default: as it is, and all where it is new)")
	dry := cmd.Flags().Bool("dry-run", false, "change nothing, and tell what would move with such a --placement, --min-copies, --tiers and --labels")
	queue := cmd.Flags().Bool("queue-writes", false, "keep writes at a node that has no copy and reaches no holder, until it does (default: as it is, and false where it is new)")
	labels := cmd.Flags().StringSlice("labels", nil, "`K=V` that a holder must have, once for each or with commas, or none (default: as it is, and none where it is new)")
	for name, list := range words {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)) // only fails for a flag that does not exist
	}
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) (err error) {
		for _, name := range slices.Sorted(maps.Keys(words)) {
			if v := cmd.Flag(name).Value.String(); cmd.Flag(name).Changed && !slices.Contains(words[name], v) {
				return usagef("--%s %q: want %s", name, v, oneOf(words[name]))
			}
		}
		if want.QuotaBytes, err = sizeFlag(cmd, "quota", *quota); err != nil {
			return err
		}
		if want.ReserveBytes, err = sizeFlag(cmd, "reserve", *reserve); err != nil {
			return err
		}
		if cmd.Flag("min-copies").Changed && want.MinCopies < 1 {
			return usagef("--min-copies %d: want 1 or more", want.MinCopies)
		}
		if want.Tiers, err = tiersFlag(cmd, *tierList); err != nil {
			return err
		}
		if want.Labels, err = labelsFlag(cmd, *labels); err != nil {
			return err
		}
		if *dry {
			return explainTo(ctx, cmd.OutOrStdout(), c, o, args[0], &want, printPlan)
		}
		if cmd.Flag("queue-writes").Changed {
			want.QueueWrites = queue
		}
		r, err := c.CreateRegion(ctx, args[0], want)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), r)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "region %s: writes wait for %s, %s consistency, %s; copies %s\n", r.Name, r.Ack, r.Consistency, termsOf(r), placementOf(r))
		return err
	})
	return cmd
}

func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// tiersFlag reads a list of tiers: nil if the flag is not there, empty for all.
func tiersFlag(cmd *cobra.Command, text string) ([]string, error) {
	if !cmd.Flag("tiers").Changed {
		return nil, nil
	}
	list := []string{}
	if text == "all" {
		return list, nil
	}
	for t := range strings.SplitSeq(text, ",") {
		if _, err := tiers.Parse(t); err != nil {
			return nil, usagef("--tiers %q: want a list of %s, or all", text, strings.Join(tiers.Names(), ", "))
		}
		list = append(list, t)
	}
	return list, nil
}

// labelsFlag reads labels: nil if the flag is not there, empty for none.
func labelsFlag(cmd *cobra.Command, pairs []string) (map[string]string, error) {
	if !cmd.Flag("labels").Changed {
		return nil, nil
	}
	if slices.Equal(pairs, []string{"none"}) {
		pairs = nil
	}
	labels, err := fabric.ParseLabels(pairs)
	if err != nil {
		return nil, usagef("--labels: %v", err)
	}
	return labels, nil
}

// placementOf says where copies are to be.
func placementOf(r control.Region) string {
	text := cmp.Or(r.Placement, "everywhere")
	if r.MinCopies > 1 {
		text += fmt.Sprintf(", at least %d", r.MinCopies)
	}
	if len(r.Tiers) > 0 {
		text += ", tiers " + strings.Join(r.Tiers, ",")
	}
	for _, k := range slices.Sorted(maps.Keys(r.Labels)) {
		text += fmt.Sprintf(", %s=%s", k, r.Labels[k])
	}
	return text
}

// holdersShown is how many holders of a region are named.
const holdersShown = 20

// holdersOf names who holds a region.
func holdersOf(r control.Region) string {
	var parts []string
	for _, h := range r.Holders[:min(len(r.Holders), holdersShown)] {
		parts = append(parts, fmt.Sprintf("%s (%s)", cmp.Or(h.Name, short(string(h.ID), 12)), h.Tier))
	}
	if more := len(r.Holders) - holdersShown; more > 0 {
		parts = append(parts, fmt.Sprintf("%s more", formatCount(more)))
	}
	return cmp.Or(strings.Join(parts, ", "), "–")
}

// sizeFlag reads a size that may be taken back: 0 if the flag is not there, -1 for none.
func sizeFlag(cmd *cobra.Command, name, text string) (int64, error) {
	if !cmd.Flag(name).Changed {
		return 0, nil
	}
	if text == "none" || text == "0" {
		return fabric.Unlimited, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, usagef("--%s %q: want a size such as 100MiB, or none", name, text)
	}
	return int64(n), nil
}

// termsOf says what memory a region has, in few words.
func termsOf(r control.Region) string {
	m := r.Memory
	text := string(m.Priority)
	if m.Quota > 0 {
		text += ", quota " + formatBytes(m.Quota)
	}
	switch {
	case m.Reserve > m.Granted:
		text += fmt.Sprintf(", %s of %s reserved here", formatBytes(m.Granted), formatBytes(m.Reserve))
	case m.Reserve > 0:
		text += ", " + formatBytes(m.Reserve) + " reserved"
	}
	return text
}

func regionListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the regions that this node holds",
		Long: `List the regions that this node holds. SIZE is that of keys and values as they were written, HELD what the region takes
of the node's memory with its indexes and causal metadata (and what part that is of its quota), MEMORY its priority, quota
and reservation. FULL: its writes are refused; 'region show' says why. PLACEMENT: where its copies are
to be; HOLDERS: how many members have one.`,
		Example: "  edgemem region list -o json | jq -r '.[].name'",
		Args:    args(0, 0, ""),
	}
	addClient(cmd)
	cmd.RunE = showStatus(cmd, func(s control.Status) any { return s.Regions }, func(w io.Writer, s control.Status) error {
		return printRegions(w, s.Regions, namesIn(s))
	})
	return cmd
}

func regionShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one region: size, digest, causal context, lag to each peer, what its bytes are",
		Long: `Show one region. Two nodes hold the same entries if and only if their digests are
equal. 'holders' are the members that have a copy, also those that are not reached now. 'complete' says until when everything is here that the named nodes had seen,
and of which nodes that cannot be said. The context says which writes of each origin
were seen: one origin for each start of a node that wrote; those that ended are summed
up, unless --all, and in time collapse into one line for each node. Lag says, for each peer and as of when it was last heard of, how many
writes seen here it lacked, about how many bytes they come to (by the mean size of an
entry), how old the oldest is, and how many writes it had that this node lacks.

Then its bytes: by purpose in memory, with the size classes that have most free slots;
on disk, as the newest version of each record takes; and by the starts of nodes that wrote
them. Counting looks at every entry, and holds up writers for some thousands of them at a
time.`,
		Example: `  edgemem region show default
  edgemem region show default -o json | jq -r .complete.up_to
  edgemem region show default -o json | jq '.usage.memory, .usage.disk_bytes'`,
		Args: args(1, 1, "one NAME"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	all := cmd.Flags().Bool("all", false, "list the origins that ended, too")
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		r, err := c.ShowRegion(ctx, args[0])
		if err != nil {
			return err
		}
		u, err := c.RegionUsage(ctx, args[0])
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), struct {
				control.Region
				Usage control.RegionUsage `json:"usage"`
			}{r, u})
		}
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if err := printRegion(cmd.OutOrStdout(), r, namesIn(s), *all); err != nil {
			return err
		}
		return printUsage(cmd.OutOrStdout(), u, namesIn(s))
	})
	return cmd
}

func regionDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Remove a region and every entry in it, on all nodes",
		Long: `Remove a region and every entry in it, on all nodes. What others write to it at the same
time, without having seen the removal, stays and brings the region back.`,
		Example: "  edgemem region delete orders",
		Args:    args(1, 1, "one NAME"),
	}
	addClient(cmd)
	cmd.RunE = withClient(func(ctx context.Context, _ *cobra.Command, c *control.Client, args []string) error {
		return c.DeleteRegion(ctx, args[0])
	})
	return cmd
}

func regionGiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "give-copy NAME",
		Short: "Give up this node's copy of a region, when others have all of it",
		Long: `Give up this node's copy of a region, which must not be everywhere. It waits until as many other
holders as the region is to have copies, one at least, have said that all of it is on their disks and
that they keep it; if they cannot, nothing changes. The node reads and writes the region through a holder then.
What this node holds of bounded counters goes to a connected holder.`,
		Example: "  edgemem region create maps --placement demand --min-copies 1\n  edgemem region give-copy maps",
		Args:    args(1, 1, "one NAME"),
	}
	o := outputFlag(cmd)
	addClient(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		r, err := c.GiveCopy(ctx, args[0])
		return tellHolders(cmd, o, r, err)
	})
	return cmd
}

func regionTakeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "take-copy NAME",
		Short: "Have this node hold a copy of a region",
		Long: `Have this node hold a copy of a region, and wait until it has all of it on its disk. The node's tier, labels and
memory must suit the region.`,
		Example: "  edgemem region take-copy maps",
		Args:    args(1, 1, "one NAME"),
	}
	o := outputFlag(cmd)
	addClient(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		r, err := c.TakeCopy(ctx, args[0])
		return tellHolders(cmd, o, r, err)
	})
	return cmd
}

// tellHolders prints who holds a region that has moved.
func tellHolders(cmd *cobra.Command, o *output, r control.Region, err error) error {
	if err != nil {
		return err
	}
	if o.structured() {
		return o.print(cmd.OutOrStdout(), r)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "region %s: held by %s\n", r.Name, holdersOf(r))
	return err
}

// namesIn gives what people call each node.
func namesIn(s control.Status) map[string]string {
	names := map[string]string{}
	for _, p := range s.Peers {
		names[p.ID] = p.Name
	}
	for _, n := range s.Nodes {
		names[string(n.ID)] = cmp.Or(n.Name, names[string(n.ID)])
	}
	return names
}

func nameOf(id string, names map[string]string) string {
	if name := names[id]; name != "" {
		return name
	}
	return short(id, 12)
}

func printRegions(w io.Writer, regions []control.Region, names map[string]string) error {
	t := newTable(w)
	t.row("REGION", "ACK", "CONSISTENCY", "ENTRIES", "SIZE", "HELD", "MEMORY", "DIGEST", "COMPLETE", "LAG", "PLACEMENT", "HOLDERS")
	for _, r := range regions {
		t.row(r.Name, string(r.Ack), consistencyOf(r), formatCount(r.Entries), formatBytes(r.Bytes), heldOf(r), termsOf(r), short(r.Digest, 12), completeSummary(r), lagSummary(r, names), placementOf(r), formatCount(len(r.Holders)))
	}
	return t.Flush()
}

// heldOf is what the region takes of the memory, and that it takes no writes.
func heldOf(r control.Region) string {
	text := formatBytes(r.Memory.Held)
	if q := r.Memory.Quota; q > 0 {
		text += fmt.Sprintf(" (%d %%)", int64(float64(r.Memory.Held)/float64(q)*100))
	}
	if r.Memory.Refuses != "" {
		text += " FULL"
	}
	return text
}

// printContext lists what was seen of each origin: of those that write, and of all if asked.
func printContext(w io.Writer, r control.Region, names map[string]string, all bool) error {
	fmt.Fprintln(w)
	node := map[string]string{}
	for _, x := range r.Writers {
		node[x.Origin] = nameOf(string(x.Node), names)
	}
	t := newTable(w)
	t.row("ORIGIN", "NODE", "SEEN UP TO", "AND ABOVE")
	for _, origin := range slices.Sorted(maps.Keys(r.Context)) {
		runs, writes := r.Context[origin], node[origin] != ""
		if !writes && !all {
			continue
		}
		above := "–"
		if n := len(runs.Above); n > 0 {
			above = fmt.Sprintf("%d ranges up to %s", n, formatCount(int(runs.Above[n-1][1])))
		}
		if isLine(origin) {
			t.row(originName(origin), "line", fmt.Sprintf("starts before %s", startTime(runs.Base)), above)
			continue
		}
		t.row(originName(origin), cmp.Or(node[origin], "ended"), formatCount(int(runs.Base)), above)
	}
	if r.Ended.Origins > 0 && !all {
		t.row(formatCount(r.Ended.Origins)+" ended", "–", formatCount(int(r.Ended.Writes))+" writes", "–")
	}
	return t.Flush()
}

// originName is short: all starts of a node begin alike.
func originName(origin string) string {
	var o crdt.Origin
	if o.UnmarshalText([]byte(origin)) != nil {
		return short(origin, 12)
	}
	return o.String()
}

// isLine reports whether an entry of a context stands for the collapsed starts of a node.
func isLine(origin string) bool {
	var o crdt.Origin
	return o.UnmarshalText([]byte(origin)) == nil && o.IsLine()
}

// startTime is when a node began the start of a number, by its own clock.
func startTime(number uint64) string {
	return time.UnixMilli(crdt.StartedAt(uint32(number))).UTC().Format(time.DateTime)
}

// lagSummary says who is behind or ahead as far as this node has heard, or that nobody is. What was heard
// grows old between two hellos, so its age stands beside it.
func lagSummary(r control.Region, names map[string]string) string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(r.Lag)) {
		lag, name := r.Lag[id], nameOf(string(id), names)
		switch {
		case lag.AgeMS < 0:
			parts = append(parts, name+" not heard of yet")
		case lag.Missing > 0:
			parts = append(parts, fmt.Sprintf("%s had %s more %s", name, formatCount(int(lag.Missing)), heard(lag.AgeMS)))
		case lag.Writes > 0:
			parts = append(parts, fmt.Sprintf("%s lacked %s (%s, %v) %s", name, formatCount(int(lag.Writes)),
				formatBytes(int64(lag.Bytes)), duration(lag.BehindMS), heard(lag.AgeMS)))
		}
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// heard says how old the news of a peer is.
func heard(ageMS int64) string {
	switch age := time.Duration(ageMS) * time.Millisecond; {
	case ageMS < 0:
		return "never"
	case age < time.Second:
		return "just now"
	default:
		return age.Round(time.Second).String() + " ago"
	}
}

// completeSummary says in a few words until when everything is here, and how many nodes that does not speak for.
func completeSummary(r control.Region) string {
	c := r.Complete
	var parts []string
	if !c.UpTo.IsZero() {
		parts = append(parts, heard(r.At.Sub(c.UpTo).Milliseconds()))
	}
	if n := len(c.Through); n > 0 {
		parts = append(parts, fmt.Sprintf("%d through others", n))
	}
	if n := len(c.Dark); n > 0 {
		parts = append(parts, fmt.Sprintf("%d dark", n))
	}
	return cmp.Or(strings.Join(parts, ", "), "not known")
}

// completeLines says it in full.
func completeLines(r control.Region, names map[string]string) string {
	c := r.Complete
	named := func(ids []crdt.NodeID) string {
		var out []string
		for _, id := range ids {
			out = append(out, nameOf(string(id), names))
		}
		return strings.Join(out, ", ")
	}
	first := "not known"
	switch {
	case !c.UpTo.IsZero() && len(c.Of) > 0:
		first = fmt.Sprintf("up to %s (%s) for %s", c.UpTo.UTC().Format(time.RFC3339), heard(r.At.Sub(c.UpTo).Milliseconds()), named(c.Of))
	case !c.UpTo.IsZero():
		first = "there is no other node"
	case len(c.Of) > 0:
		first = "not known yet for " + named(c.Of)
	}
	if len(c.Through) > 0 {
		first += "\n\tonly what others pass on of " + named(c.Through)
	}
	if len(c.Dark) > 0 {
		first += "\n\tdark: " + named(c.Dark)
	}
	return first
}

func consistencyOf(r control.Region) string {
	if r.Loading {
		return string(r.Consistency) + ", loading"
	}
	return string(r.Consistency)
}

// refusedOf says what came of that.
func refusedOf(r control.Region) (text string) {
	if n := r.Memory.Refused; n > 0 {
		text = fmt.Sprintf("; %s writes were refused", formatCount(int(n)))
	}
	if why := r.Memory.Refuses; why != "" {
		text += "\n\t" + why
	}
	return text
}

func printRegion(w io.Writer, r control.Region, names map[string]string, all bool) error {
	t := newTable(w)
	t.row("region", r.Name)
	t.row("ack", string(r.Ack))
	t.row("consistency", consistencyOf(r))
	t.row("placement", placementOf(r))
	t.row("holders", holdersOf(r))
	if r.QueueWrites {
		t.row("queued here", formatCount(r.Queued)+" writes, until a holder is reached")
	}
	t.row("entries", formatCount(r.Entries))
	t.row("size", formatBytes(r.Bytes)+" of keys and values")
	t.row("memory", heldOf(r)+", "+termsOf(r)+refusedOf(r))
	if r.Away > 0 {
		t.row("on disk alone", fmt.Sprintf("%s values, %s: they left memory, and are read back when they are asked for", formatCount(r.Away), formatBytes(r.AwayBytes)))
	}
	t.row("ghosts", formatCount(r.Ghosts))
	t.row("digest", r.Digest)
	t.row("complete", completeLines(r, names))
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printContext(w, r, names, all); err != nil {
		return err
	}
	return printLag(w, r, names)
}

func printLag(w io.Writer, r control.Region, names map[string]string) error {
	if len(r.Lag) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w)
	t.row("PEER", "LACKED", "ABOUT", "OLDEST", "HAD MORE", "HEARD OF")
	for _, id := range slices.Sorted(maps.Keys(r.Lag)) {
		lag := r.Lag[id]
		about, oldest := "–", "–"
		if lag.Writes > 0 {
			about, oldest = formatBytes(int64(lag.Bytes)), duration(lag.BehindMS).String()
		}
		t.row(nameOf(string(id), names), formatCount(int(lag.Writes)), about, oldest, formatCount(int(lag.Missing)), heard(lag.AgeMS))
	}
	return t.Flush()
}

// slotsShown is how many size classes are told of: those with most free bytes.
const slotsShown = 5

// printUsage tells what a region's bytes are.
func printUsage(w io.Writer, u control.RegionUsage, names map[string]string) error {
	f := u.Memory
	t := newTable(w)
	t.row("\nIN MEMORY", formatBytes(f.Total()))
	t.row("entries", formatBytes(f.Value)+each(f.Value, u.Entries))
	t.row("indexes", formatBytes(f.Index)+each(f.Index, u.Entries))
	t.row("causal metadata", formatBytes(f.Causal))
	t.row("remembered removes", formatBytes(f.Ghost)+each(f.Ghost, u.Ghosts))
	t.row("buffers", formatBytes(f.Buffer))
	t.row("free slots", formatBytes(f.Slack))
	if u.Away > 0 {
		t.row("not in memory", fmt.Sprintf("%s of %s values, on disk or packed", formatBytes(u.AwayBytes), formatCount(u.Away)))
	}
	t.row("ON DISK", fmt.Sprintf("%s in %s records", formatBytes(u.DiskBytes), formatCount(u.DiskRecords)))
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printSlots(w, u.Slots); err != nil {
		return err
	}
	return printOrigins(w, u, names)
}

// each is the mean, where there is one.
func each(bytes int64, n int) string {
	if n == 0 || bytes == 0 {
		return ""
	}
	return fmt.Sprintf(", %s each", formatBytes(bytes/int64(n)))
}

func printSlots(w io.Writer, slots []crdt.SlotClass) error {
	slices.SortStableFunc(slots, func(a, b crdt.SlotClass) int { return cmp.Compare(b.FreeBytes, a.FreeBytes) })
	t := newTable(w)
	t.row("\nSLOTS OF", "USED", "OF", "HOLD", "FREE")
	for _, c := range slots[:min(len(slots), slotsShown)] {
		size := formatBytes(int64(c.SlotBytes))
		if c.SlotBytes == 0 {
			size = "each its own"
		}
		t.row(size, formatCount(c.Used), formatCount(c.Slots), formatBytes(c.Bytes), formatBytes(c.FreeBytes))
	}
	if more := len(slots) - slotsShown; more > 0 {
		var rest crdt.SlotClass
		for _, c := range slots[slotsShown:] {
			rest.Used, rest.Slots, rest.Bytes, rest.FreeBytes = rest.Used+c.Used, rest.Slots+c.Slots, rest.Bytes+c.Bytes, rest.FreeBytes+c.FreeBytes
		}
		t.row(fmt.Sprintf("%d other sizes", more), formatCount(rest.Used), formatCount(rest.Slots), formatBytes(rest.Bytes), formatBytes(rest.FreeBytes))
	}
	return t.Flush()
}

func printOrigins(w io.Writer, u control.RegionUsage, names map[string]string) error {
	t := newTable(w)
	t.row("\nWRITTEN BY", "NODE", "VALUES", "KEYS+VALUES", "REMOVES")
	for _, o := range u.ByOrigin {
		node := "ended"
		if o.Node != "" {
			node = nameOf(string(o.Node), names)
		}
		t.row(o.Origin.String(), node, formatCount(o.Live), formatBytes(o.Bytes), formatCount(o.Ghosts))
	}
	if x := u.Rest; x.Origins > 0 {
		t.row(formatCount(x.Origins)+" others", "–", formatCount(x.Live), formatBytes(x.Bytes), formatCount(x.Ghosts))
	}
	return t.Flush()
}

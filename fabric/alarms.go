package fabric

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// The kinds of alarms.
const (
	AlarmClone       = "clone"       // two processes write with one node's key
	AlarmRolledBack  = "rolled-back" // a running process was set back to an earlier state of its memory
	AlarmDiverged    = "diverged"    // two nodes have seen the same and hold different entries
	AlarmDamaged     = "damaged"     // memory or disk did not hold what was written
	AlarmDiskFull    = "disk-full"   // a node takes no writes until its disk has room
	AlarmMemoryFull  = "memory-full" // a node takes no writes until something is removed
	AlarmQuota       = "quota"       // a region takes no writes at a node until something is removed from it
	AlarmReservation = "reservation" // a node has less memory than is to be reserved
	AlarmReturned    = "returned"    // a retired node is back
	AlarmRestored    = "restored"    // a notice: this node's disk is older than what others know of it
)

// alarmKinds lists them in the order in which they are told.
var alarmKinds = []string{AlarmClone, AlarmRolledBack, AlarmDiverged, AlarmDamaged, AlarmDiskFull, AlarmMemoryFull, AlarmQuota, AlarmReservation, AlarmReturned, AlarmRestored}

// whatToDo is the advice beside each kind.
var whatToDo = map[string]string{
	AlarmClone: "Stop one of the two processes, delete its data directory and let it join anew with a ticket. Nothing was lost: " +
		"each writes under an origin of its own. The alarm ends when the other has been silent for an hour.",
	AlarmRolledBack: "Do not restore snapshots of running nodes: back up the data directory instead. The node went on " +
		"under a new origin, and kept what both lives wrote but for what the detail says. 'edgemem alarms clear rolled-back' once it is understood.",
	AlarmDiverged: "Run 'edgemem scrub' on both nodes, keep their logs and report them: replicas that have seen the same must be equal.",
	AlarmDamaged: "Check the memory and the disk of the machine; 'edgemem scrub' says whether all of it is in order now. " +
		"'edgemem alarms clear damaged' once the cause is found.",
	AlarmDiskFull: "Make room on the disk that the detail names, or move the data directory to a larger one. Reads and merges go on, nothing that " +
		"was acknowledged as disk is lost, and the node takes writes again by itself as soon as there is room; then the alarm ends.",
	AlarmMemoryFull: "Remove what is not needed, or give the node more with --memory. Reads, removes and merges go on, and the node takes writes " +
		"again by itself when there is room; then the alarm ends.",
	AlarmQuota: "Remove what is not needed from the region, or raise its quota with 'edgemem region create NAME --quota SIZE'; 'edgemem region list' " +
		"shows which are full. Its reads, removes and merges go on, as do writes to other regions; the alarm ends below 95 % of the quota.",
	AlarmReservation: "Give the node more with --memory, or lower reservations with 'edgemem region create NAME --reserve SIZE'. Those of guaranteed regions are " +
		"met first, then by name.",
	AlarmReturned: "Run 'edgemem node retire --undo' if the node is to stay, or stop it. Its writes count like everybody's; its " +
		"certificate holds until it expires.",
	AlarmRestored: "Nothing, if a backup was put back on purpose. Else look for a second process with a copy of the data directory.",
}

// Alarm is something that a person should look at.
type Alarm struct {
	Kind   string      `json:"kind"`
	Node   crdt.NodeID `json:"node"` // that it is about
	Name   string      `json:"name,omitempty"`
	Since  time.Time   `json:"since"`
	Detail string      `json:"detail"`
	Do     string      `json:"what_to_do"`
	Notice bool        `json:"notice"` // it ends by itself, and nothing is wrong if it was expected
}

// alarmNote is what a record says of one alarm.
type alarmNote struct {
	since  time.Time
	detail string
}

type alarmKey struct {
	node crdt.NodeID
	kind string
}

// Alarms lists what is wrong, here and at the other members as far as this node has heard, by kind and node. Alarms are kept
// in the nodes' records: they outlast a restart of whoever raised them, and every member sees them.
func (f *Fabric) Alarms() []Alarm {
	f.roster.mu.Lock()
	defer f.roster.mu.Unlock()
	return f.roster.alarms()
}

// alarms lists them. The caller holds mu.
func (n *roster) alarms() []Alarm {
	out := []Alarm{}
	for id, rec := range n.noted {
		for kind, note := range rec.alarms {
			out = append(out, n.alarm(kind, id, note))
		}
		if note, back := n.returned(id, rec); back {
			out = append(out, n.alarm(AlarmReturned, id, note))
		}
	}
	if note := n.self.restored; note != nil {
		out = append(out, n.alarm(AlarmRestored, n.f.cfg.Node, *note))
	}
	slices.SortFunc(out, func(a, b Alarm) int {
		return cmp.Or(cmp.Compare(slices.Index(alarmKinds, a.Kind), slices.Index(alarmKinds, b.Kind)), cmp.Compare(a.Node, b.Node))
	})
	return out
}

func (n *roster) alarm(kind string, id crdt.NodeID, note alarmNote) Alarm {
	return Alarm{Kind: kind, Node: id, Name: n.record(id).name, Since: note.since.UTC(), Detail: note.detail, Do: whatToDo[kind],
		Notice: kind == AlarmRestored}
}

// returned reports whether a retired node is back: it is connected, or has written since.
func (n *roster) returned(id crdt.NodeID, rec *nodeRecord) (note alarmNote, back bool) {
	if rec.retired == nil {
		return note, false
	}
	by := n.record(rec.retired.By).name
	detail := fmt.Sprintf("it was retired on %s by %s and is back", rec.retired.At.UTC().Format(time.RFC3339), cmp.Or(by, string(rec.retired.By)))
	if c, ok := rec.origin(); ok && c.origin != rec.retired.last {
		return alarmNote{since: c.since, detail: detail}, true
	}
	if at, here := n.f.presence(id); here {
		return alarmNote{since: at, detail: detail}, true
	}
	return note, false
}

// presence tells since when a node is connected; this one is since it runs.
func (f *Fabric) presence(id crdt.NodeID) (since time.Time, here bool) {
	if id == f.cfg.Node {
		return f.began, true
	}
	return f.mesh.upSince(id)
}

// raise notes an alarm of this node in its record; one that stands already is left as it is. Call it without locks.
func (f *Fabric) raise(kind, format string, args ...any) {
	n := f.roster
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, stands := n.own().alarms[kind]; !stands && !f.closed.Load() {
		n.putAlarm(kind, fmt.Sprintf(format, args...))
		n.tell()
	}
}

// putAlarm writes an alarm into this node's record. The caller holds mu.
func (n *roster) putAlarm(kind, detail string) {
	err := n.write(func(tx *crdt.Tx) error {
		_, err := tx.MapSet(string(n.f.cfg.Node), fieldAlarm+kind, encodeNote(n.f.cfg.Now(), detail))
		return err
	})
	if err != nil {
		n.f.cfg.Logger.Error("an alarm could not be kept", "kind", kind, "detail", detail, "err", err)
	}
}

func (n *roster) dropAlarm(id crdt.NodeID, kind string) {
	err := n.write(func(tx *crdt.Tx) error { _, err := tx.MapDel(string(id), fieldAlarm+kind); return err })
	if err != nil {
		n.f.cfg.Logger.Error("an alarm could not be ended", "kind", kind, "node", id, "err", err)
	}
}

// ClearAlarm takes back the alarms of a kind, of all nodes, or of one if node is its id or name. What still holds is raised
// again. It gives how many there were. Errors: ErrNoAlarm for a kind that there is not, ErrNoNode, ErrNotDurable, ErrClosed.
func (f *Fabric) ClearAlarm(ctx context.Context, kind, node string) (cleared int, err error) {
	if !slices.Contains(alarmKinds, kind) {
		return 0, fmt.Errorf("%w: %q; want one of %v", ErrNoAlarm, kind, alarmKinds)
	}
	n := f.roster
	var only crdt.NodeID
	if node != "" {
		if only, err = f.nodeCalled(node); err != nil {
			return 0, err
		}
	}
	commit, err := n.update(func(tx *crdt.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(n.nodes)) {
			if only != "" && id != only {
				continue
			}
			if was, err := tx.MapDel(string(id), fieldAlarm+kind); err == nil && was {
				cleared++
			}
		}
		if x := &n.self.restored; kind == AlarmRestored && *x != nil && (only == "" || only == f.cfg.Node) {
			*x = nil
			cleared++
		}
		return nil
	})
	if err != nil {
		return cleared, err
	}
	return cleared, commit.Wait(ctx)
}

// tell logs which alarms are new and which are over. The caller holds mu.
func (n *roster) tell() {
	now := map[alarmKey]bool{}
	for _, a := range n.alarms() {
		k := alarmKey{a.Node, a.Kind}
		now[k] = true
		if n.told[k] {
			continue
		}
		log := n.f.cfg.Logger.Error
		if a.Notice {
			log = n.f.cfg.Logger.Warn
		}
		log("alarm", "kind", a.Kind, "node", a.Node, "name", a.Name, "since", a.Since, "detail", a.Detail, "what_to_do", a.Do)
	}
	for k := range n.told {
		if !now[k] {
			n.f.cfg.Logger.Info("alarm is over", "kind", k.kind, "node", k.node)
		}
	}
	n.told = now
}

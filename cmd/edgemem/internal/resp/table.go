package resp

import (
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// command is one row of the table that drives everything said about a command: how it is looked up,
// checked and run, and what COMMAND, COMMAND DOCS and COMMAND GETKEYS answer.
//
// Exactly one of run, read, write, subs and refusal is set.
type command struct {
	name  string // lower case; "client|list" for a subcommand
	arity int    // arguments with the name; -n: n or more
	flags string // Redis's names of them, in Redis's order
	keys  keySpec
	acl   string // categories that do not follow from flags and group
	tips  string
	group string
	since string // the version of Redis that has it; of edgemem for EM. commands
	cost  string
	// summary says what the command does; note, what is particular in a mesh.
	summary, note string

	run     func(c *client)               // touches no entries
	read    func(c *client, v *crdt.View) // runs inside the region's View
	write   func(c *client, tx *crdt.Tx)  // runs inside the region's Apply: one atomic delta group; also what reads and may wait, since writers run it again
	subs    []*command                    // a container: its second argument names the subcommand
	refusal string                        // known to Redis, absent here, and why

	waits func(line [][]byte) bool // of a command that may wait, whether this line of it may; nil: each

	index   int // in the server's statistics
	is      flagSet
	aclList []string
}

// keySpec says which arguments are keys: from first to last, every step. A negative last counts from
// the end. A zero first means none.
type keySpec struct {
	first, last, step int
	access            string // Redis's flags of how the keys are used

	count int                       // the argument that says how many keys follow it; 0: none does
	parts []keySpec                 // where the keys are used in several ways; first to last is then their span
	find  func(line [][]byte) []int // of a command whose keys hide among its options; COMMAND says "unknown" of those
	word  string                    // the option, in capitals, that a key stands behind,
	from  int                       // and the first argument that can be it
	half  bool                      // the first half of all that stands behind it are keys
}

// oneKey is a key as first argument.
func oneKey(access string) keySpec { return keyAt(1, access) }

// allKeys is a key in every argument.
func allKeys(access string) keySpec { return keysFrom(1, access) }

// everyOther is a key in every second argument, with its value behind it.
func everyOther(access string) keySpec { return keySpec{first: 1, last: -1, step: 2, access: access} }

// keyRoles are keys that are used in several ways, one range each.
func keyRoles(parts ...keySpec) keySpec {
	return keySpec{first: parts[0].first, last: parts[len(parts)-1].last, step: 1, parts: parts}
}

// keyAt is a single key among others.
func keyAt(i int, access string) keySpec { return keySpec{first: i, last: i, step: 1, access: access} }

// keysFrom is a key in every argument from one on.
func keysFrom(i int, access string) keySpec {
	return keySpec{first: i, last: -1, step: 1, access: access}
}

// countedKeys are as many keys as the argument before them says.
func countedKeys(at int, access string) keySpec { return keySpec{count: at, access: access} }

// none says that no argument is a key.
func (k *keySpec) none() bool { return k.first == 0 && k.count == 0 && k.word == "" }

// keyBehind is the key that stands behind an option.
func keyBehind(word string, from int, access string) keySpec {
	return keySpec{word: word, from: from, access: access}
}

// flagSet holds the flags that the dispatcher asks for.
type flagSet uint8

const (
	flagNoAuth flagSet = 1 << iota
	flagWrite
	flagDenyOOM
	flagAtOnce     // runs within MULTI, instead of being queued
	flagNoMulti    // takes locks that EXEC holds, or waits: not allowed within MULTI
	flagSubscriber // allowed to who listens to channels in RESP2
	flagBlocks     // may wait for a key to hold something
	flagUnseen     // not shown to MONITOR: an operator's, or one with a password
)

// table finds commands by name.
type table struct {
	byName map[string]*command
	listed []*command // what COMMAND lists, sorted by name
	size   int        // of the statistics
}

// nameBytesMax bounds a command's name: longer is unknown without looking.
const nameBytesMax = 32

func newTable() *table {
	t := &table{byName: make(map[string]*command, 512)}
	for _, group := range [][]*command{
		connectionCommands(), transactionCommands(), pubsubCommands(), monitorCommands(), operatorCommands(), latencyCommands(), serverCommands(), keyspaceCommands(), expiryCommands(), stringCommands(),
		counterCommands(), rangeCommands(), bitmapCommands(), bitfieldCommands(), setCommands(), setOpCommands(), hashCommands(),
		sortedCommands(), sortedRangeCommands(), sortedOpCommands(), geoCommands(), hllCommands(), listCommands(), streamCommands(), jsonCommands(), blockingCommands(), flagCommands(), boundedCommands(), blockCommands(),
		randomCommands(), copyCommands(), objectCommands(), sortCommands(), dumpCommands(), meshCommands(), sessionCommands(), leaseCommands(),
	} {
		for _, cmd := range group {
			t.list(cmd)
		}
	}
	for _, cmd := range refusedCommands() {
		t.add(cmd)
	}
	slices.SortFunc(t.listed, func(a, b *command) int { return strings.Compare(a.name, b.name) })
	return t
}

// list adds a command that COMMAND tells of.
func (t *table) list(cmd *command) {
	t.add(cmd)
	t.listed = append(t.listed, cmd)
}

func (t *table) add(cmd *command) {
	if t.byName[cmd.name] != nil {
		panic("resp: command " + cmd.name + " is in the table twice")
	}
	t.byName[cmd.name] = cmd
	t.complete(cmd)
	for _, sub := range cmd.subs {
		t.complete(sub)
	}
}

// complete fills in what follows from the other fields.
func (t *table) complete(cmd *command) {
	cmd.index = t.size
	t.size++
	for _, flag := range strings.Fields(cmd.flags) {
		switch flag {
		case "no_auth":
			cmd.is |= flagNoAuth | flagUnseen
		case "write":
			cmd.is |= flagWrite
		case "denyoom":
			cmd.is |= flagDenyOOM
		case "blocking":
			cmd.is |= flagBlocks
		case "admin":
			cmd.is |= flagUnseen
		}
	}
	cmd.aclList = cmd.categories()
}

// find looks a name up without regard to case and without allocating.
func (t *table) find(name []byte) *command {
	if len(name) > nameBytesMax {
		return nil
	}
	var low [nameBytesMax]byte
	for i, c := range name {
		low[i] = lowerByte(c)
	}
	return t.byName[string(low[:len(name)])]
}

// sub finds a container's subcommand.
func (cmd *command) sub(name []byte) *command {
	for _, sub := range cmd.subs {
		if equalFold(name, sub.name[len(cmd.name)+1:]) {
			return sub
		}
	}
	return nil
}

// takes says whether a command line of n arguments has as many as the command wants.
func (cmd *command) takes(n int) bool {
	if cmd.arity < 0 {
		return n >= -cmd.arity
	}
	return n == cmd.arity
}

// ways lists the ranges of keys, each with one way of use.
func (k *keySpec) ways() []keySpec {
	if k.parts != nil {
		return k.parts
	}
	return []keySpec{*k}
}

// positions yields the arguments of a command line that are keys, in the order of their ways.
func (k *keySpec) positions(line [][]byte) (at []int) {
	for _, way := range k.ways() {
		at = append(at, way.within(line)...)
	}
	return at
}

// within is positions for a single way.
func (k *keySpec) within(line [][]byte) (at []int) {
	first, last, step := k.first, k.last, k.step
	switch {
	case k.find != nil:
		return k.find(line)
	case k.word != "":
		for i := k.from; i+1 < len(line); i++ {
			if strings.EqualFold(view(line[i]), k.word) {
				if !k.half {
					return []int{i + 1}
				}
				for n := range (len(line) - 1 - i) / 2 {
					at = append(at, i+1+n)
				}
				return at
			}
		}
		return nil
	case k.count != 0:
		if k.count >= len(line) {
			return nil
		}
		n, ok := parseInt(line[k.count])
		if !ok || n < 0 || n > int64(len(line)) {
			return nil
		}
		first, last, step = k.count+1, k.count+int(n), 1
	case k.first == 0:
		return nil
	case last < 0:
		last += len(line)
	}
	for i := first; i <= last && i < len(line); i += step {
		at = append(at, i)
	}
	return at
}

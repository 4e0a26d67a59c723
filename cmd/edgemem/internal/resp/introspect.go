package resp

import (
	"slices"
	"strings"
)

func commandSubcommands() []*command {
	sub := func(name string, arity int, since, tips, summary string, run func(c *client)) *command {
		return &command{name: "command|" + name, arity: arity, flags: "loading stale", acl: "connection", tips: tips,
			group: "server", since: since, cost: "O(N) for N commands", summary: summary, run: run}
	}
	const unordered = "nondeterministic_output_order"
	return []*command{
		sub("count", 2, "2.8.13", "", "Counts the commands.", func(c *client) { c.int(int64(len(c.srv.table.listed))) }),
		sub("info", -2, "2.8.13", unordered, "Describes commands to programs.", commandInfo),
		sub("docs", -2, "7.0.0", unordered, "Describes commands to people.", commandDocs),
		sub("list", -2, "7.0.0", unordered, "Lists the commands' names.", commandList),
		sub("getkeys", -4, "2.8.13", "", "Tells which arguments of a command line are keys.", commandGetKeys),
		sub("getkeysandflags", -4, "7.0.0", "", "Tells which arguments are keys, and how they are used.", commandGetKeysAndFlags),
		sub("help", 2, "5.0.0", "", "Lists the subcommands.", func(c *client) { c.help(commandHelp) }),
	}
}

// commandAll is COMMAND alone.
func commandAll(c *client) {
	c.array(len(c.srv.table.listed))
	for _, cmd := range c.srv.table.listed {
		c.describeCommand(cmd)
	}
}

func commandInfo(c *client) {
	if len(c.args) == 2 {
		commandAll(c)
		return
	}
	c.array(len(c.args) - 2)
	for _, name := range c.args[2:] {
		if cmd := c.srv.table.told(name); cmd != nil {
			c.describeCommand(cmd)
			continue
		}
		c.nullArray()
	}
}

// told finds a command or "container|subcommand" that COMMAND tells of.
func (t *table) told(name []byte) *command {
	container, sub, isSub := strings.Cut(string(name), "|")
	cmd := t.find([]byte(container))
	if cmd != nil && isSub {
		cmd = cmd.sub([]byte(sub))
	}
	if cmd == nil || cmd.refusal != "" {
		return nil
	}
	return cmd
}

// describeCommand is one element of COMMAND INFO.
func (c *client) describeCommand(cmd *command) {
	c.array(10)
	c.bulkString(cmd.name)
	c.int(int64(cmd.arity))
	c.statusSet(strings.Fields(cmd.flags))
	c.int(int64(cmd.keys.first))
	c.int(int64(cmd.keys.last))
	c.int(int64(cmd.keys.step))
	c.statusSet(cmd.aclList)
	c.setOf(len(strings.Fields(cmd.tips)))
	for _, tip := range strings.Fields(cmd.tips) {
		c.bulkString(tip)
	}
	c.describeKeys(cmd.keys)
	subs := cmd.toldSubs()
	c.array(len(subs))
	for _, sub := range subs {
		c.describeCommand(sub)
	}
}

func (c *client) statusSet(names []string) {
	c.setOf(len(names))
	for _, name := range names {
		c.status(name)
	}
}

// toldSubs are the subcommands that exist here.
func (cmd *command) toldSubs() []*command {
	var out []*command
	for _, sub := range cmd.subs {
		if sub.refusal == "" {
			out = append(out, sub)
		}
	}
	return out
}

// describeKeys is the set of key specifications, one for each way in which keys are used.
func (c *client) describeKeys(k keySpec) {
	if k.none() {
		c.setOf(0)
		return
	}
	ways := k.ways()
	c.setOf(len(ways))
	for _, way := range ways {
		c.describeWay(way)
	}
}

func (c *client) describeWay(k keySpec) {
	c.mapOf(3)
	c.bulkString("flags")
	c.statusSet(strings.Fields(k.access))
	c.bulkString("begin_search")
	switch {
	case k.find != nil:
		c.spec("unknown", nil, nil)
		c.bulkString("find_keys")
		c.spec("unknown", nil, nil)
		return
	case k.word != "":
		c.describeWord(k)
		return
	case k.count != 0:
		c.spec("index", map[string]int{"index": k.count}, []string{"index"})
		c.bulkString("find_keys")
		c.spec("keynum", map[string]int{"keynumidx": 0, "firstkey": 1, "keystep": 1}, []string{"keynumidx", "firstkey", "keystep"})
		return
	}
	c.spec("index", map[string]int{"index": k.first}, []string{"index"})
	last := k.last
	if last > 0 {
		last -= k.first
	}
	c.bulkString("find_keys")
	c.spec("range", map[string]int{"lastkey": last, "keystep": k.step, "limit": 0}, []string{"lastkey", "keystep", "limit"})
}

// describeWord is describeWay of a key behind an option.
func (c *client) describeWord(k keySpec) {
	c.mapOf(2)
	c.bulkString("type")
	c.bulkString("keyword")
	c.bulkString("spec")
	c.mapOf(2)
	c.bulkString("keyword")
	c.bulkString(k.word)
	c.bulkString("startfrom")
	c.int(int64(k.from))
	c.bulkString("find_keys")
	last, limit := 0, 0
	if k.half {
		last, limit = -1, 2
	}
	c.spec("range", map[string]int{"lastkey": last, "keystep": 1, "limit": limit}, []string{"lastkey", "keystep", "limit"})
}

func (c *client) spec(kind string, values map[string]int, order []string) {
	c.mapOf(2)
	c.bulkString("type")
	c.bulkString(kind)
	c.bulkString("spec")
	c.mapOf(len(order))
	for _, name := range order {
		c.bulkString(name)
		c.int(int64(values[name]))
	}
}

// categories are the command's ACL categories in Redis's order: those of its flags, of its type, and its own.
func (cmd *command) categories() []string {
	has := make(map[string]bool)
	flags := strings.Fields(cmd.flags)
	has["write"] = slices.Contains(flags, "write")
	has["read"] = slices.Contains(flags, "readonly")
	has["admin"] = slices.Contains(flags, "admin")
	has["dangerous"] = has["admin"]
	has["fast"] = slices.Contains(flags, "fast")
	has["slow"] = !has["fast"]
	has["pubsub"] = slices.Contains(flags, "pubsub")
	has["keyspace"] = cmd.group == "generic" && cmd.subs == nil
	has["transaction"] = cmd.group == "transactions"
	has["blocking"] = slices.Contains(flags, "blocking")
	if cmd.subs == nil {
		has[groupCategories[cmd.group]] = true
	}
	for _, name := range strings.Fields(cmd.acl) {
		name, not := strings.CutPrefix(name, "-")
		has[name] = !not
	}
	var out []string
	for _, name := range aclCategories {
		if has[name] {
			out = append(out, "@"+name)
		}
	}
	return out
}

// groupCategories are the categories that a command belongs to by its group.
var groupCategories = map[string]string{
	"string": "string", "set": "set", "hash": "hash", "bitmap": "bitmap", "list": "list", "sorted-set": "sortedset",
	"hyperloglog": "hyperloglog", "geo": "geo", "stream": "stream", "scripting": "scripting",
}

// aclCategories are all categories of Redis, in its order.
var aclCategories = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub",
	"admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
}

func commandDocs(c *client) {
	told := c.srv.table.listed
	if len(c.args) > 2 {
		told = nil
		for _, name := range c.args[2:] {
			if cmd := c.srv.table.told(name); cmd != nil {
				told = append(told, cmd)
			}
		}
	}
	c.mapOf(len(told))
	for _, cmd := range told {
		c.bulkString(cmd.name)
		c.document(cmd)
	}
}

// document is what COMMAND DOCS says of one command. The summary carries what is particular in a mesh,
// since that is the text which clients show.
func (c *client) document(cmd *command) {
	subs := cmd.toldSubs()
	pairs := 4
	if len(subs) > 0 {
		pairs++
	}
	c.mapOf(pairs)
	for _, pair := range [][2]string{
		{"summary", strings.TrimSpace(cmd.summary + " " + cmd.note)}, {"since", cmd.since}, {"group", cmd.group}, {"complexity", cmd.cost},
	} {
		c.bulkString(pair[0])
		c.bulkString(pair[1])
	}
	if len(subs) == 0 {
		return
	}
	c.bulkString("subcommands")
	c.mapOf(len(subs))
	for _, sub := range subs {
		c.bulkString(sub.name)
		c.document(sub)
	}
}

// commandList is COMMAND LIST, with its filters.
func commandList(c *client) {
	keep := func(*command) bool { return true }
	switch {
	case len(c.args) == 2:
	case len(c.args) == 5 && equalFold(c.args[2], "filterby"):
		keep = c.listBy(lowerWord(c.args[3]), string(c.args[4]))
	default:
		keep = nil
	}
	if keep == nil {
		c.fail(errSyntax)
		return
	}
	var names []string
	for _, cmd := range c.srv.table.listed {
		for _, one := range append([]*command{cmd}, cmd.toldSubs()...) {
			if keep(one) {
				names = append(names, one.name)
			}
		}
	}
	c.bulks(names)
}

// listBy is a filter of COMMAND LIST, or nil for one that Redis does not know.
func (c *client) listBy(by, text string) func(*command) bool {
	switch by {
	case "module":
		return func(*command) bool { return false }
	case "aclcat":
		return func(cmd *command) bool { return slices.Contains(cmd.aclList, "@"+strings.ToLower(text)) }
	case "pattern":
		return func(cmd *command) bool { return globMatch(text, cmd.name, true) }
	}
	return nil
}

func commandGetKeys(c *client) {
	_, at, ok := c.keysOfLine()
	if !ok {
		return
	}
	c.array(len(at))
	for _, i := range at {
		c.bulk(c.args[2+i])
	}
}

func commandGetKeysAndFlags(c *client) {
	cmd, at, ok := c.keysOfLine()
	if !ok {
		return
	}
	c.array(len(at))
	for _, i := range at {
		c.array(2)
		c.bulk(c.args[2+i])
		c.statusSet(strings.Fields(cmd.accessOf(c.args[2:], i)))
	}
}

// accessOf is how the key at a position is used. It narrows the access of a command whose flags vary: SET without
// GET only overwrites.
func (cmd *command) accessOf(line [][]byte, at int) string {
	if cmd.name == "set" {
		return accessOfSet(line)
	}
	for _, way := range cmd.keys.ways() {
		if slices.Contains(way.within(line), at) {
			return way.access
		}
	}
	return ""
}

func accessOfSet(line [][]byte) string {
	for _, arg := range line[min(3, len(line)):] {
		if equalFold(arg, "get") {
			return "RW access update"
		}
	}
	return "OW update"
}

// keysOfLine finds the keys of the command line that starts at args[2].
func (c *client) keysOfLine() (cmd *command, at []int, ok bool) {
	line := c.args[2:]
	cmd = c.srv.table.told(line[0])
	if cmd != nil && cmd.subs != nil && len(line) > 1 {
		cmd = cmd.sub(line[1])
	}
	switch {
	case cmd == nil || cmd.refusal != "":
		c.fail("ERR Invalid command specified")
	case cmd.keys.none():
		c.fail("ERR The command has no key arguments")
	case !cmd.takes(len(line)):
		c.fail("ERR Invalid number of arguments specified for command")
	default:
		if at = cmd.keys.positions(line); len(at) > 0 {
			return cmd, at, true
		}
		c.fail("ERR Invalid arguments specified for command")
	}
	return nil, nil, false
}

var commandHelp = []string{
	"COMMAND <subcommand> [<arg> ...]. Subcommands are:",
	"(no subcommand), INFO [<command> ...]", "    Describe commands to programs.",
	"COUNT, LIST [FILTERBY (MODULE|ACLCAT|PATTERN) <text>]", "    Count or list the commands.",
	"DOCS [<command> ...]", "    Describe commands to people.",
	"GETKEYS <full command>, GETKEYSANDFLAGS <full command>", "    Tell which arguments are keys, and how they are used.",
	"HELP", "    This text.",
}

package resp

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	clientFlags = "noscript loading stale"
	adminFlags  = "admin noscript loading stale"
)

func clientSubcommands() []*command {
	sub := func(name string, arity int, flags, since, summary string, run func(c *client)) *command {
		return &command{name: "client|" + name, arity: arity, flags: flags, acl: "connection", group: "connection",
			since: since, cost: "O(1)", summary: summary, run: run}
	}
	subs := []*command{
		sub("id", 2, clientFlags, "5.0.0", "Tells this connection's number.", func(c *client) { c.int(c.id) }),
		sub("getname", 2, clientFlags, "2.6.9", "Tells this connection's name.", clientGetName),
		sub("setname", 3, clientFlags, "2.6.9", "Names this connection.", clientSetName),
		sub("setinfo", 4, clientFlags, "7.2.0", "Notes the client library's name or version.", clientSetInfo),
		sub("info", 2, clientFlags, "6.2.0", "Describes this connection.", func(c *client) { c.verbatim(c.describe() + "\n") }),
		sub("list", -2, adminFlags, "2.4.0", "Describes the connections.", clientList),
		sub("kill", -3, adminFlags, "2.4.0", "Closes connections.", clientKill),
		sub("no-evict", 3, adminFlags, "7.0.0", "Accepted; clients are not evicted here.", func(c *client) { c.onOff(&c.noEvict) }),
		sub("no-touch", 3, clientFlags, "7.2.0", "Accepted; reads do not change how long a key is kept.", func(c *client) { c.onOff(&c.noTouch) }),
		sub("reply", 3, clientFlags, "3.2.0", "Turns replies on or off, or skips the next one.", clientReply),
		sub("unpause", 2, adminFlags, "6.2.0", "Accepted; clients cannot be paused here.", func(c *client) { c.ok() }),
		sub("tracking", -3, clientFlags, "6.0.0", "Tells this connection when keys change that it has read, or all with a prefix.", clientTracking),
		sub("caching", 3, clientFlags, "6.0.0", "Says whether the next command's keys are tracked.", clientCaching),
		sub("getredir", 2, clientFlags, "6.0.0", "Tells where invalidations go: 0 to this connection, -1 if it tracks nothing.", clientGetRedir),
		sub("trackinginfo", 2, clientFlags, "6.2.0", "Tells how keys are tracked.", trackingInfo),
		sub("unblock", -3, adminFlags, "5.0.0", "Ends the wait of a connection that waits for a key, as a timeout or an error would.", clientUnblock),
		sub("help", 2, "loading stale", "5.0.0", "Lists the subcommands.", func(c *client) { c.help(clientHelp) }),
	}
	subs[4].tips, subs[5].tips = "nondeterministic_output", "nondeterministic_output"
	subs[11].note = "A change that comes by a merge is told like a local one, and an expiry within a second of its instant. REDIRECT is refused: use RESP3."
	return append(subs,
		&command{name: "client|pause", refusal: "nothing may stop the clients of an edge node but its operator"})
}

func clientGetName(c *client) {
	if c.labels.name == "" {
		c.null()
		return
	}
	c.bulkString(c.labels.name)
}

const errClientName = "ERR Client names cannot contain spaces, newlines or special characters."

// nameFits admits what CLIENT LIST can show: printable ASCII without blanks.
func nameFits(name []byte) bool {
	for _, ch := range name {
		if ch < '!' || ch > '~' {
			return false
		}
	}
	return true
}

func clientSetName(c *client) {
	if !nameFits(c.args[2]) {
		c.fail(errClientName)
		return
	}
	c.setName(string(c.args[2]))
	c.ok()
}

func clientSetInfo(c *client) {
	option, text := strings.ToLower(cut(c.args[2])), c.args[3]
	if option != "lib-name" && option != "lib-ver" {
		c.fail("ERR Unrecognized option '" + cText(c.args[2]) + "'")
		return
	}
	if !nameFits(text) {
		c.fail("ERR " + option + " cannot contain spaces, newlines or special characters.")
		return
	}
	c.mu.Lock()
	if option == "lib-name" {
		c.labels.libName = string(text)
	} else {
		c.labels.libVersion = string(text)
	}
	c.mu.Unlock()
	c.ok()
}

// onOff is a subcommand whose one argument is ON or OFF.
func (c *client) onOff(setting *bool) {
	switch lowerWord(c.args[2]) {
	case "on":
		*setting = true
	case "off":
		*setting = false
	default:
		c.fail(errSyntax)
		return
	}
	c.ok()
}

func clientReply(c *client) {
	switch lowerWord(c.args[2]) {
	case "on":
		c.replyOff = false
		c.ok()
	case "off":
		c.replyOff = true
	case "skip":
		c.skipNext = !c.replyOff
	default:
		c.fail(errSyntax)
	}
}

// describe is this client's line of CLIENT LIST: Redis's fields in Redis's order, then our own. Those
// that other goroutines may ask for are read atomically or under mu.
func (c *client) describe() string {
	c.mu.Lock()
	l := c.labels
	c.mu.Unlock()
	now, proto := c.srv.sinceStart(), 2
	if l.resp3 {
		proto = 3
	}
	last := "NULL"
	if cmd := c.lastCmd.Load(); cmd != nil {
		last = cmd.name
	}
	flags := "N"
	if l.listening() {
		flags = "P"
	}
	if l.waiter != nil {
		flags = strings.TrimPrefix(flags, "N") + "b"
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=-1 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=-1"+
		" qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=%d events=r cmd=%s user=%s redir=-1 resp=%d"+
		" lib-name=%s lib-ver=%s region=%s",
		c.id, c.addr, c.laddr, l.name, int(time.Since(c.created).Seconds()), int(time.Duration(now-c.since.Load()).Seconds()), flags, databaseOf(l.region),
		l.listens[ofChannel], l.listens[ofPattern], l.listens[ofShard],
		c.held.Load(), last, l.user, proto, l.libName, l.libVersion, l.region)
}

// listening says whether the client is one of Redis's type pubsub.
func (l *labels) listening() bool { return l.listens != [channelKinds]int{} }

func (c *client) listensNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.labels.listening()
}

// databaseOf is the number that selects a region, -1 for one with a name only.
func databaseOf(region string) int64 {
	if region == defaultRegion {
		return 0
	}
	if n, ok := parseInt([]byte(region)); ok {
		return n
	}
	return -1
}

func clientList(c *client) {
	pick, ok := c.listFilter()
	if !ok {
		return
	}
	var out strings.Builder
	for _, other := range c.srv.snapshot() {
		if pick(other) {
			out.WriteString(other.describe())
			out.WriteByte('\n')
		}
	}
	c.verbatim(out.String())
}

// listFilter reads CLIENT LIST's options: none, TYPE t, or ID id….
func (c *client) listFilter() (pick func(*client) bool, ok bool) {
	switch {
	case len(c.args) == 2:
		return func(*client) bool { return true }, true
	case len(c.args) == 4 && lowerWord(c.args[2]) == "type":
		return c.typeFilter(c.args[3])
	case len(c.args) > 3 && lowerWord(c.args[2]) == "id":
		return c.idFilter(c.args[3:])
	}
	c.fail(errSyntax)
	return nil, false
}

// typeFilter knows Redis's types of clients; here there are normal ones and those that listen to channels.
func (c *client) typeFilter(name []byte) (pick func(*client) bool, ok bool) {
	switch lowerWord(name) {
	case "normal":
		return func(other *client) bool { return !other.listensNow() }, true
	case "pubsub":
		return (*client).listensNow, true
	case "master", "replica", "slave":
		return func(*client) bool { return false }, true
	}
	c.fail("ERR Unknown client type '" + cText(name) + "'")
	return nil, false
}

func (c *client) idFilter(args [][]byte) (pick func(*client) bool, ok bool) {
	ids := make(map[int64]bool, len(args))
	for _, arg := range args {
		id, ok := parseInt(arg)
		if !ok {
			c.fail("ERR Invalid client ID")
			return nil, false
		}
		ids[id] = true
	}
	return func(other *client) bool { return ids[other.id] }, true
}

// clientKill is both forms: one address, or filters of which all must match.
func clientKill(c *client) {
	if len(c.args) == 3 {
		if c.killWhere(func(other *client) bool { return other.addr == string(c.args[2]) }, false) == 0 {
			c.fail("ERR No such client")
			return
		}
		c.ok()
		return
	}
	pick, skipMe, ok := c.killFilters()
	if ok {
		c.int(int64(c.killWhere(pick, skipMe)))
	}
}

func (c *client) killFilters() (pick func(*client) bool, skipMe, ok bool) {
	skipMe = true
	var all []func(*client) bool
	for i := 2; i < len(c.args); i += 2 {
		if i+1 == len(c.args) {
			c.fail(errSyntax)
			return nil, false, false
		}
		next, val := (func(*client) bool)(nil), c.args[i+1]
		switch lowerWord(c.args[i]) {
		case "id":
			if id, isInt := parseInt(val); !isInt || id < 1 {
				c.fail("ERR client-id should be greater than 0")
				return nil, false, false
			}
			next, ok = c.idFilter([][]byte{val})
		case "addr":
			next, ok = func(other *client) bool { return other.addr == string(val) }, true
		case "laddr":
			next, ok = func(other *client) bool { return other.laddr == string(val) }, true
		case "type":
			next, ok = c.typeFilter(val)
		case "user":
			next, ok = c.userFilter(val)
		case "skipme":
			next, ok = func(*client) bool { return true }, c.yesNo(val, &skipMe)
		default:
			c.fail(errSyntax)
			return nil, false, false
		}
		if !ok {
			return nil, false, false
		}
		all = append(all, next)
	}
	return func(other *client) bool {
		for _, one := range all {
			if !one(other) {
				return false
			}
		}
		return true
	}, skipMe, true
}

func (c *client) userFilter(name []byte) (pick func(*client) bool, ok bool) {
	user := string(name)
	if c.srv.acl.account(user) == nil {
		c.fail("ERR No such user '" + cText(name) + "'")
		return nil, false
	}
	return func(other *client) bool { return other.userName() == user }, true
}

func (c *client) yesNo(word []byte, setting *bool) bool {
	switch {
	case bytes.EqualFold(word, []byte("yes")):
		*setting = true
	case bytes.EqualFold(word, []byte("no")):
		*setting = false
	default:
		c.fail(errSyntax)
		return false
	}
	return true
}

// killWhere closes the clients that pick accepts and counts them. The caller itself ends after its reply.
func (c *client) killWhere(pick func(*client) bool, skipMe bool) int {
	n := 0
	for _, other := range c.srv.snapshot() {
		switch {
		case !pick(other) || (other == c && skipMe):
			continue
		case other == c:
			c.closing = true
		default:
			other.kill()
		}
		n++
	}
	return n
}

// help answers with lines of text.
func (c *client) help(lines []string) {
	c.array(len(lines))
	for _, line := range lines {
		c.status(line)
	}
}

var clientHelp = []string{
	"CLIENT <subcommand> [<arg> ...]. Subcommands are:",
	"GETNAME, SETNAME <name>", "    Read or set the name of this connection.",
	"ID, INFO", "    Tell the number of this connection, or all about it.",
	"KILL <ip:port> | KILL <option> <value> ...", "    Close connections. Options: ID, ADDR, LADDR, TYPE, USER, SKIPME (yes|no).",
	"LIST [TYPE <type> | ID <id> ...]", "    Describe the connections.",
	"REPLY (ON|OFF|SKIP)", "    Turn replies on or off, or skip the next one.",
	"SETINFO (LIB-NAME|LIB-VER) <text>", "    Note the client library.",
	"TRACKING (ON|OFF) [BCAST] [PREFIX <prefix> ...] [OPTIN|OPTOUT] [NOLOOP]", "    Be told when keys change. CACHING (YES|NO), GETREDIR and TRACKINGINFO belong to it.",
	"NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF), UNPAUSE", "    Accepted, for clients that ask at the start.",
	"HELP", "    This text.",
}

// tcpPort is the listener's port, 0 where it has none.
func tcpPort(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return strconv.Itoa(tcp.Port)
	}
	return "0"
}

package resp

import (
	"fmt"
	"slices"

	"github.com/edgemem/edgemem/fabric"
)

const handshake = "noscript loading stale fast no_auth allow_busy"

func connectionCommands() []*command {
	return []*command{
		{name: "ping", arity: -1, flags: "fast", acl: "connection",
			tips: "request_policy:all_shards response_policy:all_succeeded", group: "connection", since: "1.0.0", cost: "O(1)",
			summary: "Answers, to show that the server does.", is: flagSubscriber, run: ping},
		{name: "echo", arity: 2, flags: "loading stale fast", acl: "connection",
			group: "connection", since: "1.0.0", cost: "O(1)",
			summary: "Returns its argument.", run: func(c *client) { c.bulk(c.args[1]) }},
		{name: "hello", arity: -1, flags: handshake, acl: "connection",
			group: "connection", since: "6.0.0", cost: "O(1)",
			summary: "Chooses the protocol, 2 or 3, and tells about the server.", run: hello},
		{name: "auth", arity: -2, flags: handshake, acl: "connection",
			group: "connection", since: "1.0.0", cost: "O(1)",
			summary: "Authenticates with the server's password, or as a user of ACL SETUSER.", run: auth},
		{name: "select", arity: 2, flags: "loading stale fast", acl: "connection",
			group: "connection", since: "1.0.0", cost: "O(1)",
			summary: "Chooses the region by name or number.",
			note:    "Number 0 is the region default, any other number the region of that name. A region is created on first use.",
			run:     selectRegion},
		{name: "quit", arity: -1, flags: handshake, acl: "connection",
			group: "connection", since: "1.0.0", cost: "O(1)",
			summary: "Closes the connection after the replies so far.", is: flagAtOnce | flagSubscriber, run: quit},
		{name: "reset", arity: 1, flags: handshake, acl: "connection",
			group: "connection", since: "6.2.0", cost: "O(1)",
			summary: "Puts the connection back to how it began.", is: flagAtOnce | flagSubscriber, run: reset},
		{name: "client", arity: -2,
			group: "connection", since: "2.4.0", cost: "by subcommand",
			summary: "Commands about connections.", subs: clientSubcommands()},
	}
}

// defaultRegion is the region of database 0.
const defaultRegion = fabric.DefaultRegion

func ping(c *client) {
	if len(c.args) <= 2 && !c.resp3 && c.subs.any() { // as a message, so that a client which only waits for those can read it
		c.array(2)
		c.bulkString("pong")
		c.bulk(slices.Concat(c.args[1:]...))
		return
	}
	switch len(c.args) {
	case 1:
		c.raw("+PONG\r\n")
	case 2:
		c.bulk(c.args[1])
	default:
		c.fail("ERR wrong number of arguments for 'ping' command")
	}
}

func quit(c *client) {
	c.ok()
	c.closing = true
}

// helloOptions are what HELLO asks for. Nothing of it takes effect unless all of it can.
type helloOptions struct {
	version    int64 // 0: as it is
	auth       bool
	user, pass []byte
	name       []byte
	named      bool
}

func hello(c *client) {
	o, ok := c.parseHello()
	if !ok {
		return
	}
	if o.auth && !c.login(o.user, o.pass) {
		return
	}
	if !c.authed {
		c.fail("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if o.named {
		c.setName(string(o.name))
	}
	if o.version != 0 {
		c.setProtocol(o.version == 3)
	}
	c.greet()
}

func (c *client) parseHello() (o helloOptions, ok bool) {
	if len(c.args) > 1 {
		if o.version, ok = parseInt(c.args[1]); !ok {
			c.fail("ERR Protocol version is not an integer or out of range")
			return o, false
		}
		if o.version != 2 && o.version != 3 {
			c.fail("NOPROTO unsupported protocol version")
			return o, false
		}
	}
	for i := 2; i < len(c.args); i++ {
		word, more := lowerWord(c.args[i]), len(c.args)-1-i
		switch {
		case word == "auth" && more >= 2:
			o.auth, o.user, o.pass = true, c.args[i+1], c.args[i+2]
			i += 2
		case word == "setname" && more >= 1:
			o.named, o.name = true, c.args[i+1]
			i++
			if !nameFits(o.name) {
				c.fail(errClientName)
				return o, false
			}
		default:
			c.fail("ERR Syntax error in HELLO option '" + cText(c.args[i]) + "'")
			return o, false
		}
	}
	return o, true
}

// redisVersion is the version whose answers this server gives.
const redisVersion = "7.0.15"

// greet is HELLO's reply: what Redis says, so that no client is surprised.
func (c *client) greet() {
	c.mapOf(7)
	for _, pair := range [][2]string{{"server", "redis"}, {"version", redisVersion}} {
		c.bulkString(pair[0])
		c.bulkString(pair[1])
	}
	c.bulkString("proto")
	c.int(int64(c.protocol()))
	c.bulkString("id")
	c.int(c.id)
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		c.bulkString(pair[0])
		c.bulkString(pair[1])
	}
	c.bulkString("modules")
	c.array(0)
}

func (c *client) protocol() int {
	if c.resp3 {
		return 3
	}
	return 2
}

func (c *client) setProtocol(resp3 bool) {
	c.resp3 = resp3
	c.outbox.mu.Lock()
	c.outbox.resp3 = resp3
	c.outbox.mu.Unlock()
	c.mu.Lock()
	c.labels.resp3 = resp3
	c.mu.Unlock()
}

func (c *client) setName(name string) {
	c.mu.Lock()
	c.labels.name = name
	c.mu.Unlock()
}

func auth(c *client) {
	switch len(c.args) {
	case 2:
		if c.srv.acl.account(defaultUser).is.Load().nopass {
			c.fail("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
			return
		}
		if c.login([]byte(defaultUser), c.args[1]) {
			c.ok()
		}
	case 3:
		if c.login(c.args[1], c.args[2]) {
			c.ok()
		}
	default:
		c.fail(errSyntax)
	}
}

// login makes the connection one of a user, or answers a wrong password.
func (c *client) login(user, pass []byte) bool {
	x := c.srv.acl.login(string(user), pass)
	if x == nil {
		c.wrongPassword(user)
		return false
	}
	c.become(x)
	return true
}

// selectRegion is SELECT.
func selectRegion(c *client) {
	name, ok := c.regionName(c.args[1])
	if !ok {
		return
	}
	region, err := c.srv.cfg.Fabric.Region(name)
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	c.use(name, region)
	c.ok()
}

// regionName turns SELECT's argument into a region's name.
func (c *client) regionName(arg []byte) (name string, ok bool) {
	n, isNumber := parseInt(arg)
	switch {
	case isNumber && n < 0:
		c.fail("ERR DB index is out of range")
		return "", false
	case isNumber && n == 0:
		return defaultRegion, true
	}
	return string(arg), true
}

func (c *client) use(name string, region *fabric.Region) {
	c.region = region
	c.mu.Lock()
	c.labels.region = name
	c.mu.Unlock()
}

// currentRegion is the selected region. The default one is created by the first command that needs it.
func (c *client) currentRegion() (*fabric.Region, error) {
	if c.region != nil {
		return c.region, c.followHere(c.region)
	}
	region, err := c.srv.cfg.Fabric.Region(c.labels.region)
	if err != nil {
		return nil, fmt.Errorf("region %q: %w", c.labels.region, err)
	}
	c.region = region
	return region, c.followHere(region)
}

// reset is RESET: the connection is as it was when it began, and must authenticate again.
func reset(c *client) {
	c.endTransaction()
	c.leaveAll()
	c.untrackAll()
	c.endMonitoring()
	c.cache = cacheByMode
	c.use(defaultRegion, nil)
	c.setName("")
	c.setProtocol(false)
	c.replyOff, c.noEvict, c.noTouch = false, false, false
	c.beDefault()
	c.status("RESET")
}

package resp

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

func serverCommands() []*command {
	flush := func(name, flags, tips, since, summary, wrong string) *command {
		return &command{name: name, arity: -2, flags: flags, tips: tips, group: "scripting", since: since, cost: "O(1)", summary: summary,
			run: func(c *client) { c.flushNothing(wrong) }}
	}
	return []*command{
		{name: "command", arity: -1, flags: "loading stale", acl: "connection",
			tips: "nondeterministic_output_order", group: "server", since: "2.8.13", cost: "O(N) for N commands",
			summary: "Describes the commands.", run: commandAll, subs: commandSubcommands()},
		{name: "info", arity: -1, flags: "loading stale", acl: "dangerous",
			tips: "nondeterministic_output request_policy:all_shards response_policy:special", group: "server", since: "1.0.0", cost: "O(N) for N regions",
			summary: "Tells about the server, in sections.",
			note:    "Section crdt tells of replication.", is: flagNoMulti, run: info},
		{name: "time", arity: 1, flags: "loading stale fast",
			tips: "nondeterministic_output", group: "server", since: "2.6.0", cost: "O(1)",
			summary: "Tells this node's clock, in seconds and microseconds.", run: tellTime},
		{name: "config", arity: -2,
			group: "server", since: "2.0.0", cost: "by subcommand", summary: "Commands about settings.", subs: []*command{
				{name: "config|get", arity: -3, flags: adminFlags,
					group: "server", since: "2.0.0", cost: "O(N) for N settings",
					summary: "Tells the settings whose names match patterns.", is: flagNoMulti, run: configGet},
				{name: "config|resetstat", arity: 2, flags: adminFlags,
					group: "server", since: "2.0.0", cost: "O(1)",
					summary: "Sets the counters of INFO to zero.", run: func(c *client) { c.srv.stats.reset(); c.ok() }},
				{name: "config|help", arity: 2, flags: "loading stale",
					group: "server", since: "5.0.0", cost: "O(1)",
					summary: "Lists the subcommands.", run: func(c *client) { c.help(configHelp) }},
				{name: "config|set", arity: -4, flags: adminFlags, tips: "request_policy:all_nodes response_policy:all_succeeded",
					group: "server", since: "2.0.0", cost: "O(N) for N settings",
					summary: "Changes notify-keyspace-events and latency-monitor-threshold on this node until it stops; other settings come from its configuration.",
					is:      flagNoMulti, run: configSet},
				{name: "config|rewrite", refusal: "settings come from flags, EDGEMEM_* and the configuration file"},
			}},
		{name: "script", arity: -2,
			group: "scripting", since: "2.6.0", cost: "by subcommand", summary: "Scripts are not supported; FLUSH is accepted.", subs: refuseSubs("script", noScripts,
				flush("script|flush", "noscript", "request_policy:all_nodes response_policy:all_succeeded", "2.6.0", "Accepted; there are no scripts.", "ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
				"exists", "load", "kill", "debug", "help")},
		{name: "function", arity: -2,
			group: "scripting", since: "7.0.0", cost: "by subcommand", summary: "Functions are not supported; FLUSH is accepted.", subs: refuseSubs("function", noScripts,
				flush("function|flush", "write noscript", "request_policy:all_shards response_policy:all_succeeded", "7.0.0", "Accepted; there are no functions.", "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
				"load", "delete", "list", "stats", "kill", "dump", "restore", "help")},
	}
}

// refuseSubs are a container's subcommands: the one that works, and those that do not, with the reason.
func refuseSubs(container, reason string, works *command, refused ...string) []*command {
	subs := []*command{works}
	for _, name := range refused {
		subs = append(subs, &command{name: container + "|" + name, refusal: reason})
	}
	return subs
}

func tellTime(c *client) {
	now := time.Now().UnixMicro()
	c.array(2)
	c.bulkInt(now / 1e6)
	c.bulkInt(now % 1e6)
}

// flushNothing accepts FLUSH [SYNC|ASYNC] of things that there are none of.
func (c *client) flushNothing(wrong string) {
	if len(c.args) > 3 && c.cmd.name == "function|flush" {
		wrong = "ERR unknown subcommand or wrong number of arguments for '" + cut(c.args[1]) + "'. Try FUNCTION HELP."
	}
	if len(c.args) > 3 || (len(c.args) == 3 && !equalFold(c.args[2], "sync") && !equalFold(c.args[2], "async")) {
		c.fail(wrong)
		return
	}
	c.ok()
}

// settings are what CONFIG GET knows: what clients and tools ask for when they start, answered as this
// server is, under Redis's names.
func (s *Server) settings() map[string]string {
	return map[string]string{
		"save":                         "", // no snapshots: each region's acknowledgement says what is durable
		"appendonly":                   yesNoText(s.durable()),
		"appendfsync":                  appendFsync(s.durable()),
		"databases":                    "16", // what tools iterate over; SELECT takes any number
		"maxclients":                   strconv.Itoa(s.limits.Clients),
		"maxmemory":                    strconv.FormatInt(s.cfg.Fabric.Memory().Budget, 10),
		"maxmemory-policy":             "noeviction", // nothing is lost: what leaves memory is on disk
		"edgemem-eviction":             s.cfg.Fabric.Eviction().Policy,
		"proto-max-bulk-len":           strconv.Itoa(crdt.MaxValueBytes),
		"client-query-buffer-limit":    strconv.Itoa(s.limits.CommandBytes),
		"client-output-buffer-limit":   fmt.Sprintf("normal %d 0 0 slave 0 0 0 pubsub %d 0 0", s.limits.ReplyBytes, s.limits.PushBytes),
		"timeout":                      strconv.Itoa(int(s.limits.Idle.Seconds())),
		"tcp-keepalive":                strconv.Itoa(int(keepAlivePeriod.Seconds())),
		"port":                         tcpPort(s.cfg.Listener.Addr()),
		"cluster-enabled":              "no",
		"io-threads":                   "1",
		"notify-keyspace-events":       s.notifySet().String(),
		"replicaof":                    "",
		"slaveof":                      "",
		"slowlog-max-len":              strconv.Itoa(slowlogMax),
		"slowlog-log-slower-than":      strconv.FormatInt(slowerThan.Microseconds(), 10),
		"latency-monitor-threshold":    strconv.FormatInt(s.latency.threshold.Load(), 10),
		"lazyfree-lazy-user-del":       "yes",
		"lazyfree-lazy-user-flush":     "yes",
		"hash-max-listpack-entries":    "0",
		"set-max-intset-entries":       "0",
		"edgemem-flushall":             yesNoText(s.cfg.FlushAll),
		"edgemem-strict-local-checks":  yesNoText(s.cfg.Strict),
		"edgemem-max-reply-bytes":      strconv.Itoa(s.limits.ReplyBytes),
		"edgemem-client-buffers-bytes": strconv.FormatInt(s.limits.BufferedBytes, 10),
	}
}

func yesNoText(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// appendFsync is the nearest of Redis's words: a durable region acknowledges after the sync.
func appendFsync(durable bool) string {
	if durable {
		return "always"
	}
	return "no"
}

func configGet(c *client) {
	all := c.srv.settings()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.ContainsFunc(c.args[2:], func(p []byte) bool { return globMatch(string(p), name, true) }) {
			names = append(names, name)
		}
	}
	c.mapOf(len(names))
	for _, name := range names {
		c.bulkString(name)
		c.bulkString(all[name])
	}
}

func configSet(c *client) {
	if len(c.args)%2 == 1 {
		c.fail("ERR wrong number of arguments for 'config|set' command")
		return
	}
	known := c.srv.settings()
	for i := 2; i < len(c.args); i += 2 {
		name := strings.ToLower(cut(c.args[i]))
		if _, ok := known[name]; !ok {
			c.fail("ERR Unknown option or number of arguments for CONFIG SET - '" + cText(c.args[i]) + "'")
			return
		}
		switch name {
		case "notify-keyspace-events":
			if _, ok := parseNotify(string(c.args[i+1])); !ok {
				c.fail("ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
				return
			}
		case "latency-monitor-threshold":
			if _, ok := parseInt(c.args[i+1]); !ok {
				c.fail("ERR CONFIG SET failed (possibly related to argument 'latency-monitor-threshold') - argument couldn't be parsed into an integer")
				return
			}
		default:
			c.fail("ERR 'config|set' not supported by edgemem: " + name + " comes from flags, EDGEMEM_* and the configuration file")
			return
		}
	}
	for i := 2; i < len(c.args); i += 2 {
		if equalFold(c.args[i], "notify-keyspace-events") {
			c.srv.setNotify(string(c.args[i+1]))
			continue
		}
		millis, _ := parseInt(c.args[i+1])
		c.srv.latency.threshold.Store(max(millis, 0))
	}
	c.ok()
}

var configHelp = []string{
	"CONFIG <subcommand> [<arg> ...]. Subcommands are:",
	"GET <pattern> [<pattern> ...]", "    Tell the settings whose names match.",
	"SET notify-keyspace-events <classes>", "    Say which changes are told as messages.",
	"SET latency-monitor-threshold <milliseconds>", "    Say what LATENCY takes for slow; 0: nothing.",
	"RESETSTAT", "    Set the counters of INFO to zero.",
	"HELP", "    This text.",
}

package resp

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// The other part of the comparison with a real redis-server: handshakes, framing, introspection, and errors
// that random commands do not reach.

// checkHello compares all of HELLO's reply but the connection's number.
func checkHello(t *testing.T, ours, redis value) {
	t.Helper()
	for i := range ours.items {
		if ours.items[i].text == "id" {
			ours.items[i+1].text, redis.items[i+1].text = "", ""
		}
	}
	if ours.String() != redis.String() {
		t.Fatalf("HELLO\n edgemem: %s\n redis:   %s", ours, redis)
	}
}

func TestErrorsAsRedisGivesThem(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	for _, line := range []string{
		"hello", "hello 2", "hello 4", "hello x", "hello 3 foo", "hello 3 setname", "hello 3 auth a", "hello 3 auth a b", "hello 2 setname a\tb",
		"auth x", "auth default x", "auth a b", "auth a b c", "ping", "ping a", "ping a b", "echo", "select", "select -1",
		"client", "client foo", "client kill 1.2.3.4:5", "client kill id 0", "client kill id x", "client kill foo bar", "client kill type foo",
		"client kill user foo", "client kill skipme maybe", "client kill addr 1:2 laddr", "client kill id 99999", "client kill type pubsub",
		"client list type foo", "client list id", "client list id x", "client list foo", "client list type replica", "client reply foo", "client no-evict x",
		"client setname", "client setname é", "client getname", "client getredir", "client trackinginfo", "client id x", "client unpause",
		"config get", "config", "config get nope", "config get save", "config resetstat", "config resetstat x", "command getkeys", "command getkeys ping",
		"command getkeys nope a", "command getkeys get", "command getkeys get a b", "command getkeys get a", "command getkeys mset a 1 b 2",
		"command getkeys del a b c", "command getkeysandflags set a b", "command getkeysandflags set a b get", "command getkeysandflags mget a b",
		"command count x", "command info nope", "command docs nope", "command list filterby", "command list filterby foo bar", "command list filterby pattern nope*",
		"command list filterby module x", "script", "script flush", "script flush x", "script flush sync async", "function flush", "function flush x y", "function",
		"flushdb x", "flushdb sync async", "scan", "scan x", "scan 0 count", "scan 0 foo bar", "scan 0 type nope", "scan 99999999999999999999", "keys", "dbsize", "dbsize x",
		"sscan k", "sscan k x", "sscan k 0 type set", "hscan k 0 count 0", "set k v ex", "set k v ex 1 px 1", "set k v nx xx", "set k v keepttl ex 1",
		"set k v ex 10 ex 20", "set k v persist", "getex k ex", "getex k persist ex 1", "getex k keepttl", "getex k nx", "expire k 1 nx xx", "expire k 1 gt lt",
		"expire k 1 nx gt", "expire k x foo", "expire k 1 foo", "expire k 9223372036854775807", "pexpire k 9223372036854775807", "time x", "reset x", "quit x y",
		"set k 10", "decrby k -9223372036854775808", "incrby k 9223372036854775807", "incrbyfloat k 1e5000", "mset a 1 b", "msetnx a 1 b", "hset h f", "hset h f v g",
		"hmset h f v g", "object", "", "get k\x00",
	} {
		if line == "object" || line == "" {
			continue
		}
		b := dialBoth(t, addr, redis)
		b.run([][]string{{"set", "k", "v"}})
		args := strings.Fields(line)
		if args[0] == "hello" {
			checkHello(t, b.ours.do(args...), b.redis.do(args...))
			continue
		}
		b.run([][]string{args})
	}
}

// What cannot be parsed is answered alike, and ends the connection alike.
func TestFramingAsRedisDoes(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	const quit = "QUIT\r\n"
	for _, input := range []string{
		"*1\r\n$4\r\nPING\r\n", "PING\r\n", "PING\n", "\r\n\r\nPING\r\n", "*0\r\n", "*-1\r\n", "*-10\r\nPING\r\n", "  PING   \r\n", "ECHO \"a b\"\r\n", "ECHO 'a\\'b'\r\n",
		"ECHO \"\\x41\\n\\\"\"\r\n", "ECHO \"a\r\n", "ECHO \"a\"b\r\n", "ECHO 'a\r\n", "ECHO a\"b\"\r\n", "ECHO a\"b\"c\r\n", "ECHO \"\"\r\n", "SET\tk v\r\n",
		"*x\r\n", "*+1\r\n", "*01\r\n", "* 1\r\n", "*1\r\n$x\r\n", "*1\r\n$-1\r\n", "*1\r\n$-5\r\n", "*1\r\n$04\r\nPING\r\n", "*1\r\n:4\r\n", "*1\r\nPING\r\n",
		"*2147483648\r\n", "*1\r\n$536870913\r\n", "*1\r\n$99999999999999999999\r\n", "$4\r\nPING\r\n", "*1\r\n$0\r\n\r\n", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
		"POST / HTTP/1.1\r\n", "Host: a\r\n", "*1\r\n$4\r\nPING\r\n*1\r\n$-5\r\n*1\r\n$4\r\nPING\r\n",
	} {
		ours, theirs := exchange(t, "tcp", addr, input+quit), exchange(t, "unix", redis, input+quit)
		if ours != theirs {
			t.Errorf("%.100q\n edgemem: %.200q\n redis:   %.200q", input, ours, theirs)
		}
	}
}

// exchange sends input and returns all that comes back.
func exchange(t *testing.T, network, addr, input string) string {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	_, _ = io.WriteString(conn, input) // the server may close before it has read all
	return p.wantClosed()
}

// What COMMAND INFO says of each command that both have is the same, but for the subcommands that are
// absent here.
func TestCommandInfoAsRedis(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	for _, proto := range []string{"2", "3"} {
		b := dialBoth(t, addr, redis)
		b.ours.do("hello", proto)
		b.redis.do("hello", proto)
		for _, cmd := range newTable().listed {
			for _, one := range append([]*command{cmd}, cmd.toldSubs()...) {
				compareInfo(t, b, one)
			}
		}
	}
}

func compareInfo(t *testing.T, b *both, cmd *command) {
	t.Helper()
	ours, redis := b.ours.do("command", "info", cmd.name), b.redis.do("command", "info", cmd.name)
	if redis.items[0].kind == '_' {
		if !strings.HasPrefix(cmd.name, "em.") && cmd.group != "json" && !strings.HasPrefix(cmd.since, "7.2") {
			t.Errorf("Redis does not know %s", cmd.name)
		}
		return
	}
	for _, v := range []value{ours, redis} {
		v.items[0].items[9] = value{} // subcommands are compared one by one
		dropNotes(v)
		sortCommand(v)
	}
	if ours.String() != redis.String() {
		t.Errorf("%s\n edgemem: %s\n redis:   %s", cmd.name, ours, redis)
	}
}

// dropNotes takes Redis's remarks about key specifications out: they are prose.
func dropNotes(info value) {
	specs := info.items[0].items[8].items
	for i := range specs {
		if pairs := specs[i].items; len(pairs) > 1 && pairs[0].text == "notes" {
			specs[i].items = pairs[2:]
		}
	}
}

// Every command of Redis is either here or refused with a reason; none is "unknown".
func TestEveryCommandOfRedisIsAnswered(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	b := dialBoth(t, addr, redis)
	table := newTable()
	all := b.redis.do("command", "list").items
	if len(all) < 200 {
		t.Fatalf("Redis lists %d commands", len(all))
	}
	for _, name := range all {
		container, sub, isSub := strings.Cut(name.text, "|")
		cmd := table.find([]byte(container))
		if cmd == nil {
			t.Errorf("%s is not in the table", name.text)
			continue
		}
		if isSub && cmd.subs != nil && cmd.sub([]byte(sub)) == nil {
			t.Errorf("%s is not in the table", name.text)
		}
		if cmd.refusal != "" {
			if got := b.ours.do(container, "x").String(); got != "-ERR '"+container+"' not supported by edgemem: "+cmd.refusal {
				t.Error(got)
			}
		}
	}
}

// sortCommand sorts the sets within COMMAND's reply.
func sortCommand(v value) {
	for _, item := range v.items {
		sortCommand(item)
	}
	if v.kind == '~' {
		slices.SortFunc(v.items, func(a, b value) int { return strings.Compare(a.text, b.text) })
	}
}

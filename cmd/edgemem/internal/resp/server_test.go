package resp

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBasicCommands(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+PONG", "PING")
	p.want("+OK", "SET", "k", "v")
	p.want(`"v"`, "get", "k")
	p.want(":11", "INCRBY", "n", "11")
	p.want(":2", "SADD", "s", "a", "b")
	p.want(":1", "HSET", "h", "f", "1")
	p.want(`*["f" "1"]`, "HGETALL", "h")
	p.want("+hash", "TYPE", "h")
	p.want("-WRONGTYPE Operation against a key holding the wrong kind of value", "GET", "h")
	p.want("-ERR unknown command 'foo', with args beginning with: 'a' 'b' ", "foo", "a", "b")
	p.want("-ERR wrong number of arguments for 'get' command", "GET")
	p.want("-ERR 'xack' not supported by edgemem: "+noGroups, "XACK", "l", "g", "1-1")
}

func TestPipelineAnswersInOrder(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	const n = 5000
	var raw strings.Builder
	for range n {
		raw.WriteString(encode("INCR", "n"))
	}
	raw.WriteString("GET n\r\n")
	p.send(raw.String())
	for i := range n {
		if got := p.read().String(); got != ":"+strconv.Itoa(i+1) {
			t.Fatalf("reply %d is %s", i, got)
		}
	}
	if got := p.read().String(); got != `"5000"` {
		t.Fatal(got)
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want(`"default"`, "EM.REGION")
	p.want("+OK", "SET", "k", "in default")
	p.want("+OK", "SELECT", "7")
	p.want(`"7"`, "EM.REGION")
	p.want("nil", "GET", "k")
	p.want("+OK", "SELECT", "cars")
	p.want("+OK", "SET", "k", "in cars")
	p.want("+OK", "SELECT", "0")
	p.want(`"in default"`, "GET", "k")
	p.want("+OK", "SELECT", "default")
	p.want(`"in default"`, "GET", "k")
	p.want("-ERR DB index is out of range", "SELECT", "-1")
	if got := p.do("SELECT", "no spaces").String(); !strings.HasPrefix(got, "-ERR ") {
		t.Error(got)
	}
	p.want(`"default"`, "EM.REGION")
	p.want("+OK", "FLUSHDB", "ASYNC")
	p.want(":0", "EXISTS", "k")
	p.want("+OK", "SELECT", "cars")
	p.want(":1", "EXISTS", "k")
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) { c.Auth = "secret" })
	p := dial(t, addr)
	p.want("-NOAUTH Authentication required.", "GET", "k")
	p.want("-ERR wrong number of arguments for 'get' command", "GET")
	p.want("-WRONGPASS invalid username-password pair or user is disabled.", "AUTH", "wrong")
	p.want("-WRONGPASS invalid username-password pair or user is disabled.", "AUTH", "other", "secret")
	if got := p.do("HELLO", "3").String(); !strings.HasPrefix(got, "-NOAUTH HELLO must be called") {
		t.Error(got)
	}
	p.want("+OK", "AUTH", "default", "secret")
	p.want("nil", "GET", "k")
	p.want("+RESET", "RESET")
	p.want("-NOAUTH Authentication required.", "GET", "k")
	if got := p.do("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me").kind; got != '%' {
		t.Errorf("HELLO 3 answered %c", got)
	}
	p.want(`"me"`, "CLIENT", "GETNAME")
}

func TestUnauthenticatedClientsAreBounded(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) { c.Auth = "secret" })
	p := dial(t, addr)
	p.send("*1\r\n$20000\r\n")
	if got := p.wantClosed(); got != "-ERR Protocol error: unauthenticated bulk length\r\n" {
		t.Error(got)
	}
}

func TestListenerBeyondLoopbackNeedsPassword(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	cfg := Config{Listener: l, Fabric: testFabric(t)}
	if err := Serve(context.Background(), cfg); !errors.Is(err, ErrUnprotected) {
		t.Fatal(err)
	}
	cfg.Auth = "secret"
	if _, err := New(cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Limits.Clients = -1
	if _, err := New(cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "Limits.Clients") {
		t.Fatal(err)
	}
}

func TestClientReplies(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.send(encode("CLIENT", "REPLY", "SKIP") + encode("SET", "k", "1") + encode("GET", "k"))
	if got := p.read().String(); got != `"1"` {
		t.Error(got)
	}
	p.send(encode("CLIENT", "REPLY", "OFF") + encode("SET", "k", "2") + encode("FOO") + encode("CLIENT", "REPLY", "ON"))
	if got := p.read().String(); got != "+OK" {
		t.Error(got)
	}
	p.want(`"2"`, "GET", "k")
}

func TestClientCommands(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p, q := dial(t, addr), dial(t, addr)
	p.want("+OK", "CLIENT", "SETNAME", "worker-1")
	p.want("+OK", "CLIENT", "SETINFO", "LIB-NAME", "go-test")
	p.want("-ERR Client names cannot contain spaces, newlines or special characters.", "CLIENT", "SETNAME", "a b")
	q.want("+PONG", "PING")
	list := p.do("CLIENT", "LIST").text
	if strings.Count(list, "\n") != 2 || !strings.Contains(list, "name=worker-1") || !strings.Contains(list, "lib-name=go-test") {
		t.Error(list)
	}
	id := q.do("CLIENT", "ID").text
	p.want(":1", "CLIENT", "KILL", "ID", id)
	q.wantClosed()
	p.want(":0", "CLIENT", "KILL", "ID", id)
	p.want("-ERR unknown subcommand 'foo'. Try CLIENT HELP.", "CLIENT", "foo")
	p.want(":1", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
	p.wantClosed()
	if st := s.Stats(); st.Connections != 2 || st.Commands < 8 {
		t.Errorf("%+v", st)
	}
}

func TestQuit(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.send(encode("SET", "k", "v") + encode("QUIT") + encode("SET", "k", "w"))
	if got := p.wantClosed(); got != "+OK\r\n+OK\r\n" {
		t.Errorf("%q", got)
	}
	q := dial(t, addr)
	q.want(`"v"`, "GET", "k")
}

func TestMaxClients(t *testing.T) {
	t.Parallel()
	s, addr := start(t, func(c *Config) { c.Limits.Clients = 1 })
	p := dial(t, addr)
	p.want("+PONG", "PING")
	q := dial(t, addr)
	if got := q.wantClosed(); got != "-ERR max number of clients reached\r\n" {
		t.Errorf("%q", got)
	}
	if st := s.Stats(); st.Rejected != 1 || st.Clients != 1 {
		t.Errorf("%+v", st)
	}
}

func TestFlushAllIsRefusedUnlessAllowed(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	if got := dial(t, addr).do("FLUSHALL").String(); !strings.HasPrefix(got, "-ERR 'flushall' not supported by edgemem: ") {
		t.Error(got)
	}
	_, addr = start(t, func(c *Config) { c.FlushAll = true })
	p := dial(t, addr)
	p.want("+OK", "SET", "a", "1")
	p.want("+OK", "SELECT", "other")
	p.want("+OK", "SET", "b", "1")
	p.want("-ERR syntax error", "FLUSHALL", "now")
	p.want("+OK", "FLUSHALL", "SYNC")
	p.want(":0", "DBSIZE")
	p.want("+OK", "SELECT", "0")
	p.want(":0", "DBSIZE")
}

func TestStrictServerRefusesLocalChecks(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) { c.Strict = true })
	p := dial(t, addr)
	for _, line := range []string{"SETNX k v", "SET k v NX", "SET k v XX GET", "GETSET k v", "MSETNX k v", "HSETNX k f v"} {
		if got := p.do(strings.Fields(line)...).String(); !strings.Contains(got, "this server is strict") {
			t.Errorf("%s: %s", line, got)
		}
	}
	p.want(":0", "EXISTS", "k")
	p.want("+OK", "SET", "k", "v")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "SET", "k", "v")
	text := p.do("INFO").text
	for _, line := range []string{
		"# Server\r\nredis_version:7.0.15\r\n", "edgemem_version:test\r\n", "edgemem_node:test node\r\n", "loading:0\r\n", "role:master\r\n",
		"connected_clients:1\r\n", "db0:keys=1,", "# CRDT\r\n", "alarms:0\r\n", "region_default:ack=memory,entries=1,", "complete_default:age_ms=0,nodes=0,",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("INFO lacks %q:\n%s", line, text)
		}
	}
	if text := p.do("INFO", "commandstats").text; !strings.Contains(text, "cmdstat_set:calls=1,") || strings.Contains(text, "# Server") {
		t.Error(text)
	}
	if got := p.do("INFO", "nothing").text; got != "" {
		t.Error(got)
	}
	p.do("HELLO", "3")
	if got := p.do("INFO", "server"); got.kind != '=' || !strings.HasPrefix(got.text, "txt:# Server") {
		t.Error(got)
	}
	p.want("+OK", "CONFIG", "RESETSTAT")
	if text := p.do("INFO", "stats").text; !strings.Contains(text, "total_connections_received:0") {
		t.Error(text)
	}
}

func TestConfigGet(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want(`*["save" ""]`, "CONFIG", "GET", "save")
	p.want(`*["appendonly" "no"]`, "CONFIG", "GET", "APPENDONLY")
	p.want(`*["maxmemory" "0" "maxmemory-policy" "noeviction"]`, "CONFIG", "GET", "maxmem*", "maxmemory")
	p.want("*[]", "CONFIG", "GET", "requirepass")
	p.do("HELLO", "3")
	p.want(`%["databases" "16"]`, "CONFIG", "GET", "databases")
	if got := p.do("CONFIG", "SET", "maxmemory", "1").String(); !strings.HasPrefix(got, "-ERR 'config|set' not supported by edgemem: ") {
		t.Error(got)
	}
}

func TestSizesThatNoRegionStores(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	long, large := strings.Repeat("k", 65537), strings.Repeat("v", 1<<20+1)
	p.want("-ERR a key of 65537 bytes is longer than the 65536 that edgemem stores", "SET", long, "v")
	p.want("-ERR a value of 1048577 bytes is longer than the 1048576 that edgemem stores", "SET", "k", large)
	p.want("-ERR a member of 65537 bytes is longer than the 65536 that edgemem stores", "SADD", "s", "a", long)
	p.want("-ERR a field of 65537 bytes is longer than the 65536 that edgemem stores", "HSET", "h", "f", "v", long, "v")
	p.want("-ERR a value of 1048577 bytes is longer than the 1048576 that edgemem stores", "HSET", "h", "f", large)
	p.want(":0", "EXISTS", "k", "s", "h")
	p.want("+OK", "SET", "k", large[1:])
	p.want("-ERR string exceeds maximum allowed size (proto-max-bulk-len)", "APPEND", "k", "v")
	p.want("nil", "GET", long)
}

package resp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/bubble"
)

// TestUsersMay: what Redis denies is denied, in its words, and nothing else.
func TestUsersMay(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	redis := realRedis(t)
	admin := dialBoth(t, addr, redis)
	users := [][]string{
		{"on", ">pw", "~app:*", "&ch:*", "+get", "+set", "+mget", "+copy", "+publish", "+psubscribe", "+subscribe", "+sort", "+multi", "+exec", "+config|get", "+acl|whoami"},
		{"on", ">pw", "%R~in:*", "%W~out:*", "+@all", "-@dangerous", "allchannels"},
		{"on", ">pw", "%RW~x", "~y?", "+@read", "+@string", "-append", "-getrange"},
		{"on", ">pw", "allkeys", "+@all", "-config", "+config|get", "-@pubsub"},
		{"on", ">pw", "+@all", "-@all", "+ping", "~*"},
		{"on", ">pw", "allcommands", "~app:*", "-@write"},
	}
	for i, rules := range users {
		admin.run([][]string{append([]string{"acl", "setuser", string(rune('a' + i))}, rules...)})
	}
	lines := []string{
		"get app:1", "get in:1", "get out:1", "get x", "get y1", "get y", "set app:1 v", "set out:1 v", "set in:1 v", "set x v get", "set out:1 v get", "set in:1 v get",
		"mget app:1 app:2", "mget app:1 other", "mset app:1 a x b", "copy in:1 out:1", "copy out:1 in:1", "copy app:1 app:2", "append x v", "getrange x 0 1", "del x", "del app:1",
		"rename in:1 out:1", "rename app:1 app:2", "publish ch:1 m", "publish other m", "subscribe ch:1", "subscribe ch:1 other", "psubscribe ch:*", "psubscribe ch:1", "ssubscribe ch:2",
		"spublish other m", "config get maxmemory", "config set appendonly no", "acl whoami", "acl users", "ping", "auth x", "hello", "sadd app:s m", "sinterstore out:1 in:1 in:2", "sinterstore in:1 in:1",
		"zunionstore out:z 2 in:a in:b", "zunionstore out:z 2 in:a out:b", "sort app:1", "sort in:1 store out:1", "sort in:1 store in:2", "sort out:1", "sort_ro in:1", "xread streams in:1 0", "xread streams in:1 out:2 0 0",
		"lmpop 2 app:1 app:2 left", "lmpop 2 app:1 b left", "object encoding x", "object encoding z", "georadius in:1 0 0 1 m store out:1", "georadius in:1 0 0 1 m store in:1", "keys *", "flushall", "multi", "client list",
		"client id", "expire y1 10", "getex x", "getex y1 ex 1", "bitop not app:a app:b", "bitop and app:a b", "pfcount in:1", "pfmerge out:1 in:1", "smove in:a in:b m", "touch x", "exists app:1 app:2", "exists app:1 b", "dbsize",
		"memory usage x", "memory usage app:1", "lpos app:l v", "blpop app:1 app:2 0", "zrangestore out:1 in:1 0 1", "zrangestore in:1 in:1 0 1", "command", "monitor", "incr app:n", "scan 0",
	}
	for i := range users {
		var batch [][]string
		for _, line := range lines {
			batch = append(batch, append([]string{"acl", "dryrun", string(rune('a' + i))}, strings.Fields(line)...))
		}
		admin.run(batch)
	}
	bob := dialBoth(t, addr, redis)
	bob.run([][]string{
		{"auth", "a", "wrong"}, {"auth", "nobody", "pw"}, {"acl", "whoami"}, {"auth", "a", "pw"}, {"acl", "whoami"}, {"acl", "users"}, {"get", "other"}, {"get", "app:1"}, {"set", "app:1", "v"}, {"mget", "app:1", "b"}, {"sadd", "app:1", "x"},
		{"config", "set", "a", "b"}, {"publish", "other", "x"}, {"psubscribe", "*"}, {"sort", "app:none", "by", "w*"}, {"sort", "app:none", "get", "w*"}, {"sort", "app:none", "get", "#"}, {"nosuch"}, {"get"},
		{"multi"}, {"sadd", "app:x", "1"}, {"exec"}, {"multi"}, {"get", "app:1"}, {"set", "app:2", "v"},
	})
	admin.run([][]string{{"acl", "setuser", "a", "-set"}})
	bob.run([][]string{{"exec"}, {"get", "app:2"}})
	admin.run([][]string{{"acl", "setuser", "a", "off"}})
	bob.run([][]string{{"get", "app:1"}, {"auth", "a", "pw"}, {"hello", "2", "auth", "a", "pw"}, {"reset"}, {"acl", "whoami"}})
	admin.run([][]string{{"acl", "log", "reset"}, {"client", "kill", "user", "nobody"}})
}

// TestUsersAreMade compares what SETUSER takes, and what it says of what it does not.
func TestUsersAreMade(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	b := dialBoth(t, addr, realRedis(t))
	var batch [][]string
	for _, rules := range []string{
		"", "on", "nonsense", "+nosuch", "+@nosuch", "+config|nosuch", "-config|get", "+config|get|x", "%RX~a", "%~a", "%R~a %W~b ~c allkeys", "~foo", "resetkeys %RW~d %R~e %W~e", "allchannels &foo", "resetchannels &foo &foo", "#zz",
		"#E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "#e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "<nope", "!e3b0", ">a >b <a", "nopass", ">c", "resetpass", "reset", "on off",
		"sanitize-payload", "skip-sanitize-payload", "~* ~*", "resetkeys ~* %R~x", "clearselectors", "allcommands", "nocommands", "+eval", "+@all -@all", "-@all +get",
	} {
		batch = append(batch, append([]string{"acl", "setuser", "u"}, strings.Fields(rules)...), []string{"acl", "getuser", "u"}, []string{"acl", "list"})
	}
	b.run(batch[:len(batch)-9]) // +eval is listed, and refused when it is run
	b.run([][]string{{"acl", "setuser", "two words"}, {"acl", "setuser", "v", "~a b"}, {"acl", "setuser"}, {"acl", "deluser", "nobody", "default"}, {"acl", "deluser", "nobody", "u"}, {"acl", "users"},
		{"acl", "getuser", "u"}, {"acl", "dryrun", "nobody", "get", "x"}, {"acl", "setuser", "w", "+get"}, {"acl", "dryrun", "w", "nosuch"}, {"acl", "dryrun", "w", "get"}, {"acl", "save"}, {"acl", "load"}, {"acl", "nosuch"}})
	b.ours.want("-ERR Error in ACL SETUSER modifier '(+get': selectors are not supported by edgemem: a user has one list of rules", "acl", "setuser", "w", "(+get")
}

// TestUsersAreKept: ACL SAVE keeps users, the configuration's password is that of default, and who is removed is cut off.
func TestUsersAreKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.acl")
	_, addr := start(t, func(c *Config) { c.ACLFile, c.Auth = file, "secret" })
	p := dial(t, addr)
	p.want("-"+errNoAuth, "acl", "users")
	p.want("+OK", "auth", "secret")
	p.want("+OK", "acl", "setuser", "bob", "on", ">pw", "~b:*", "+@all", "-@admin")
	p.want("+OK", "acl", "save")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	p.want("+OK", "acl", "setuser", "carol", "on", "nopass")
	bob, carol := dial(t, addr), dial(t, addr)
	bob.want("+OK", "auth", "bob", "pw")
	carol.want("+OK", "auth", "carol", "any")
	carol.want("-NOPERM this user has no permissions to run the 'get' command", "get", "b:x")
	if r := p.do("acl", "log"); len(r.items) != 1 || !strings.Contains(r.String(), `"carol"`) {
		t.Error(r)
	}
	p.want("+OK", "acl", "load")
	if _, err := carol.conn.Read(make([]byte, 1)); err == nil {
		t.Error("who is not in the file goes on")
	}
	bob.want("nil", "get", "b:x")

	_, again := start(t, func(c *Config) { c.ACLFile, c.Auth = file, "other" })
	q := dial(t, again)
	q.want("-WRONGPASS invalid username-password pair or user is disabled.", "auth", "secret")
	q.want("+OK", "auth", "other")
	q.want(`*["bob" "default"]`, "acl", "users")
	bob2 := dial(t, again)
	bob2.want("+OK", "auth", "bob", "pw")
	if r := q.do("client", "list"); !strings.Contains(r.text, "user=bob") {
		t.Error(r)
	}
	q.want(":1", "acl", "deluser", "bob")
	if _, err := bob2.conn.Read(make([]byte, 1)); err == nil {
		t.Error("who was removed goes on")
	}
	if err := os.WriteFile(file, []byte("user bob on +nosuch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := q.do("acl", "load"); r.kind != '-' || !strings.Contains(r.text, "users.acl:1") {
		t.Error(r)
	}
	if _, err := New(Config{ACLFile: file, Fabric: testFabric(t)}); err == nil {
		t.Error("a file that is wrong is taken")
	}
}

// FuzzUserRules: whatever the rules are, they are taken or refused, and what is kept reads back as it is.
func FuzzUserRules(f *testing.F) {
	for _, x := range []string{"on >pw ~a &b +get", "%R~x -@all +@read -get +config|get", "reset ( +@", "#zz !zz <", "+config -config|get +config"} {
		f.Add(x)
	}
	table := newTable()
	f.Fuzz(func(t *testing.T, text string) {
		u := table.newUser("u")
		for _, rule := range aclWords(text) {
			_ = u.apply(table, rule)
		}
		u.settle()
		file := filepath.Join(t.TempDir(), "users.acl")
		if err := os.WriteFile(file, []byte(u.line()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &acl{table: table, file: file}
		back, err := a.read()
		if err != nil || len(back) != 1 || back[0].line() != u.line() {
			t.Fatalf("%q reads back as %v, %v", u.line(), back, err)
		}
		for i, may := range u.commands {
			if back[0].commands[i] != may {
				t.Fatalf("%q allows other commands when it was read back", u.line())
			}
		}
		for _, line := range [][]string{{"get", "a"}, {"mset", "a", "b"}, {"publish", "b", "c"}, {"xread", "streams", "a", "0"}, {"sort", "a", "store"}} {
			var args [][]byte
			for _, word := range line {
				args = append(args, []byte(word))
			}
			_ = u.check(table.find(args[0]), args)
		}
	})
}

// TestUsersAway: a holder does not know the users of the node that asks it, which therefore looks before.
func TestUsersAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, _ := apart(t)
		away.pipe(t, lines("ACL SETUSER bob on >pw ~b:* +get +set +sadd +sort +multi +exec +select"))
		away.pipe(t, lines("AUTH bob pw"))
		for _, x := range [][2]string{
			{lines("SET b:k v"), "+OK\r\n"},
			{lines("GET b:k"), "$1\r\nv\r\n"},
			{lines("GET k"), "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"},
			{lines("SADD b:s 1"), ":1\r\n"},
			{lines("SORT b:s BY w* GET k*"), "-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n"},
			{lines("MULTI", "SORT b:s GET k*", "EXEC"), "+OK\r\n-ERR GET option of SORT denied due to insufficient ACL permissions.\r\n-EXECABORT Transaction discarded because of previous errors.\r\n"},
		} {
			if got := away.pipe(t, x[0]); got != x[1] {
				t.Errorf("%q: %q, want %q", x[0], got, x[1])
			}
		}
	})
}

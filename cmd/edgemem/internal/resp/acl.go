package resp

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// defaultUser is the user of connections that name none.
const defaultUser = "default"

const (
	usersMax  = 10_000
	aclLogMax = 128              // entries, as Redis keeps by default
	aclLogFor = 60 * time.Second // within which alike entries count as one
)

// acl is the users of this server: each node has its own. Changes are in memory until ACL SAVE.
type acl struct {
	table *table
	file  string // empty: there is none

	mu    sync.Mutex
	users map[string]*account
	log   []aclLogEntry // the latest first
}

// account is a user whom connections hold on to. One that was removed may do nothing.
type account struct{ is atomic.Pointer[aclUser] }

type aclLogEntry struct {
	denial
	context, user, client string
	count                 int64
	at                    time.Time
}

// openACL reads the users' file, where there is one. The password of the configuration is that of the user default, whatever the file says.
func openACL(t *table, file, password string) (*acl, error) {
	a := &acl{table: t, file: file, users: map[string]*account{}}
	first := t.newUser(defaultUser)
	for _, rule := range []string{"on", "nopass", "~*", "&*", "+@all"} {
		_ = first.apply(t, rule)
	}
	a.put(first)
	if file != "" {
		users, err := a.read()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: users: %w", ErrConfig, err)
		}
		for _, u := range users {
			a.put(u)
		}
	}
	if password != "" {
		u := a.users[defaultUser].is.Load().clone()
		u.nopass, u.passwords = false, [][sha256.Size]byte{sha256.Sum256([]byte(password))}
		a.put(u)
	}
	return a, nil
}

// put takes a user over. The caller holds mu, or is the only one.
func (a *acl) put(u *aclUser) {
	u.settle()
	if a.users[u.name] == nil {
		a.users[u.name] = &account{}
	}
	a.users[u.name].is.Store(u)
}

// read parses the file: lines of ACL LIST.
func (a *acl) read() (users []*aclUser, err error) {
	f, err := os.Open(a.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, n := bufio.NewScanner(f), 0
	lines.Buffer(nil, 1<<20)
	seen := map[string]bool{}
	for lines.Scan() {
		n++
		words := aclWords(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
			continue
		case words[0] != "user" || len(words) < 2:
			return nil, fmt.Errorf("%s:%d: line should start with user keyword followed by the username", a.file, n)
		case seen[words[1]]:
			return nil, fmt.Errorf("%s:%d: duplicate user '%s' found", a.file, n, words[1])
		case len(users) >= usersMax:
			return nil, fmt.Errorf("%s:%d: more than %d users", a.file, n, usersMax)
		}
		seen[words[1]] = true
		u := a.table.newUser(words[1])
		for _, rule := range words[2:] {
			if err := u.apply(a.table, rule); err != nil {
				return nil, fmt.Errorf("%s:%d: %s: %w", a.file, n, cText([]byte(shownRule(rule))), err)
			}
		}
		users = append(users, u)
	}
	return users, lines.Err()
}

// aclSpace is what parts words: no rule or name has it.
const aclSpace = " \x00\t\r\n\v\f"

func aclWords(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(aclSpace, r) })
}

// shownRule hides passwords.
func shownRule(rule string) string {
	if rule != "" && strings.ContainsRune("><", rune(rule[0])) {
		return rule[:1] + "…"
	}
	return rule
}

// save writes all users to the file: whole, or not at all.
func (a *acl) save() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := os.CreateTemp(filepath.Dir(a.file), ".users-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	for _, u := range a.sorted() {
		if _, err := fmt.Fprintln(f, u.line()); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), a.file)
}

// sorted lists the users by name. The caller holds mu.
func (a *acl) sorted() (out []*aclUser) {
	for _, name := range slices.Sorted(maps.Keys(a.users)) {
		out = append(out, a.users[name].is.Load())
	}
	return out
}

func (a *acl) all() []*aclUser {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sorted()
}

// account finds a user, or nil.
func (a *acl) account(name string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.users[name]
}

// load replaces all users by those of the file, but for default where it is not there. It gives the names of those that are gone or changed.
func (a *acl) load() (changed map[string]bool, err error) {
	users, err := a.read()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	changed = map[string]bool{}
	kept := map[string]bool{defaultUser: true}
	for _, u := range users {
		kept[u.name] = true
		if have := a.users[u.name]; have != nil && have.is.Load().line() != u.line() {
			changed[u.name] = true
		}
		a.put(u)
	}
	for name, x := range a.users {
		if !kept[name] {
			x.is.Store(a.table.newUser(name))
			delete(a.users, name)
			changed[name] = true
		}
	}
	return changed, nil
}

// set changes a user, or makes one. It gives the user of before, or nil. Errors: of the modifier that is wrong; then nothing changed.
func (a *acl) set(name string, rules []string) (before, after *aclUser, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.table.newUser(name)
	if have := a.users[name]; have != nil {
		before = have.is.Load()
		u = before.clone()
	} else if len(a.users) >= usersMax {
		return nil, nil, fmt.Errorf("ERR there are %d users, which is the most", usersMax)
	}
	for _, rule := range rules {
		if err := u.apply(a.table, rule); err != nil {
			return nil, nil, fmt.Errorf("ERR Error in ACL SETUSER modifier '%s': %w", cText([]byte(rule)), err)
		}
	}
	a.put(u)
	return before, u, nil
}

// remove removes a user, whose connections may do nothing any more.
func (a *acl) remove(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.users[name]
	if x == nil {
		return false
	}
	x.is.Store(a.table.newUser(name))
	delete(a.users, name)
	return true
}

// login finds the user with a password, in time that does not tell how much of it is right, or nil.
func (a *acl) login(name string, pass []byte) *account {
	x := a.account(name)
	u := &aclUser{}
	if x != nil {
		u = x.is.Load()
	}
	sum, right := sha256.Sum256(pass), 0
	for i := range u.passwords {
		right |= subtle.ConstantTimeCompare(sum[:], u.passwords[i][:])
	}
	if !u.on || right == 0 && !u.nopass {
		return nil
	}
	return x
}

// note keeps a denial in the log.
func (a *acl) note(d denial, context, user, client string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d.object = d.object[:min(len(d.object), slowlogArgBytes)]
	user = user[:min(len(user), slowlogArgBytes)]
	e := aclLogEntry{denial: d, context: context, user: user, client: client, count: 1, at: time.Now()}
	if i := slices.IndexFunc(a.log, func(x aclLogEntry) bool {
		return x.denial == d && x.context == context && x.user == user && e.at.Sub(x.at) < aclLogFor
	}); i >= 0 {
		e.count += a.log[i].count
		a.log = slices.Delete(a.log, i, i+1)
	}
	a.log = slices.Insert(a.log, 0, e)
	a.log = a.log[:min(len(a.log), aclLogMax)]
}

// open reports whether a connection needs no password.
func (a *acl) open() bool {
	u := a.account(defaultUser).is.Load()
	return u.on && u.nopass
}

// allowed answers what the user may not do, and reports whether that is nothing.
func (c *client) allowed(cmd *command) bool {
	u := c.user.is.Load()
	d := u.check(cmd, c.args)
	if d.reason == "" {
		if text := u.deniesSort(cmd, c.args); text != "" {
			c.reject(text)
			return false
		}
		return true
	}
	c.srv.acl.note(d, c.aclContext(), c.userName(), c.describe())
	c.reject(d.Error())
	return false
}

func (c *client) aclContext() string {
	if c.tx != nil {
		return "multi"
	}
	return "toplevel"
}

func (c *client) userName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.labels.user
}

// become makes the connection one of a user.
func (c *client) become(x *account) {
	c.user, c.authed = x, true
	c.mu.Lock()
	c.labels.user = x.is.Load().name
	c.mu.Unlock()
}

// beDefault makes the connection one of the user default, who may have to give a password.
func (c *client) beDefault() {
	c.become(c.srv.acl.account(defaultUser))
	c.authed = c.srv.acl.open()
}

// endUsers closes the connections of users that pick accepts, by name.
func (c *client) endUsers(pick func(name string, listens bool) bool) {
	c.killWhere(func(other *client) bool {
		other.mu.Lock()
		name, listens := other.labels.user, other.labels.listening()
		other.mu.Unlock()
		return pick(name, listens)
	}, false)
}

func aclSubcommands() []*command {
	const open, admin = "noscript loading stale", adminFlags
	sub := func(name string, arity int, flags, since, summary string, run func(c *client)) *command {
		return &command{name: "acl|" + name, arity: arity, flags: flags, group: "server", since: since, cost: "O(1)", summary: summary,
			note: "Each node has its own users.", run: run}
	}
	return []*command{
		sub("whoami", 2, open, "6.0.0", "Tells the user of this connection.", func(c *client) { c.bulkString(c.userName()) }),
		sub("users", 2, admin, "6.0.0", "Lists the users.", aclUsers),
		sub("list", 2, admin, "6.0.0", "Lists the users with their rules.", aclList),
		sub("getuser", 3, admin, "6.0.0", "Tells the rules of a user.", aclGetUser),
		sub("setuser", -3, admin, "6.0.0", "Changes a user, or makes one: on, off, >password, nopass, ~key, %R~key, &channel, +command, -command, +@category, reset. ACL SAVE keeps it.", aclSetUser),
		sub("deluser", -3, admin, "6.0.0", "Removes users, and closes their connections.", aclDelUser),
		sub("dryrun", -4, admin, "7.0.0", "Tells whether a user may run a command, without running it.", aclDryRun),
		sub("load", 2, admin, "6.0.0", "Replaces the users by those of the file.", aclLoad),
		sub("save", 2, admin, "6.0.0", "Writes the users to the file, from which the next start reads them.", aclSave),
		sub("log", -2, admin, "6.0.0", "Lists what was denied lately, or forgets it: ACL LOG [count | RESET].", aclLog),
		sub("cat", -2, open, "6.0.0", "Lists the categories of commands, or the commands of one.", aclCat),
		sub("genpass", -2, open, "6.0.0", "Makes a password of random hexadecimal digits.", aclGenPass),
		sub("help", 2, "loading stale", "6.0.0", "Lists the subcommands.", func(c *client) { c.help(aclHelp) }),
	}
}

func aclUsers(c *client) {
	var names []string
	for _, u := range c.srv.acl.all() {
		names = append(names, u.name)
	}
	c.bulks(names)
}

func aclList(c *client) {
	var lines []string
	for _, u := range c.srv.acl.all() {
		lines = append(lines, u.line())
	}
	c.bulks(lines)
}

func aclGetUser(c *client) {
	x := c.srv.acl.account(string(c.args[2]))
	if x == nil {
		c.null()
		return
	}
	u := x.is.Load()
	c.mapOf(6)
	c.bulkString("flags")
	c.setOf(len(u.flags()))
	for _, f := range u.flags() {
		c.bulkString(f)
	}
	c.bulkString("passwords")
	passwords := []string{}
	for _, sum := range u.passwords {
		passwords = append(passwords, hex.EncodeToString(sum[:]))
	}
	c.bulks(passwords)
	for _, pair := range [][2]string{{"commands", strings.Join(u.rules, " ")}, {"keys", u.keyText()}, {"channels", u.channelText()}} {
		c.bulkString(pair[0])
		c.bulkString(pair[1])
	}
	c.bulkString("selectors")
	c.array(0)
}

func aclSetUser(c *client) {
	name := string(c.args[2])
	if name == "" || strings.ContainsAny(name, aclSpace) {
		c.fail("ERR Usernames can't contain spaces or null characters")
		return
	}
	var rules []string
	for _, arg := range c.args[3:] {
		if rule := string(arg); strings.ContainsAny(rule, aclSpace) && !strings.ContainsAny(rule[:1], "><") {
			c.fail("ERR Error in ACL SETUSER modifier '" + cText(arg) + "': " + errACLSyntax.Error())
			return
		}
		rules = append(rules, string(arg))
	}
	before, after, err := c.srv.acl.set(name, rules)
	if err != nil {
		c.fail(err.Error())
		return
	}
	if before != nil && losesChannels(before, after) {
		c.endUsers(func(user string, listens bool) bool { return listens && user == name })
	}
	c.ok()
}

// losesChannels reports whether a user may hear less than before.
func losesChannels(before, after *aclUser) bool {
	if after.allChans {
		return false
	}
	return before.allChans || slices.ContainsFunc(before.channels, func(ch string) bool { return !slices.Contains(after.channels, ch) })
}

func aclDelUser(c *client) {
	gone := map[string]bool{}
	for _, name := range c.args[2:] {
		if string(name) == defaultUser {
			c.fail("ERR The 'default' user cannot be removed")
			return
		}
	}
	for _, name := range c.args[2:] {
		if c.srv.acl.remove(string(name)) {
			gone[string(name)] = true
		}
	}
	c.int(int64(len(gone)))
	if len(gone) > 0 {
		c.endUsers(func(user string, _ bool) bool { return gone[user] })
	}
}

func aclDryRun(c *client) {
	x := c.srv.acl.account(string(c.args[2]))
	line := c.args[3:]
	cmd := c.srv.table.find(line[0])
	switch {
	case x == nil:
		c.fail("ERR User '" + cText(c.args[2]) + "' not found")
		return
	case cmd == nil:
		c.fail("ERR Command '" + cText(line[0]) + "' not found")
		return
	}
	if cmd.subs != nil && len(line) > 1 {
		if cmd = cmd.sub(line[1]); cmd == nil {
			c.fail("ERR Command '" + cText(line[0]) + "' not found")
			return
		}
	}
	if !cmd.takes(len(line)) && cmd.refusal == "" {
		c.fail("ERR wrong number of arguments for '" + cmd.name + "' command")
		return
	}
	switch d := x.is.Load().check(cmd, line); d.reason {
	case "":
		c.ok()
	case "command":
		c.bulkString("This user has no permissions to run the '" + d.object + "' command")
	default:
		c.bulkString("This user has no permissions to access the '" + d.object + "' " + d.reason)
	}
}

const noACLFile = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration."

func aclLoad(c *client) {
	if c.srv.acl.file == "" {
		c.fail(noACLFile)
		return
	}
	changed, err := c.srv.acl.load()
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	c.ok()
	c.endUsers(func(user string, _ bool) bool { return changed[user] })
}

func aclSave(c *client) {
	if c.srv.acl.file == "" {
		c.fail(noACLFile)
		return
	}
	if err := c.srv.acl.save(); err != nil {
		c.srv.log.Warn("resp: users not saved", "file", c.srv.acl.file, "err", err)
		c.fail("ERR There was an error trying to save the ACLs. Please check the server logs for more information")
		return
	}
	c.ok()
}

func aclLog(c *client) {
	a := c.srv.acl
	count := int64(10)
	if len(c.args) > 2 {
		if equalFold(c.args[2], "reset") {
			a.mu.Lock()
			a.log = nil
			a.mu.Unlock()
			c.ok()
			return
		}
		var ok bool
		if count, ok = c.integer(2); !ok {
			return
		}
	}
	a.mu.Lock()
	entries := slices.Clone(a.log[:min(max(count, 0), int64(len(a.log)))])
	a.mu.Unlock()
	c.array(len(entries))
	for _, e := range entries {
		c.mapOf(7)
		c.bulkString("count")
		c.int(e.count)
		for _, pair := range [][2]string{{"reason", e.reason}, {"context", e.context}, {"object", e.object}, {"username", e.user}} {
			c.bulkString(pair[0])
			c.bulkString(pair[1])
		}
		c.bulkString("age-seconds")
		c.double(max(time.Since(e.at), 0).Seconds())
		c.bulkString("client-info")
		c.bulkString(e.client)
	}
}

// wrongPassword answers a login that failed.
func (c *client) wrongPassword(user []byte) {
	c.srv.log.Warn("resp: wrong user or password", "client", c.id, "addr", c.addr)
	c.srv.acl.note(denial{"auth", strings.ToUpper(c.cmd.name)}, c.aclContext(), string(user), c.describe())
	c.fail("WRONGPASS invalid username-password pair or user is disabled.")
}

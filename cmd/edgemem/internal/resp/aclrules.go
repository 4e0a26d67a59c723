package resp

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// aclUser is what a user may do. It is not changed once others see it: who changes a user puts another in its place.
type aclUser struct {
	name      string
	on        bool
	nopass    bool
	sanitize  string // a flag of Redis, which is kept and has no effect here
	passwords [][sha256.Size]byte

	everything bool     // all commands, keys and channels: most users' case
	commands   []bool   // by command.index
	rules      []string // how they came to be, first +@all or -@all
	allKeys    bool
	keys       []keyPattern
	allChans   bool
	channels   []string
}

// keyPattern allows reading or writing the keys that it matches, or both.
type keyPattern struct {
	pattern     string
	read, write bool
}

func (k keyPattern) String() string {
	switch {
	case k.read && k.write:
		return "~" + k.pattern
	case k.read:
		return "%R~" + k.pattern
	}
	return "%W~" + k.pattern
}

// newUser is a user who may do nothing.
func (t *table) newUser(name string) *aclUser {
	return &aclUser{name: name, commands: make([]bool, t.size), rules: []string{"-@all"}}
}

func (u *aclUser) clone() *aclUser {
	v := *u
	v.passwords, v.commands, v.rules = slices.Clone(u.passwords), slices.Clone(u.commands), slices.Clone(u.rules)
	v.keys, v.channels = slices.Clone(u.keys), slices.Clone(u.channels)
	return &v
}

// settle ends a change.
func (u *aclUser) settle() {
	u.everything = u.allKeys && u.allChans && len(u.rules) == 1 && u.rules[0] == "+@all"
}

// ruleError is what Redis says of a modifier that it does not take, or in its manner.
type ruleError string

func (e ruleError) Error() string { return string(e) }

const (
	errACLSyntax   = ruleError("Syntax error")
	errACLUnknown  = ruleError("Unknown command or category name in ACL")
	errACLFirstArg = ruleError("Allowing first-arg of a subcommand is not supported")
	errACLHash     = ruleError("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")
	errACLNoPass   = ruleError("The password you are trying to remove from the user does not exist")
	errACLAllKeys  = ruleError("Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns")
	errACLAllChans = ruleError("Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels")
	errACLSelector = ruleError("selectors are not supported by edgemem: a user has one list of rules")
	errACLSelects  = ruleError("the first argument of a command cannot be allowed in edgemem: allow the command or its subcommands")
)

// apply changes a user by one modifier of ACL SETUSER.
func (u *aclUser) apply(t *table, rule string) error {
	switch low := strings.ToLower(rule); low {
	case "on", "off":
		u.on = low == "on"
	case "nopass":
		u.nopass, u.passwords = true, nil
	case "resetpass":
		u.nopass, u.passwords = false, nil
	case "sanitize-payload", "skip-sanitize-payload":
		u.sanitize = low
	case "allkeys", "~*":
		u.allKeys, u.keys = true, nil
	case "resetkeys":
		u.allKeys, u.keys = false, nil
	case "allchannels", "&*":
		u.allChans, u.channels = true, nil
	case "resetchannels":
		u.allChans, u.channels = false, nil
	case "allcommands", "+@all":
		return u.allow(t, "+@all")
	case "nocommands", "-@all":
		return u.allow(t, "-@all")
	case "clearselectors":
	case "reset":
		*u = *t.newUser(u.name)
		u.sanitize = "sanitize-payload"
	default:
		return u.applyWith(t, rule)
	}
	return nil
}

// applyWith is apply of a modifier with an argument.
func (u *aclUser) applyWith(t *table, rule string) error {
	if rule == "" {
		return errACLSyntax
	}
	arg := rule[1:]
	switch rule[0] {
	case '>':
		u.addPassword(sha256.Sum256([]byte(arg)))
	case '<':
		return u.removePassword(sha256.Sum256([]byte(arg)))
	case '#', '!':
		sum, err := passwordSum(arg)
		if err != nil {
			return err
		}
		if rule[0] == '!' {
			return u.removePassword(sum)
		}
		u.addPassword(sum)
	case '~', '%':
		return u.addKeys(rule)
	case '&':
		if u.allChans {
			return errACLAllChans
		}
		if !slices.Contains(u.channels, arg) {
			u.channels = append(u.channels, arg)
		}
	case '+', '-':
		return u.allow(t, strings.ToLower(rule))
	case '(':
		return errACLSelector
	default:
		return errACLSyntax
	}
	return nil
}

func (u *aclUser) addPassword(sum [sha256.Size]byte) {
	if u.nopass = false; !slices.Contains(u.passwords, sum) {
		u.passwords = append(u.passwords, sum)
	}
}

func (u *aclUser) removePassword(sum [sha256.Size]byte) error {
	i := slices.Index(u.passwords, sum)
	if i < 0 {
		return errACLNoPass
	}
	u.passwords = slices.Delete(u.passwords, i, i+1)
	return nil
}

func passwordSum(digits string) (sum [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(sum) || strings.ToLower(digits) != digits {
		return sum, errACLHash
	}
	return [sha256.Size]byte(b), nil
}

func (u *aclUser) addKeys(rule string) error {
	k := keyPattern{read: true, write: true}
	pattern, plain := strings.CutPrefix(rule, "~")
	if !plain {
		var ways string
		var ok bool
		if ways, pattern, ok = strings.Cut(rule[1:], "~"); !ok || ways == "" || strings.Trim(ways, "rwRW") != "" {
			return errACLSyntax
		}
		k.read, k.write = strings.ContainsAny(ways, "rR"), strings.ContainsAny(ways, "wW")
	}
	if u.allKeys {
		return errACLAllKeys
	}
	k.pattern = pattern
	if k.pattern == "*" && k.read && k.write {
		u.allKeys, u.keys = true, nil
		return nil
	}
	for i := range u.keys {
		if u.keys[i].pattern == pattern {
			u.keys[i].read, u.keys[i].write = u.keys[i].read || k.read, u.keys[i].write || k.write
			return nil
		}
	}
	u.keys = append(u.keys, k)
	return nil
}

// meant lists the commands that a rule is about, subcommands included.
func (t *table) meant(rule string) (of []*command, err error) {
	name := rule[1:]
	if name == "@all" {
		for _, cmd := range t.byName {
			of = append(append(of, cmd), cmd.subs...)
		}
		return of, nil
	}
	if category, is := strings.CutPrefix(name, "@"); is {
		if !slices.Contains(aclCategories, category) {
			return nil, errACLUnknown
		}
		for _, cmd := range t.listed {
			for _, one := range append([]*command{cmd}, cmd.toldSubs()...) {
				if slices.Contains(one.aclList, "@"+category) {
					of = append(of, one)
				}
			}
		}
		return of, nil
	}
	container, sub, isSub := strings.Cut(name, "|")
	cmd := t.find([]byte(container))
	switch {
	case cmd == nil:
		return nil, errACLUnknown
	case !isSub || cmd.refusal != "":
		return append([]*command{cmd}, cmd.subs...), nil
	case strings.Contains(sub, "|"):
		return nil, errACLFirstArg
	case cmd.subs == nil:
		return nil, errACLSelects
	}
	if cmd = cmd.sub([]byte(sub)); cmd == nil {
		return nil, errACLUnknown
	}
	return []*command{cmd}, nil
}

// allow allows or denies a command, a subcommand or a category, and notes the rule in place of those that it overrides. What changes
// nothing is not noted.
func (u *aclUser) allow(t *table, rule string) error {
	if _, err := t.meant(rule); err != nil {
		return err
	}
	name := rule[1:]
	rules := slices.DeleteFunc(slices.Clone(u.rules[1:]), func(old string) bool {
		return old[1:] == name || strings.HasPrefix(old[1:], name+"|")
	})
	if name == "@all" {
		u.rules, rules = []string{rule}, nil
	} else {
		rules = append(rules, rule)
	}
	clear(u.commands)
	u.set(t, u.rules[0])
	u.rules = u.rules[:1:1]
	for _, r := range rules {
		if u.set(t, r) {
			u.rules = append(u.rules, r)
		}
	}
	return nil
}

// set does what a rule says, and reports whether that changed anything.
func (u *aclUser) set(t *table, rule string) (changed bool) {
	of, _ := t.meant(rule) // it was taken
	may := rule[0] == '+'
	for _, cmd := range of {
		changed = changed || u.commands[cmd.index] != may
		u.commands[cmd.index] = may
	}
	return changed
}

// keyText and channelText tell the patterns.
func (u *aclUser) keyText() string {
	if u.allKeys {
		return "~*"
	}
	var all []string
	for _, k := range u.keys {
		all = append(all, k.String())
	}
	return strings.Join(all, " ")
}

func (u *aclUser) channelText() string {
	if u.allChans {
		return "&*"
	}
	var all []string
	for _, ch := range u.channels {
		all = append(all, "&"+ch)
	}
	return strings.Join(all, " ")
}

func (u *aclUser) flags() (out []string) {
	out = append(out, "off")
	if u.on {
		out[0] = "on"
	}
	if u.nopass {
		out = append(out, "nopass")
	}
	if u.sanitize != "" {
		out = append(out, u.sanitize)
	}
	return out
}

// line is the user as ACL LIST and the file have it.
func (u *aclUser) line() string {
	words := append([]string{"user", u.name}, u.flags()...)
	for _, sum := range u.passwords {
		words = append(words, "#"+hex.EncodeToString(sum[:]))
	}
	if keys := u.keyText(); keys != "" {
		words = append(words, keys)
	}
	if !u.allChans {
		words = append(words, "resetchannels")
	}
	if channels := u.channelText(); channels != "" {
		words = append(words, channels)
	}
	return strings.Join(append(words, u.rules...), " ")
}

// denial says what a user may not do.
type denial struct {
	reason string // as ACL LOG has it: command, key or channel; empty: nothing
	object string
}

// short is what EXEC says.
func (d denial) short() string {
	return map[string]string{
		"command": "no permission to execute the command or subcommand", "key": "no permission to touch the specified keys",
		"channel": "no permission to access one of the channels used as arguments to the command",
	}[d.reason]
}

func (d denial) Error() string {
	switch d.reason {
	case "command":
		return "NOPERM this user has no permissions to run the '" + d.object + "' command"
	case "key":
		return "NOPERM this user has no permissions to access one of the keys used as arguments"
	}
	return "NOPERM this user has no permissions to access one of the channels used as arguments"
}

// check says what of a command line the user may not do.
func (u *aclUser) check(cmd *command, line [][]byte) denial {
	if u.everything || cmd.is&flagNoAuth != 0 {
		return denial{}
	}
	if !u.commands[cmd.index] {
		return denial{"command", cmd.name}
	}
	if !u.allKeys && !cmd.keys.none() {
		for _, way := range cmd.keys.ways() {
			if way.access == "not_key" {
				continue
			}
			for _, at := range way.everywhere(line) {
				if !u.mayUse(view(line[at]), cmd.accessOf(line, at), way.access) {
					return denial{"key", string(line[at])}
				}
			}
		}
	}
	if !u.allChans {
		for _, channel := range channelsOf(cmd, line) {
			if !u.mayHear(view(channel), cmd.name == "psubscribe") {
				return denial{"channel", string(channel)}
			}
		}
	}
	return denial{}
}

// everywhere is within, but for an option that comes several times, of which the command takes one: all of them are meant.
func (k *keySpec) everywhere(line [][]byte) (at []int) {
	if k.word == "" || k.half {
		return k.within(line)
	}
	for i := k.from; i+1 < len(line); i++ {
		if strings.EqualFold(view(line[i]), k.word) {
			at = append(at, i+1)
		}
	}
	return at
}

// mayUse reports whether one pattern allows all that is done to a key.
func (u *aclUser) mayUse(key, access, otherwise string) bool {
	if access == "" {
		access = otherwise
	}
	read, write := strings.Contains(access, "access"), false
	for _, word := range []string{"insert", "update", "delete"} {
		write = write || strings.Contains(access, word)
	}
	return slices.ContainsFunc(u.keys, func(k keyPattern) bool {
		return (k.read || !read) && (k.write || !write) && globMatch(k.pattern, key, false)
	})
}

// mayHear reports whether the user may use a channel. A pattern must be one of those that are allowed itself.
func (u *aclUser) mayHear(channel string, pattern bool) bool {
	return slices.ContainsFunc(u.channels, func(allowed string) bool {
		return allowed == channel || !pattern && globMatch(allowed, channel, false)
	})
}

// readsAnyKey reports whether the user may read all keys, as SORT's patterns do.
func (u *aclUser) readsAnyKey() bool {
	return u.allKeys || slices.ContainsFunc(u.keys, func(k keyPattern) bool { return k.read && k.pattern == "*" })
}

// deniesSort is what Redis says to a SORT that reads keys by patterns, of who may not read all; empty: it does not, or is wrong otherwise. A
// holder that runs it for another node does not know the user, so it is looked at before.
func (u *aclUser) deniesSort(cmd *command, line [][]byte) string {
	if u.everything || cmd.name != "sort" && cmd.name != "sort_ro" || u.readsAnyKey() {
		return ""
	}
	for i := 2; i < len(line); i++ {
		switch more := len(line) - 1 - i; {
		case equalFold(line[i], "limit"):
			i += 2
		case equalFold(line[i], "store"):
			i++
		case equalFold(line[i], "by") && more >= 1:
			if i++; strings.Contains(view(line[i]), "*") {
				return "ERR BY option of SORT denied due to insufficient ACL permissions."
			}
		case equalFold(line[i], "get") && more >= 1:
			return "ERR GET option of SORT denied due to insufficient ACL permissions."
		}
	}
	return ""
}

// channelsOf lists the channels of a command line.
func channelsOf(cmd *command, line [][]byte) [][]byte {
	switch cmd.name {
	case "publish", "spublish":
		return line[1:2]
	case "subscribe", "psubscribe", "ssubscribe":
		return line[1:]
	}
	return nil
}

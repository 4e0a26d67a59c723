package resp

import "github.com/edgemem/edgemem/crdt"

// meshCommands are those that Redis does not have.
func meshCommands() []*command {
	return []*command{
		{name: "em.siblings", arity: 2, flags: "readonly fast", keys: oneKey("RO access"), acl: "read",
			group: "edgemem", since: "0.1.0", cost: "O(N) for N siblings",
			summary: "Lists the values that were written to a key concurrently, the one that GET shows first.",
			note:    "More than one until a later write covers them. A counter has no siblings to choose from and answers its value.", read: siblings},
		{name: "em.region", arity: 1, flags: "loading stale fast",
			group: "edgemem", since: "0.1.0", cost: "O(1)",
			summary: "Tells the name of the selected region.", run: func(c *client) { c.bulkString(c.labels.region) }},
		{name: "em.source", arity: 1, flags: "noscript", acl: "read", group: "edgemem", since: "0.1.0", cost: "O(N) for N members",
			summary: "Tells which node answered the connection's last command on a region that has no copy here, and how complete its copy was.",
			note:    "Of a region that has a copy here it tells of that. Missing are writes that this node made through another holder and that the one that answered had not seen.", is: flagNoMulti, run: tellSource},
	}
}

func siblings(c *client, v *crdt.View) {
	key := view(c.args[1])
	val, ok, err := v.Get(key)
	if err != nil {
		c.fail(errWrongType)
		return
	}
	all := v.Siblings(key)
	if len(all) == 0 && ok {
		c.array(1)
		c.bulk(val)
		return
	}
	c.array(len(all))
	for _, s := range all {
		c.bulk(s.Value)
	}
}

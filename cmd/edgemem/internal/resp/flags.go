package resp

import (
	"github.com/edgemem/edgemem/crdt"
)

const flagNote = "Concurrently turned on and off, it is on (ENABLEWINS, as a new flag is) or off (DISABLEWINS), whatever the clocks say; where both rules were set, DISABLEWINS."

func flagCommands() []*command {
	return []*command{
		{name: "em.flag", arity: -3, group: "generic", since: "0.1.0", cost: "by subcommand",
			summary: "Commands about flags.", subs: []*command{
				{name: "em.flag|set", arity: -4, flags: "write denyoom fast", keys: keyAt(2, "RW update"), group: "generic", since: "0.1.0", cost: "O(1)",
					summary: "Turns a flag on or off: EM.FLAG SET key ON|OFF [ENABLEWINS|DISABLEWINS].", note: flagNote, write: turnFlag},
				{name: "em.flag|get", arity: 3, flags: "readonly fast", keys: keyAt(2, "RO access"), group: "generic", since: "0.1.0", cost: "O(1)",
					summary: "Tells whether a flag is on: 1, 0, or null where there is none.", read: flagGet},
			}},
	}
}

func turnFlag(c *client, tx *crdt.Tx) {
	on := equalFold(c.args[3], "on")
	rule := crdt.FlagRuleKept
	switch {
	case !on && !equalFold(c.args[3], "off"), len(c.args) > 5:
		c.fail(errSyntax)
		return
	case len(c.args) == 4:
	case equalFold(c.args[4], "enablewins"):
		rule = crdt.FlagEnableWins
	case equalFold(c.args[4], "disablewins"):
		rule = crdt.FlagDisableWins
	default:
		c.fail(errSyntax)
		return
	}
	if err := tx.FlagSet(string(c.args[2]), on, rule); err != nil {
		c.failList(err)
		return
	}
	c.ok()
}

func flagGet(c *client, v *crdt.View) {
	on, _, ok, err := v.Flag(view(c.args[2]))
	switch {
	case err != nil:
		c.fail(errWrongType)
	case !ok:
		c.null()
	default:
		c.bool01(on)
	}
}

package crdt

// FlagRule says which side wins where a flag was written concurrently. A flag is on or off. Of concurrent writes one side wins by the flag's rule, whatever the clocks say: enable wins, so that it is off
// only where nobody turned it on meanwhile, or disable wins (Baquero, Almeida and Shoker, "Making operation-based CRDTs
// operation-based", 2014). Each write carries the rule; where rules were set concurrently, disable wins.
//
//	value of a sibling   1 byte: 1 on, 2 disable wins
//	view                 on if one sibling is, or, where one says that disable wins, if all are
//	cost                 as of a register
type FlagRule uint8

// The rules. FlagRuleKept is that of the flag as it is, or FlagEnableWins of a new one.
const (
	FlagRuleKept FlagRule = iota
	FlagEnableWins
	FlagDisableWins
)

const (
	flagOn      = 1
	flagDisable = 2
)

// flag is the view of a flag's cell.
func (c *cell) flag() (on bool, rule FlagRule) {
	all, rule := true, FlagEnableWins
	for i := range c.sibs {
		s := &c.sibs[i]
		if s.tag != TagFlag {
			continue
		}
		bits := byte(0)
		if len(s.val) == 1 {
			bits = s.val[0]
		}
		on, all = on || bits&flagOn != 0, all && bits&flagOn != 0
		if bits&flagDisable != 0 {
			rule = FlagDisableWins
		}
	}
	if rule == FlagDisableWins {
		return all, rule
	}
	return on, rule
}

// FlagSet turns a flag on or off, which there may not have been. Errors: ErrWrongType, ErrTooLarge.
func (t *Tx) FlagSet(key string, on bool, rule FlagRule) error {
	if err := fits(key, "", nil); err != nil {
		return err
	}
	e, err := t.need(key, KindFlag)
	if err != nil {
		return err
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellFlag, "")
	if rule == FlagRuleKept {
		_, rule = c.flag()
	}
	val := []byte{0}
	if on {
		val[0] |= flagOn
	}
	if rule == FlagDisableWins {
		val[0] |= flagDisable
	}
	t.write(c, TagFlag, val, nil)
	return nil
}

// Flag reads a flag; ok is false where there is none. Error: ErrWrongType.
func (v *View) Flag(key string) (on bool, rule FlagRule, ok bool, err error) {
	e, err := v.of(key, KindFlag)
	if !e.ok() {
		return false, FlagRuleKept, false, err
	}
	on, rule = e.cell(CellFlag, "").flag()
	return on, rule, true, nil
}

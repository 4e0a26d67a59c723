package sim

import (
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// hllElements are the elements that schedules add to HyperLogLogs, by the register that each raises, and how far. Each has one of
// its own, so that a HyperLogLog is the set of its elements.
var hllElements = map[int]struct {
	name string
	rank byte
}{12711: {"a", 2}, 15780: {"b", 1}, 8436: {"c", 1}, 7292: {"d", 1}, 15157: {"e", 1}, 1646: {"f", 1}, 8378: {"g", 2}, 11960: {"h", 1}}

const (
	hllPrefix = "HYLL\x01"
	hllShown  = "counted:"
)

// hllText is a value as text: of a HyperLogLog, what it has counted. Those of schedules are sparse.
func hllText(b []byte) string {
	if !strings.HasPrefix(string(b), hllPrefix) {
		return string(b)
	}
	out := hllShown
	for i, at := 16, 0; i < len(b); i++ {
		switch op := b[i]; op >> 6 {
		case 0:
			at += int(op) + 1
		case 1:
			i++
			at += int(op&63)<<8 + int(b[i]) + 1
		default:
			for range op&3 + 1 {
				if e := hllElements[at]; e.rank != op>>2&31+1 {
					return "a register that no element raises so"
				}
				out += hllElements[at].name
				at++
			}
		}
	}
	return hllSet(out)
}

// hllSet is what texts of HyperLogLogs have counted together.
func hllSet(texts ...string) string {
	var names []byte
	for _, s := range texts {
		names = append(names, strings.TrimPrefix(s, hllShown)...)
	}
	slices.Sort(names)
	return hllShown + string(slices.Compact(names))
}

// registerShows is what the registers of a cell show, of which reg is the latest.
func registerShows(reg *write, ws []*write) string {
	texts := []string{hllText(reg.Value)}
	if reg.Kind != crdt.CellValue || !strings.HasPrefix(texts[0], hllShown) {
		return string(reg.Value)
	}
	for _, w := range ws {
		if s := hllText(w.Value); w.Tag == crdt.TagReg && strings.HasPrefix(s, hllShown) {
			texts = append(texts, s)
		}
	}
	return hllSet(texts...)
}

// wantsOfHLL is wantsOfKind of a HyperLogLog.
func (o op) wantsOfHLL(was, is shown) (shown, string, error) {
	if was.kind != crdt.KindNone && !strings.HasPrefix(was.str, hllShown) {
		return was, "", crdt.ErrNotHLL
	}
	is.str = hllSet(was.str, o.val)
	result, err := text(is.str != was.str, nil)
	return is, result, err
}

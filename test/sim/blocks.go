package sim

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// blockText is a block as text: its length, and what it holds without the zeros at its end.
func blockText(b []byte) string {
	return strconv.Itoa(len(b)) + ":" + strings.TrimRight(string(b), "\x00")
}

// blockBytes is the block that blockText wrote.
func blockBytes(text string) []byte {
	length, held, _ := strings.Cut(text, ":")
	n, _ := strconv.Atoi(length)
	b := make([]byte, n)
	copy(b, held)
	return b
}

// blockShows is cellShows of a block's length: the largest that lives.
func blockShows(ws []*write) (kind crdt.Kind, val string, ok bool) {
	n := uint64(0)
	for _, w := range ws {
		if w.Tag == crdt.TagReg {
			ok, n = true, max(n, binary.BigEndian.Uint64(w.Value))
		}
	}
	return crdt.KindBlock, strconv.FormatUint(n, 10), ok
}

// blockOf puts a block of a length together from the last writes to its pages.
func blockOf(length, key string, cells map[cellID][]*write) string {
	b := blockBytes(length + ":")
	for id, ws := range cells {
		if id.kind != crdt.CellPage || id.key != key {
			continue
		}
		last := ws[0]
		for _, w := range ws {
			if later(w, last) {
				last = w
			}
		}
		if at := int(id.sub[0]-0x80) * crdt.PageBytes; at < len(b) {
			copy(b[at:], last.Value)
		}
	}
	return blockText(b)
}

// wantsOfBlock is wantsOfKind of a block.
func (o op) wantsOfBlock(was, is shown) (shown, string, error) {
	b := blockBytes(was.str)
	if o.kind == opBlockAlloc {
		if int(o.at) > len(b) {
			b = append(b, make([]byte, int(o.at)-len(b))...)
		}
		is.str = blockText(b)
		return is, strconv.Itoa(len(b)), nil
	}
	switch {
	case was.kind == crdt.KindNone:
		return was, "", crdt.ErrNoBlock
	case int(o.at)+len(o.val) > len(b):
		return was, "", crdt.ErrOutside
	}
	copy(b[o.at:], o.val)
	is.str = blockText(b)
	return is, "", nil
}

package fabric

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// Cursor is a place in the events of Follow: after it come those that were not given before it. It outlasts restarts
// of the node, and holds at every member of the fabric. The zero Cursor is the beginning.
//
// It says as of which context the follower knows the entries. A follower walks over them by hash, so between two states it knows
// those below some hash as of a newer context than the others, which it may not know at all.
type Cursor struct {
	region crdt.RegionID
	zones  []zone // by hash; the last one reaches to the end
}

// zone is a range of hashes and the context as of which its entries are known.
type zone struct {
	end    uint64       // the first hash beyond it; 0 is the end of all
	seen   crdt.Context // nil: they are not known
	forgot uint64       // crdt.View.Forgot as of seen, where this follower took it; not part of the text
}

// zonesMax bounds the zones of a cursor: each break within a walk may leave one more.
const zonesMax = 8

const cursorVersion = 1

// String is the cursor as text without spaces that ParseCursor reads; "" for the beginning. Its size is that of a token, or of some of them in the
// middle of a walk.
func (c Cursor) String() string {
	if len(c.zones) == 0 {
		return ""
	}
	body := []byte{byte(len(c.zones))}
	for _, z := range c.zones {
		body = binary.BigEndian.AppendUint64(body, z.end)
		if z.seen == nil {
			body = append(body, 0)
		} else {
			body = crdt.AppendContexts(append(body, 1), z.seen)
		}
	}
	return sealText(cursorVersion, c.region, body)
}

// ParseCursor reads a Cursor's String. Error: ErrToken.
func ParseCursor(text string) (c Cursor, err error) {
	if text == "" {
		return Cursor{}, nil
	}
	id, b, err := openText(cursorVersion, text)
	if err != nil {
		return Cursor{}, err
	}
	zones, err := readZones(b)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return Cursor{id, zones}, nil
}

func readZones(b []byte) (zones []zone, err error) {
	if len(b) == 0 || b[0] == 0 || b[0] > zonesMax {
		return nil, fmt.Errorf("%w: no zones, or too many", crdt.ErrMalformed)
	}
	n, last := int(b[0]), uint64(0)
	for b = b[1:]; len(zones) < n; {
		if len(b) < 9 {
			return nil, fmt.Errorf("%w: a zone ends early", crdt.ErrMalformed)
		}
		z := zone{end: binary.BigEndian.Uint64(b)}
		known := b[8]
		if b = b[9:]; known == 1 {
			if z.seen, b, err = crdt.CutContext(b); err != nil {
				return nil, err
			}
		}
		if known > 1 || (z.end == 0) != (len(zones) == n-1) || z.end != 0 && z.end <= last {
			return nil, fmt.Errorf("%w: zones out of order", crdt.ErrMalformed)
		}
		last = z.end
		zones = append(zones, z)
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", crdt.ErrMalformed, len(b))
	}
	return zones, nil
}

// Token is all that the follower may have seen: a replica that covers it goes on without a reset, unless it has forgotten removes since.
func (c Cursor) Token() Token {
	t := Token{region: c.region}
	for _, z := range c.zones {
		if t.seen == nil {
			t.seen = z.seen
		} else if z.seen != nil {
			t.seen = t.seen.Clone()
			t.seen.Union(z.seen)
		}
	}
	return t
}

// at gives the zone of a hash.
func (c *Cursor) at(hash uint64) zone {
	for _, z := range c.zones {
		if z.end == 0 || hash < z.end {
			return z
		}
	}
	return zone{}
}

// below gives the cursor of who knows everything below a hash as of z, and the rest as before. 0 is the end of all.
func (c *Cursor) below(hash uint64, z zone) Cursor {
	z.end = hash
	out := Cursor{c.region, []zone{z}}
	if hash == 0 {
		return out
	}
	for _, old := range c.zones {
		if old.end == 0 || old.end > hash {
			out.zones = append(out.zones, old)
		}
	}
	if len(out.zones) > zonesMax {
		out.join()
	}
	return out
}

// join makes one of the second and third zone, which is known as of what both are.
func (c *Cursor) join() {
	a, b := c.zones[1], c.zones[2]
	if b.seen = a.seen.Intersect(b.seen); a.seen == nil {
		b.seen = nil
	}
	b.forgot = 0
	c.zones[2] = b
	c.zones = slices.Delete(c.zones, 1, 2)
}

package fabric

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Who gives a copy up asks other holders first whether they have all of it, durably, and keep it for a while:
//
//	giver  → VOW    region, digest, context
//	holder → VOWED  why not; nothing: it has what the context says on its disk, and does not give it up for vowFor
//
// A node that gives its copy up itself makes no vow, and one that has made a vow does not give it up before that is over. So of two
// that would each rely on the other, one is refused at least, and the last copy cannot go. A vow outlives a crash of its maker, as what it is
// about is on the disk and the maker needs vows of others to give it up.
const (
	frameVow   = 60
	frameVowed = 61
)

const (
	// vowFor is how long a vow holds. Who asked for it uses it for half as long, by its own clock, from before it asked.
	vowFor     = time.Minute
	vowTimeout = 10 * time.Second // for one answer
	vowWhyMax  = 512              // bytes of a reason
)

// vowRequest needs the region's lock, for reading at least.
func (r *Region) vowRequest() []byte {
	b := append([]byte(nil), r.id[:]...)
	b = binary.BigEndian.AppendUint64(b, r.core.Digest())
	return append(b, crdt.EncodeContext(r.core.Context())...)
}

// decodeVow reads what vowRequest wrote.
func decodeVow(b []byte) (id crdt.RegionID, digest uint64, seen crdt.Context, err error) {
	const head = len(id) + 8
	if len(b) < head {
		return id, 0, nil, fmt.Errorf("%w: a vow of %d bytes", errProtocol, len(b))
	}
	copy(id[:], b)
	seen, err = crdt.DecodeContext(b[head:])
	return id, binary.BigEndian.Uint64(b[len(id):]), seen, err
}

// serveVow answers a node that would give its copy up.
func (m *mesh) serveVow(id crdt.NodeID, c *conn) error {
	b, err := c.payload()
	if err != nil {
		return err
	}
	region, digest, seen, err := decodeVow(b)
	if err != nil {
		return err
	}
	why := "it has no copy"
	if r := m.f.regionByID(region); r != nil {
		if why = r.vow(digest, seen); why == "" {
			ctx, cancel := context.WithTimeout(m.f.ctx, vowTimeout)
			defer cancel()
			if err := m.f.commits.mark(r, false).Sync(ctx); err != nil {
				why = "its disk takes nothing"
			}
		} else if p := m.peer(id); p != nil {
			p.ask(becauseBehind)
		}
	}
	return c.say(frameVowed, []byte(why))
}

// vow has the copy stay, if it has all that was seen; else it says why not.
func (r *Region) vow(digest uint64, seen crdt.Context) (why string) {
	if r.f.cfg.Storage == nil {
		return "it keeps nothing on a disk"
	}
	if !r.isPlaced() || !r.keptBy(r.f.cfg.Node) {
		return "it does not say that it has a copy"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.f.closed.Load():
		return "it is being closed"
	case !r.Held():
		return "its copy is not there, or is leaving, too"
	case !r.core.Covers(seen):
		return "it lacks some of it"
	case seen.Covers(r.core.Context()) && r.core.Digest() != digest:
		return "it has seen the same and holds something else: a scrub has to mend that first"
	}
	r.vowed = time.Now().Add(vowFor)
	return ""
}

// askVow asks one holder. The error says why it does not keep what this node has.
func (m *mesh) askVow(ctx context.Context, p *peer, request []byte) (err error) {
	ctx, cancel := context.WithTimeout(ctx, vowTimeout)
	defer cancel()
	s, err := m.f.cfg.Transport.OpenStream(ctx, p.id)
	if err != nil {
		return err
	}
	c := newConn(ctx, s, limits{})
	stop := c.watchContext(ctx)
	defer func() { stop(); c.close(err) }()
	if err := c.say(frameVow, request); err != nil {
		return err
	}
	why, err := c.want(frameVowed)
	if err != nil {
		return err
	}
	if len(why) > 0 {
		return fmt.Errorf("%s: %s", m.called(p.id), shown(string(why[:min(len(why), vowWhyMax)])))
	}
	return nil
}

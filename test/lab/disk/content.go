package disk

const (
	pageBytes   = 4096
	sectorBytes = 512
	// backlogBytes bounds what a file has written and not synced: the kernel writes back by itself after a while, too.
	backlogBytes = 16 << 20
)

type page [pageBytes]byte

// content is what a file holds. Pages that are not there are zeros. A page may be shared by two contents, and is copied before it changes.
type content struct {
	size  int64
	pages map[int64]*page
}

func newContent() content { return content{pages: map[int64]*page{}} }

func (c *content) read(dest []byte, at int64) int {
	if at >= c.size {
		return 0
	}
	dest = dest[:min(int64(len(dest)), c.size-at)]
	for done := 0; done < len(dest); {
		i, from := (at+int64(done))/pageBytes, (at+int64(done))%pageBytes
		n := min(len(dest)-done, int(pageBytes-from))
		if p := c.pages[i]; p != nil {
			copy(dest[done:done+n], p[from:])
		} else {
			clear(dest[done : done+n])
		}
		done += n
	}
	return len(dest)
}

// own gives a page that nobody else has.
func (c *content) own(i int64, other *content) *page {
	p := c.pages[i]
	switch {
	case p == nil:
		p = new(page)
	case other.pages[i] == p:
		copied := *p
		p = &copied
	}
	c.pages[i] = p
	return p
}

// write does not change the size.
func (c *content) write(data []byte, at int64, other *content) {
	for len(data) > 0 {
		i, from := at/pageBytes, at%pageBytes
		n := min(len(data), int(pageBytes-from))
		copy(c.own(i, other)[from:], data[:n])
		data, at = data[n:], at+int64(n)
	}
}

// truncate gives the pages that it took away or changed.
func (c *content) truncate(size int64, other *content) (changed []int64) {
	for i := range c.pages {
		if i*pageBytes >= size {
			delete(c.pages, i)
			changed = append(changed, i)
		}
	}
	if last := size / pageBytes; size%pageBytes != 0 && c.pages[last] != nil {
		clear(c.own(last, other)[size%pageBytes:])
		changed = append(changed, last)
	}
	c.size = size
	return changed
}

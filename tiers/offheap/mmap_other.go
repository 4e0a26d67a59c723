//go:build !unix

package offheap

// NewMmap gives the fallback, since this system has no anonymous mappings that we use.
func NewMmap() Source { return NewGoHeap() }

func defaultSource() Source { return NewGoHeap() }

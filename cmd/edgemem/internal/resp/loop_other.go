//go:build !linux

package resp

import (
	"errors"
	"sync"
)

// loop is of other systems: there is none.
type loop struct {
	srv   *Server
	mu    sync.Mutex
	aside []*client
}

type rawIO struct{}

func newLoop(*Server) (*loop, error) { return nil, errors.ErrUnsupported }

func (c *client) join() bool { return false }

func (l *loop) listen(*client)                       {}
func (l *loop) close()                               {}
func (l *loop) run(uint64)                           {}
func (l *loop) pass()                                {}
func (l *loop) takeAside() []*client                 { return nil }
func (l *loop) takeBack(*client, bool)               {}
func (c *client) tryWrite([]byte) (n int, good bool) { return 0, true }

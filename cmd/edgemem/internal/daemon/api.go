package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/api"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/fabric"
)

// lateAPI makes the API when it is first asked for: many devices have no use for it.
type lateAPI struct {
	d *Daemon

	mu   sync.Mutex
	open bool
	made *api.Handler
	done func() // ends answers to other nodes
}

// handler gives the API; nil while it is not open.
func (l *lateAPI) handler() http.Handler {
	if h := l.get(); h != nil {
		return h
	}
	return nil
}

func (l *lateAPI) get() *api.Handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open && l.made == nil {
		l.made = api.New(api.Config{Fabric: l.d.fabric, Version: build.Get().Version})
	}
	if !l.open {
		return nil
	}
	return l.made
}

// answer answers a request of another node.
func (l *lateAPI) answer(ctx context.Context, q *fabric.Asked, w io.Writer) error {
	h := l.get()
	if h == nil {
		return errors.New("the node is closing")
	}
	return h.Answer(ctx, q, w)
}

// close returns when no request is under way.
func (l *lateAPI) close() error {
	l.mu.Lock()
	l.open = false
	made, done := l.made, l.done
	l.mu.Unlock()
	done()
	if made == nil {
		return nil
	}
	return made.Close()
}

func (d *Daemon) openAPI(context.Context) error {
	d.api.mu.Lock()
	d.api.open = true
	d.api.done = d.fabric.Answer(api.Service, d.api.answer)
	d.api.mu.Unlock()
	d.opened("API", d.api.close)
	return nil
}

package daemon

import (
	"context"
	"net/http"
	"sync"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/api"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
)

// lateAPI makes the API when it is first asked for: many devices have no use for it.
type lateAPI struct {
	d *Daemon

	mu   sync.Mutex
	open bool
	made *api.Handler
}

// handler gives the API; nil while it is not open.
func (l *lateAPI) handler() http.Handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return nil
	}
	if l.made == nil {
		l.made = api.New(api.Config{Fabric: l.d.fabric, Version: build.Get().Version})
	}
	return l.made
}

// close returns when no request is under way.
func (l *lateAPI) close() error {
	l.mu.Lock()
	l.open = false
	made := l.made
	l.mu.Unlock()
	if made == nil {
		return nil
	}
	return made.Close()
}

func (d *Daemon) openAPI(context.Context) error {
	d.api.mu.Lock()
	d.api.open = true
	d.api.mu.Unlock()
	d.opened("API", d.api.close)
	return nil
}

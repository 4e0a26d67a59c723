package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/httpd"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/resp"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/unixsock"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
	"github.com/edgemem/edgemem/p2p"
	"github.com/edgemem/edgemem/persist"
)

var (
	errStarting = errors.New("starting: the checkpoint is not loaded yet")
	errClosing  = errors.New("closing")
)

// Daemon is one node that runs.
type Daemon struct {
	cfg             config.Config
	password, token string
	log             *slog.Logger
	registry        *prometheus.Registry
	began           time.Time
	unready         atomic.Pointer[error] // nil once ready
	broken          chan error            // a local interface that stopped by itself; the first counts

	respListener, httpListener net.Listener
	store                      *persist.Store
	host                       *p2p.Host
	memory                     memory
	fabric                     *fabric.Fabric
	client                     client.Client
	api                        lateAPI
	resp                       *resp.Server

	parts     []part
	closeOnce sync.Once
	closeErr  error
}

// A part is something that was opened, and how it is closed.
type part struct {
	name  string
	close func() error
}

func (d *Daemon) opened(name string, close func() error) {
	d.parts = append(d.parts, part{name, close})
}

// Open starts a node with a valid configuration. When it returns, the node is ready; Close ends it.
// Errors match those of persist and p2p, and ErrListen.
func Open(ctx context.Context, cfg config.Config, log *slog.Logger) (*Daemon, error) {
	d := &Daemon{cfg: cfg, log: log, registry: newRegistry(), began: time.Now(), broken: make(chan error, 1)}
	d.api.d = d
	d.setUnready(errStarting)
	for _, step := range []func(context.Context) error{
		d.openSecrets, d.takeStock, d.openStore, d.openListeners, d.serveHTTP, d.openHost, d.openFabric, d.openAPI, d.serveRESP, d.serveControl, d.countAll,
	} {
		err := ctx.Err()
		if err == nil {
			err = step(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	d.unready.Store(nil)
	if err := notifySystemd("READY=1"); err != nil {
		log.Warn("systemd was not told", "err", err)
	}
	return d, nil
}

func (d *Daemon) setUnready(reason error) { d.unready.Store(&reason) }

// Ready is nil once the checkpoint is loaded and the listeners are up; otherwise it says why not.
func (d *Daemon) Ready() error {
	if reason := d.unready.Load(); reason != nil {
		return *reason
	}
	return nil
}

// Close ends everything in the reverse order of its opening. It may be called more than once.
func (d *Daemon) Close() error {
	d.closeOnce.Do(func() {
		if d.Ready() == nil {
			_ = notifySystemd("STOPPING=1") // the unit stops either way
		}
		d.setUnready(errClosing)
		var errs []error
		for _, p := range slices.Backward(d.parts) {
			began := time.Now()
			if err := p.close(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", p.name, err))
			}
			d.log.Debug("closed", "part", p.name, "took", time.Since(began))
		}
		d.closeErr = errors.Join(errs...)
	})
	return d.closeErr
}

func (d *Daemon) openSecrets(context.Context) (err error) {
	d.password, d.token, err = d.cfg.Secrets()
	return err
}

func (d *Daemon) takeStock(context.Context) (err error) {
	if d.memory, err = planMemory(&d.cfg); err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	return nil
}

func (d *Daemon) openStore(context.Context) (err error) {
	if err := datadir.Ready(d.cfg.DataDir, d.log); err != nil {
		return fmt.Errorf("--data-dir %s: %w", d.cfg.DataDir, err)
	}
	key, err := d.cfg.Key()
	if err != nil {
		return err
	}
	d.store, err = persist.Open(persist.Config{
		Dir: datadir.StorePath(d.cfg.DataDir), Key: key, Logger: d.log,
		Profile: d.memory.profile.Store, MemtableBytes: d.memory.profile.MemtableBytes, JournalBytes: d.memory.profile.JournalBytes,
		TableBytes: d.memory.profile.TableBytes, Calm: debug.FreeOSMemory,
	})
	if errors.Is(err, persist.ErrKey) {
		return fmt.Errorf("--key-file: %w", err)
	}
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", d.cfg.DataDir, err)
	}
	d.opened("store", d.store.Close)
	if most := d.memory.plan.Files; most > 0 {
		d.opened("bound of mapped files", boundMapped(most, residentFiles, d.store.PageOut))
	}
	return nil
}

func (d *Daemon) openListeners(context.Context) (err error) {
	if d.respListener, err = listen("resp", d.cfg.RESP); err != nil {
		return err
	}
	if d.respListener != nil {
		d.opened("RESP listener", closeListener(d.respListener))
	}
	if d.httpListener, err = listen("http", d.cfg.HTTP); err != nil {
		return err
	}
	if d.httpListener != nil {
		d.opened("HTTP listener", closeListener(d.httpListener))
	}
	return nil
}

// closeListener closes a listener that its server may have closed before.
func closeListener(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (d *Daemon) serveHTTP(context.Context) error {
	if d.httpListener == nil {
		return nil
	}
	certificate, err := d.cfg.HTTPCertificate()
	if err != nil {
		return err
	}
	s := httpd.Serve(httpd.Config{
		Listener: d.httpListener, Token: d.token, Ready: d.Ready, Gatherer: d.registry, About: d.about, Logger: d.log, API: d.api.handler, TLS: certificate,
	})
	d.opened("HTTP", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), httpDrain)
		defer cancel()
		return s.Close(ctx)
	})
	return nil
}

// httpDrain is how long requests under way may take when the daemon closes.
const httpDrain = 500 * time.Millisecond

func (d *Daemon) openHost(ctx context.Context) (err error) {
	listen := d.cfg.Listen
	if slices.Equal(listen, config.DefaultListen) {
		listen = nil // the mesh knows its default, and which half of it a machine may lack
	}
	d.host, err = p2p.Open(ctx, p2p.Config{
		Dir: d.cfg.DataDir, Name: d.cfg.Name, Tier: d.cfg.Tier, Listen: listen, Peers: d.cfg.Peer,
		PeersLow: d.memory.profile.PeersLow, PeersHigh: d.memory.profile.PeersHigh,
		Ticket: d.cfg.Join, MDNS: d.cfg.MDNS, Relay: p2p.Relay{Mode: d.cfg.Relay}, Directory: d.cfg.Directory, Logger: d.log, Registerer: d.registry,
	})
	if err != nil {
		return explainMesh(err, &d.cfg)
	}
	d.opened("mesh", d.host.Close)
	if d.host.Name() != d.cfg.Name || d.host.Tier() != d.cfg.Tier {
		d.log.Warn("name and tier stay what the certificate says", "name", d.host.Name(), "tier", d.host.Tier(),
			"asked_name", d.cfg.Name, "asked_tier", d.cfg.Tier)
	}
	return nil
}

// explainMesh names the flag that an error of the mesh is about.
func explainMesh(err error, cfg *config.Config) error {
	switch {
	case errors.Is(err, p2p.ErrListen):
		return fmt.Errorf("--listen: %w", err)
	case cfg.Join != "" && (errors.Is(err, p2p.ErrTicketMalformed) || errors.Is(err, p2p.ErrTicketExpired) ||
		errors.Is(err, p2p.ErrTicketUsed) || errors.Is(err, p2p.ErrTicketRefused) ||
		errors.Is(err, p2p.ErrUnreachable) || errors.Is(err, p2p.ErrOtherFabric)):
		return fmt.Errorf("--join: %w", err)
	default:
		return fmt.Errorf("--data-dir %s: %w", cfg.DataDir, err)
	}
}

func (d *Daemon) openFabric(ctx context.Context) (err error) {
	limit, err := d.cfg.LimitRateBytes()
	if err != nil {
		return fmt.Errorf("--limit-rate: %w", err)
	}
	ghosts, err := d.cfg.Ghosts()
	if err != nil {
		return fmt.Errorf("--max-ghosts: %w", err)
	}
	ghostBytes, err := d.cfg.GhostBytes()
	if err != nil {
		return fmt.Errorf("--max-ghost-bytes: %w", err)
	}
	labels, err := fabric.ParseLabels(d.cfg.Label)
	if err != nil {
		return fmt.Errorf("--label: %w", err)
	}
	d.fabric, err = fabric.Open(ctx, fabric.Config{
		Labels: labels, Name: d.host.Name(), Tier: d.host.Tier(), Storage: remembering{d.store}, Transport: acquainted{d.host}, Logger: d.log,
		Registerer: d.registry, MaxBacklog: d.memory.profile.MaxBacklog, LimitRate: limit, MaxStaged: d.memory.profile.MaxStaged,
		Lease: config.Time(d.cfg.DeviceLease), MaxGhosts: ghosts, MaxGhostBytes: ghostBytes, MaxGhostAge: config.Time(d.cfg.MaxGhostAge), ScrubEvery: d.cfg.Scrub(),
		MemoryBudget: d.memory.plan.Budget, MemoryReserve: d.memory.plan.Reserve, MemorySample: d.memory.sample, MemoryNodes: d.memory.nodes(), MemoryChunk: d.memory.profile.ChunkBytes, Eviction: d.eviction(), ManualMoves: d.cfg.ManualMoves,
	})
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", d.cfg.DataDir, err)
	}
	d.client = client.Embedded(d.fabric) // and answers programs of other nodes
	d.opened("fabric", d.fabric.Close)
	return nil
}

func (d *Daemon) serveRESP(context.Context) (err error) {
	if d.respListener == nil {
		return nil
	}
	d.resp, err = resp.New(resp.Config{
		Listener: d.respListener, Fabric: d.fabric, Auth: d.password, ACLFile: filepath.Join(d.cfg.DataDir, "users.acl"), NodeName: d.host.Name(), Version: build.Get().Version, Logger: d.log,
	})
	if err != nil {
		return err
	}
	// The server must outlive the context of Open, whose end is only the wish to close.
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // one answer, never blocks
	go func() {
		err := d.resp.Serve(ctx)
		d.stopped(err)
		done <- err
	}()
	d.opened("RESP", func() error { cancel(); return <-done })
	return nil
}

// stopped reports a local interface that failed while it should serve.
func (d *Daemon) stopped(err error) {
	if err == nil {
		return
	}
	select {
	case d.broken <- err:
	default: // another failed first, and the node is closing for it
	}
}

func (d *Daemon) serveControl(context.Context) error {
	l, err := unixsock.Listen(filepath.Join(d.cfg.DataDir, control.SocketName))
	if err != nil {
		return fmt.Errorf("--data-dir %s: control socket: %w", d.cfg.DataDir, err)
	}
	d.opened("control socket", control.Serve(l, backend{d}, d.log).Close)
	return nil
}

// countAll adds the metrics of what is open only now.
func (d *Daemon) countAll(context.Context) error {
	if err := d.registry.Register(newCollector(d)); err != nil {
		return fmt.Errorf("daemon: metrics: %w", err)
	}
	return nil
}

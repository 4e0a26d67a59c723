package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	badger_options "github.com/dgraph-io/badger/v4/options"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/tidwall/redcon"
)

// probeBare is libp2p with gossipsub, Badger with small tables, and redcon, in one process that does
// nothing until its standard input ends. It says on its first line how to reach it.
func probeBare(fs *flag.FlagSet) func(context.Context) (values, error) {
	to := fs.String("to", "", "JSON list of neighbours to connect to, as the first line of others")
	return func(ctx context.Context) (values, error) {
		g, err := openGossip(ctx, gossipOptions(false))
		if err != nil {
			return nil, err
		}
		defer g.close()
		var others []peer.AddrInfo
		if *to != "" {
			if err := json.Unmarshal([]byte(*to), &others); err != nil {
				return nil, err
			}
		}
		for _, o := range others {
			if err := g.host.Connect(ctx, o); err != nil {
				return nil, err
			}
		}
		closeRest, err := openBareRest()
		if err != nil {
			return nil, err
		}
		self, err := json.Marshal(peer.AddrInfo{ID: g.host.ID(), Addrs: g.host.Addrs()})
		if err != nil {
			return nil, err
		}
		fmt.Println(string(self))
		<-ctx.Done() // SIGTERM, or the end of the parent
		return nil, closeRest()
	}
}

func openBareRest() (func() error, error) {
	dir, err := os.MkdirTemp("", "edgemem-bare-")
	if err != nil {
		return nil, err
	}
	opts := badger.DefaultOptions(filepath.Join(dir, "db")).WithLogger(nil).
		WithMemTableSize(4 << 20).WithValueThreshold(4 << 10).WithNumMemtables(2).WithValueLogFileSize(8 << 20).WithBlockCacheSize(0).WithIndexCacheSize(1 << 20).
		WithNumCompactors(2).WithCompression(badger_options.None)
	db, err := badger.Open(opts)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	srv := redcon.NewServer("127.0.0.1:0", func(c redcon.Conn, _ redcon.Command) { c.WriteString("OK") }, nil, nil)
	listening := make(chan error, 1) // redcon says once whether it listens
	go func() { _ = srv.ListenServeAndSignal(listening) }()
	if err := <-listening; err != nil {
		return nil, errors.Join(err, db.Close(), os.RemoveAll(dir))
	}
	return func() error { return errors.Join(srv.Close(), db.Close(), os.RemoveAll(dir)) }, nil
}

// idleBare is the idle row for the bare stack.
func (e *env) idleBare(ctx context.Context) (values, error) {
	var neighbours []string
	for range idlePeers {
		s, self, err := e.startBare(ctx, "")
		if err != nil {
			return nil, err
		}
		defer s.quit()
		neighbours = append(neighbours, self)
	}
	s, _, err := e.startBare(ctx, "["+strings.Join(neighbours, ",")+"]")
	if err != nil {
		return nil, err
	}
	defer s.quit()
	return e.watchIdle(ctx, s.pid())
}

func (e *env) startBare(ctx context.Context, to string) (s *server, self string, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	if s, err = e.startServer(bareName, "", program, "probe", "bare", "-to", to); err != nil {
		return nil, "", err
	}
	err = s.await(ctx, "up", func() bool {
		line, _, ok := strings.Cut(s.said.String(), "\n")
		self = line
		return ok && strings.HasPrefix(line, "{")
	})
	return s, self, err
}

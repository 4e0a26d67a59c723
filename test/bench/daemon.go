package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A daemon is an edgemem node in a process of its own.
type daemon struct {
	*server
	program string
	dir     string
	http    string
	ready   time.Duration // from the start of the process until /readyz said yes
}

// node says how to start a daemon; zero fields take the defaults below.
type node struct {
	name, tier, ticket string
}

// startDaemon runs a node on free loopback ports with its data in dir, or in a new one if dir is "", and
// waits until it is ready. mDNS is off, so that it meets nobody but who it is told of.
func (e *env) startDaemon(ctx context.Context, dir string, n node) (*daemon, error) {
	program, err := e.daemon()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp(e.dir, "node-"); err != nil {
			return nil, err
		}
	}
	resp, err1 := freeAddr()
	web, err2 := freeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	args := []string{
		"run", "--data-dir", dir, "--name", or(n.name, "bench"), "--tier", or(n.tier, "cloud"), "--listen", loopbackTCP,
		"--resp", resp, "--http", web, "--mdns=false", "--log-level", "warn",
	}
	if n.ticket != "" {
		args = append(args, "--join", n.ticket)
	}
	began := time.Now()
	s, err := e.startServer(edgemem, resp, program, args...)
	if err != nil {
		return nil, err
	}
	d := &daemon{server: s, program: program, dir: dir, http: web}
	if err := d.await(ctx, "ready", d.isReady); err != nil {
		d.quit()
		return nil, err
	}
	d.ready = time.Since(began)
	return d, nil
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (d *daemon) isReady() bool {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + d.http + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// quit ends the daemon where nothing is measured any more, and where it may not have been started.
func (d *daemon) quit() {
	if d != nil {
		d.server.quit()
	}
}

// command runs one of the daemon's own commands against it.
func (d *daemon) command(ctx context.Context, e *env, args ...string) (string, error) {
	return e.output(ctx, "", d.program, append(args, "--data-dir", d.dir)...)
}

func (d *daemon) invite(ctx context.Context, e *env) (string, error) {
	text, err := d.command(ctx, e, "invite")
	return strings.TrimSpace(text), err
}

// peersUp gives the number of connected peers.
func (d *daemon) peersUp(ctx context.Context, e *env) (int, error) {
	text, err := d.command(ctx, e, "status", "-o", "json")
	if err != nil {
		return 0, err
	}
	var status struct {
		Peers []struct {
			Connected bool `json:"connected"`
		} `json:"peers"`
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return 0, fmt.Errorf("status: %w", err)
	}
	n := 0
	for _, p := range status.Peers {
		if p.Connected {
			n++
		}
	}
	return n, nil
}

// diskRegion is the database whose writes wait for the disk; SELECT takes the name of a region, which
// may be a number. Database 0 is the default region, whose writes do not.
const diskRegion = 7

func (d *daemon) createDiskRegion(ctx context.Context, e *env) error {
	_, err := d.command(ctx, e, "region", "create", fmt.Sprint(diskRegion), "--ack", "disk")
	return err
}

// binaryBytes is the size of the stripped program.
func (e *env) binaryBytes() (float64, error) {
	program, err := e.daemon()
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(filepath.Clean(program))
	if err != nil {
		return 0, err
	}
	return float64(info.Size()), nil
}

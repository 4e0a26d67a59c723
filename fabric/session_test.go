package fabric

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// script is a stream whose other side says a fixed thing and hears whatever comes.
type script struct {
	io.Reader
	heard bytes.Buffer
}

func (s *script) Write(b []byte) (int, error) { return s.heard.Write(b) }
func (s *script) Close() error                { return nil }

// tape records both directions of one real session, to seed the fuzzers.
type tape struct {
	io.ReadWriteCloser
	mu      sync.Mutex
	in, out []byte
}

func (t *tape) Read(b []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(b)
	t.mu.Lock()
	t.in = append(t.in, b[:n]...)
	t.mu.Unlock()
	return n, err
}

func (t *tape) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.out = append(t.out, b...)
	t.mu.Unlock()
	return t.ReadWriteCloser.Write(b)
}

// taped is a transport that gives recorded streams, and otherwise reaches nobody.
type taped struct {
	*MeshNode
	stream io.ReadWriteCloser
}

func (t *taped) OpenStream(context.Context, crdt.NodeID) (io.ReadWriteCloser, error) {
	return t.stream, nil
}

func filled(tb testing.TB, tr Transport) *Fabric {
	tb.Helper()
	f, err := Open(tb.Context(), Config{Name: "n", Transport: tr, Seed: 1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	r, err := f.Region("default")
	if err != nil {
		tb.Fatal(err)
	}
	_, err = r.Apply(func(tx *crdt.Tx) error {
		tx.Set("k", []byte("v"), false)
		tx.Set("gone", nil, false)
		tx.Del("gone")
		_, _ = tx.Incr("n", 3)
		_, _ = tx.SetAdd("s", "m")
		_, err := tx.MapSet("h", "f", []byte("x"))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// realSession gives the bytes that a puller and a server say to each other.
func realSession(tb testing.TB) (asked, answered []byte) {
	tb.Helper()
	m := NewMesh(1)
	a := filled(tb, m.Node("a"))
	tr := &taped{MeshNode: NewMesh(2).Node("b")}
	b := filled(tb, tr)
	client, server := newPipe()
	t := &tape{ReadWriteCloser: client}
	tr.stream = t
	done := make(chan error, 1)
	go func() { done <- a.mesh.serve(tb.Context(), "b", server) }()
	if _, err := b.mesh.pullFrom(tb.Context(), newPeer("a", 0), newLink(), becauseConnected); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil && !errors.Is(err, io.EOF) {
		tb.Fatal(err)
	}
	return t.out, t.in
}

func newPipe() (a, b io.ReadWriteCloser) {
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return pipeEnd{r1, w2}, pipeEnd{r2, w1}
}

type pipeEnd struct {
	*io.PipeReader
	w *io.PipeWriter
}

func (p pipeEnd) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p pipeEnd) Close() error                { _ = p.w.Close(); return p.PipeReader.Close() }

// FuzzServe lets a peer say anything where it should ask.
func FuzzServe(f *testing.F) {
	asked, _ := realSession(f)
	f.Add(asked)
	f.Add([]byte{1, frameOver})
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f, frameAsk})
	node := filled(f, NewMesh(1).Node("a"))
	before := node.Regions()[0].Digest
	f.Fuzz(func(t *testing.T, said []byte) {
		_ = node.mesh.serve(t.Context(), "x", &script{Reader: bytes.NewReader(said)})
		if after := node.Regions()[0].Digest; after != before {
			t.Fatalf("asking changed the state: %s → %s", before, after)
		}
	})
}

// FuzzPull lets a peer answer anything.
func FuzzPull(f *testing.F) {
	_, answered := realSession(f)
	f.Add(answered)
	f.Add([]byte{1, frameEnd})
	f.Add([]byte{4, frameName, 'a', 'b', 'c', 1, frameChunk})
	f.Add([]byte{2, frameWhole, 200, 4, frameChunk, 1, 2, 3, 3, frameZstd, 0x28, 0xb5, 1, frameTurn, 2, frameBusy, 9})
	tr := &taped{MeshNode: NewMesh(1).Node("a")}
	node := filled(f, tr)
	p := newPeer("x", 0)
	f.Fuzz(func(t *testing.T, said []byte) {
		tr.stream = &script{Reader: bytes.NewReader(said)}
		_, _ = node.mesh.pullFrom(t.Context(), p, newLink(), becauseConnected)
		for _, r := range node.all() {
			r.mu.Lock()
			err := r.core.Audit()
			r.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzGossip lets a neighbour push anything.
func FuzzGossip(f *testing.F) {
	m := NewMesh(1)
	a, b := filled(f, m.Node("a")), filled(f, NewMesh(2).Node("b"))
	r := a.all()[0]
	for _, x := range a.all() {
		if x.name == DefaultRegion {
			r = x
		}
	}
	r.mu.Lock()
	_ = r.core.Update(1, func(tx *crdt.Tx) error { tx.Set("k", []byte("w"), false); tx.Flush(); return nil })
	for _, msg := range r.core.TakePush() {
		f.Add(msg)
	}
	r.mu.Unlock()
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		b.mesh.onGossip("x", frame)
		for _, r := range b.all() {
			r.mu.Lock()
			err := r.core.Audit()
			r.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestSessionFramesAreBounded(t *testing.T) {
	t.Parallel()
	for name, said := range map[string][]byte{
		"huge":            {0xff, 0xff, 0xff, 0xff, 0x0f, frameChunk},
		"empty":           {0},
		"large small":     {0x80, 0x80, 0x80, 0x08, frameAsk},
		"cut":             {9, frameChunk, 1, 2},
		"endless length":  bytes.Repeat([]byte{0xff}, 20),
		"not for answers": {1, frameOver},
	} {
		c := newConn(context.Background(), &script{Reader: bytes.NewReader(said)}, limits{})
		kind, _, err := c.read()
		if err == nil && kind != frameOver {
			t.Errorf("%s: kind %d read", name, kind)
		}
	}
}

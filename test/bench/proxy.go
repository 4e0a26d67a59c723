package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy passes TCP connections on to target, counts their bytes, and holds each byte back for
// delay, as a wire of that length would: bandwidth is not limited, and bytes keep their order.
type proxy struct {
	listener net.Listener
	target   string
	delay    time.Duration
	bytes    atomic.Int64 // both directions

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]bool
	shut  bool
}

const (
	proxyChunkBytes = 64 << 10
	// proxyChunksMax bounds what one direction holds back. When it is full the proxy stops reading,
	// and TCP's own window stops the sender: 64 MiB are more than any row has under way.
	proxyChunksMax = 1024
)

func startProxy(target string, delay time.Duration) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, delay: delay, conns: make(map[net.Conn]bool)}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends all connections and waits for what passes them on.
func (p *proxy) close() {
	p.mu.Lock()
	p.shut = true
	_ = p.listener.Close()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		if !p.keep(in, out) {
			return
		}
		p.wg.Go(func() { p.pass(out, in) })
		p.wg.Go(func() { p.pass(in, out) })
	}
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.shut {
			_ = c.Close()
			continue
		}
		p.conns[c] = true
	}
	return !p.shut
}

type heldChunk struct {
	due  time.Time
	data []byte
}

// pass moves one direction. The end of one side is passed on after what came before it.
func (p *proxy) pass(dst, src net.Conn) {
	held := make(chan heldChunk, proxyChunksMax)
	p.wg.Go(func() { p.release(dst, held) })
	defer close(held)
	for {
		buf := make([]byte, proxyChunkBytes)
		n, err := src.Read(buf)
		if n > 0 {
			p.bytes.Add(int64(n))
			held <- heldChunk{time.Now().Add(p.delay), buf[:n]}
		}
		if err != nil {
			return
		}
	}
}

// release writes each chunk when it is due. After a failed write it only drains, so that pass ends.
func (p *proxy) release(dst net.Conn, held <-chan heldChunk) {
	var err error
	for c := range held {
		if err != nil {
			continue
		}
		if wait := time.Until(c.due); wait > 0 {
			time.Sleep(wait)
		}
		_, err = dst.Write(c.data)
	}
	if tcp, ok := dst.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // fails if the other side has closed already, which is as good
	}
}

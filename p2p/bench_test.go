package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The latency of one publish over one hop, on an idle loopback link, from the call of Publish to the
// receiver's callback; against gossipsub of the same version alone, as libp2p sets it up, over the same
// transport. ns/op is the mean; the median is reported too, because single waits of the scheduler are long.
//
//	go test -run xxx -bench OneHop -benchtime 2000x ./p2p

const benchFrame = 200 // bytes: a small push

func BenchmarkOneHop(b *testing.B) {
	b.Run("gossipsub=alone", func(b *testing.B) { benchBare(b) })
	b.Run("gossipsub=alone,unsigned", func(b *testing.B) {
		benchBare(b, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(), pubsub.WithMessageIdFn(messageID))
	})
	b.Run("p2p", benchHost)
}

func benchHost(b *testing.B) {
	arrived := make(chan struct{}, 1)
	a := benchPair(b, func() { arrived <- struct{}{} })
	benchLatency(b, make([]byte, benchFrame), arrived, func(frame []byte) error { return a.Publish(b.Context(), frame) })
}

// benchPair connects two hosts, of which the second calls onGossip, and returns the first.
func benchPair(b *testing.B, onGossip func()) *Host {
	b.Helper()
	up := make(chan struct{}, 2)
	open := func(name, ticket string) *Host {
		h, err := Open(b.Context(), Config{Dir: b.TempDir(), Name: name, Listen: loopbackTCP, Ticket: ticket, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { h.Close() })
		err = h.Serve(func(crdt.NodeID, string, string, bool) { up <- struct{}{} },
			func(crdt.NodeID, []byte) { onGossip() },
			func(_ crdt.NodeID, s io.ReadWriteCloser) { io.Copy(io.Discard, s); s.Close() })
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	from := open("from", "")
	ticket, err := from.Invite(InviteOptions{})
	if err != nil {
		b.Fatal(err)
	}
	open("to", ticket)
	<-up
	<-up
	return from
}

func benchBare(b *testing.B, opts ...pubsub.Option) {
	hosts := [2]host.Host{}
	subs := [2]*pubsub.Subscription{}
	topics := [2]*pubsub.Topic{}
	for i := range hosts {
		h, err := libp2p.New(libp2p.ListenAddrStrings(loopbackTCP...))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { h.Close() })
		ps, err := pubsub.NewGossipSub(b.Context(), h, opts...)
		if err != nil {
			b.Fatal(err)
		}
		hosts[i] = h
		if topics[i], err = ps.Join("bench"); err != nil {
			b.Fatal(err)
		}
		if subs[i], err = topics[i].Subscribe(); err != nil {
			b.Fatal(err)
		}
	}
	if err := hosts[1].Connect(b.Context(), peer.AddrInfo{ID: hosts[0].ID(), Addrs: hosts[0].Addrs()}); err != nil {
		b.Fatal(err)
	}
	arrived := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := subs[1].Next(ctx); err != nil {
				return
			}
			arrived <- struct{}{}
		}
	}()
	benchLatency(b, make([]byte, benchFrame), arrived, func(frame []byte) error {
		frame = slices.Clone(frame)
		rand.Read(frame[:8])
		return topics[0].Publish(ctx, frame)
	})
	cancel()
	<-done
}

// benchLatency publishes one frame at a time, each after the one before has arrived and the link has been
// idle for a moment.
func benchLatency(b *testing.B, frame []byte, arrived chan struct{}, publish func([]byte) error) {
	warm := time.NewTicker(20 * time.Millisecond)
	defer warm.Stop()
	for ready := false; !ready; { // until gossip has found the other side
		if err := publish(frame); err != nil {
			b.Fatal(err)
		}
		select {
		case <-arrived:
			ready = true
		case <-warm.C:
		}
	}
	drain(arrived, 200*time.Millisecond)
	samples := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		<-warm.C
		b.StartTimer()
		start := time.Now()
		if err := publish(frame); err != nil {
			b.Fatal(err)
		}
		<-arrived
		samples = append(samples, time.Since(start))
	}
	b.StopTimer()
	slices.Sort(samples)
	b.ReportMetric(float64(samples[len(samples)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(samples[len(samples)*99/100].Nanoseconds()), "p99-ns")
}

func drain(ch chan struct{}, quiet time.Duration) {
	for {
		select {
		case <-ch:
		case <-time.After(quiet):
			return
		}
	}
}

// The proof of membership costs one signature check each side, and the codec.
func BenchmarkCertificateVerify(b *testing.B) {
	c := fixedCertificate(b)
	raw := c.marshal()
	for b.Loop() {
		back, err := parseCertificate(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := back.verify(fabricOf(fixedKey(1).Public().(ed25519.PublicKey)), c.Peer, c.NotBefore); err != nil {
			b.Fatal(err)
		}
	}
}

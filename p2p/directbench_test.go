package p2p

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// What a mesh of three costs while nothing is written: bytes on the wire a second and peer, both ways together.
// One operation is one second.
//
//	go test -run xxx -bench Idle -benchtime 120x ./p2p
func BenchmarkIdle(b *testing.B) {
	for name, listen := range map[string][]string{"tcp": loopbackTCP, "quic": loopbackQUIC} {
		b.Run(name, func(b *testing.B) {
			hosts := benchMesh(b, 3, listen, fewMax, func(int, []byte) {})
			second := time.NewTicker(time.Second)
			defer second.Stop()
			<-second.C // the mesh settles
			before := wireBytes(hosts)
			b.ResetTimer()
			for range b.N {
				<-second.C
			}
			b.StopTimer()
			ways := float64(len(hosts) * (len(hosts) - 1)) // what one sends another receives: both sides count it
			b.ReportMetric(float64(wireBytes(hosts)-before)/ways/float64(b.N), "B/s/peer")
		})
	}
}

func wireBytes(hosts []*Host) (n int64) {
	for _, h := range hosts {
		bw := h.Bandwidth()
		n += bw.TCP.In + bw.TCP.Out + bw.QUIC.In + bw.QUIC.Out
	}
	return n
}

// A mesh of three under 500 frames a second of 2.3 KB, as 10,000 writes of 100 B a second make them: how long a frame
// takes to reach the others, and how many bytes they received for each byte of payload.
//
//	go test -run xxx -bench Load -benchtime 5000x ./p2p
func BenchmarkLoad(b *testing.B) {
	b.Run("direct", func(b *testing.B) { benchLoad(b, fewMax) })
	b.Run("topic", func(b *testing.B) { benchLoad(b, -1) })
}

func benchLoad(b *testing.B, few int) {
	const frameBytes, every = 2300, 2 * time.Millisecond
	arrived := make(chan time.Duration, 1<<16)
	var wanted atomic.Bool
	hosts := benchMesh(b, 3, loopbackTCP, few, func(_ int, frame []byte) {
		if wanted.Load() {
			arrived <- time.Duration(time.Now().UnixNano()) - time.Duration(stampOf(frame))
		}
	})
	frame := make([]byte, frameBytes)
	rand.Read(frame)
	pace := time.NewTicker(every)
	defer pace.Stop()
	for range 1500 { // the mesh settles
		<-pace.C
		if err := hosts[0].Publish(b.Context(), stampNow(frame)); err != nil {
			b.Fatal(err)
		}
	}
	drainTimes(arrived)
	wanted.Store(true)
	before := hosts[1].Bandwidth().TCP.In + hosts[2].Bandwidth().TCP.In
	b.ResetTimer()
	for range b.N {
		<-pace.C
		if err := hosts[0].Publish(b.Context(), stampNow(frame)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	took := drainTimes(arrived)
	in := hosts[1].Bandwidth().TCP.In + hosts[2].Bandwidth().TCP.In - before
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
	b.ReportMetric(float64(len(took))/float64(2*b.N), "arrived")
	b.ReportMetric(float64(in)/float64(2*b.N*frameBytes), "copies")
}

// A burst of 20,000 small frames, published one by one as fast as possible: the part of them that arrives as frames.
// The rest is for pulls.
//
//	go test -run xxx -bench Burst -benchtime 5x ./p2p
func BenchmarkBurst(b *testing.B) {
	const frames = 20_000
	for name, few := range map[string]int{"direct": fewMax, "topic": -1} {
		b.Run(name, func(b *testing.B) {
			arrived := make(chan time.Duration, 2*frames)
			hosts := benchMesh(b, 2, loopbackTCP, few, func(int, []byte) { arrived <- 0 })
			frame, got := make([]byte, 128), 0
			for range 200 { // the mesh settles
				if err := hosts[0].Publish(b.Context(), frame); err != nil {
					b.Fatal(err)
				}
				<-time.After(10 * time.Millisecond)
			}
			drainTimes(arrived)
			b.ResetTimer()
			for range b.N {
				for range frames {
					if err := hosts[0].Publish(b.Context(), frame); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				got += len(drainTimes(arrived))
				b.StartTimer()
			}
			b.ReportMetric(float64(got)/float64(frames*b.N), "arrived")
		})
	}
}

func stampNow(frame []byte) []byte {
	for i, t := 0, time.Now().UnixNano(); i < 8; i++ {
		frame[i] = byte(t >> (8 * i))
	}
	return frame
}

func stampOf(frame []byte) (t int64) {
	for i := range 8 {
		t |= int64(frame[i]) << (8 * i)
	}
	return t
}

// drainTimes takes what comes until nothing does for a while.
func drainTimes(ch chan time.Duration) (all []time.Duration) {
	for {
		select {
		case d := <-ch:
			all = append(all, d)
		case <-time.After(300 * time.Millisecond):
			return all
		}
	}
}

// benchMesh opens n hosts that are all connected to each other.
func benchMesh(b *testing.B, n int, listen []string, few int, onGossip func(i int, frame []byte)) (hosts []*Host) {
	b.Helper()
	up := make(chan struct{}, n*n)
	for i := range n {
		c := Config{Dir: b.TempDir(), Name: fmt.Sprintf("n%d", i), Tier: "edge", Listen: listen, Logger: slog.New(slog.DiscardHandler), few: few}
		if i > 0 {
			ticket, err := hosts[0].Invite(InviteOptions{})
			if err != nil {
				b.Fatal(err)
			}
			c.Ticket = ticket
		}
		h, err := Open(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { h.Close() })
		err = h.Serve(func(_ crdt.NodeID, _, _ string, isUp bool) {
			if isUp {
				up <- struct{}{}
			}
		}, func(_ crdt.NodeID, frame []byte) { onGossip(i, frame) },
			func(_ crdt.NodeID, s io.ReadWriteCloser) { s.Close() })
		if err != nil {
			b.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	for range n * (n - 1) {
		<-up
	}
	return hosts
}

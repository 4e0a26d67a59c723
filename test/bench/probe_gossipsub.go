package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// probeHopGossipsub gives the time of one message between two neighbours with nothing around it, in
// microseconds: what no protocol above gossipsub can undercut.
func probeHopGossipsub(fs *flag.FlagSet) func(context.Context) (values, error) {
	samples := fs.Int("n", 500, "messages to time")
	gap := fs.Duration("gap", 20*time.Millisecond, "rest between two messages")
	return func(ctx context.Context) (values, error) {
		a, b, err := gossipPair(ctx)
		if err != nil {
			return nil, err
		}
		defer a.close()
		defer b.close()
		message := append([]byte(key(0)), valueSource(1)()...)
		return timeHops(ctx, *samples, *gap, func(int) error {
			return a.topic.Publish(ctx, message)
		}, func(int) error {
			_, err := b.sub.Next(ctx)
			return err
		})
	}
}

// timeHops sends one after the other and times each from before send until receive returned, which
// runs beside it as it does in a program that waits for news.
func timeHops(ctx context.Context, n int, gap time.Duration, send, receive func(i int) error) (values, error) {
	type arrival struct {
		at  time.Time
		err error
	}
	arrived := make(chan arrival, 1) // one message is under way at a time
	go func() {                      // ends after n messages or with ctx, which fails receive
		for i := range n {
			err := receive(i)
			arrived <- arrival{time.Now(), err}
			if err != nil {
				return
			}
		}
	}()
	var took []float64
	for i := range n {
		time.Sleep(gap)
		began := time.Now()
		if err := send(i); err != nil {
			return nil, err
		}
		select {
		case got := <-arrived:
			if got.err != nil {
				return nil, got.err
			}
			took = append(took, float64(got.at.Sub(began).Nanoseconds())/1000)
		case <-ctx.Done():
			return nil, fmt.Errorf("message %d did not arrive: %w", i, ctx.Err())
		}
	}
	slices.Sort(took)
	return values{"p50_us": took[len(took)/2], "p99_us": took[len(took)*99/100]}, nil
}

type gossipNode struct {
	host  host.Host
	topic *pubsub.Topic
	sub   *pubsub.Subscription
}

func (g *gossipNode) close() { _ = g.host.Close() }

func openGossip(ctx context.Context) (*gossipNode, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		return nil, err
	}
	ps, err := pubsub.NewGossipSub(ctx, h)
	if err != nil {
		return nil, err
	}
	topic, err := ps.Join("bench")
	if err != nil {
		return nil, err
	}
	sub, err := topic.Subscribe()
	return &gossipNode{h, topic, sub}, err
}

// gossipPair gives two neighbours that are in each other's mesh.
func gossipPair(ctx context.Context) (a, b *gossipNode, err error) {
	if a, err = openGossip(ctx); err != nil {
		return nil, nil, err
	}
	if b, err = openGossip(ctx); err != nil {
		return nil, nil, err
	}
	if err := a.host.Connect(ctx, peer.AddrInfo{ID: b.host.ID(), Addrs: b.host.Addrs()}); err != nil {
		return nil, nil, err
	}
	return a, b, await(ctx, "gossipsub's neighbours", 10*time.Second, func() bool {
		return len(a.topic.ListPeers()) > 0 && len(b.topic.ListPeers()) > 0
	})
}

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsub_pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// probeHopGossipsub gives the time of one message between two neighbours with nothing around it, in
// microseconds: what no protocol above gossipsub can undercut.
func probeHopGossipsub(fs *flag.FlagSet) func(context.Context) (values, error) {
	samples := fs.Int("n", 500, "messages to time")
	gap := fs.Duration("gap", 20*time.Millisecond, "rest between two messages")
	signed := fs.Bool("signed", false, "sign each message, as gossipsub does by default")
	return func(ctx context.Context) (values, error) {
		a, b, err := gossipPair(ctx, gossipOptions(*signed))
		if err != nil {
			return nil, err
		}
		defer a.close()
		defer b.close()
		value := valueSource(1)
		return timeHops(ctx, *samples, *gap, func(i int) error {
			return a.topic.Publish(ctx, append([]byte(key(i)), value()...))
		}, func(i int) error {
			return b.awaitMessage(ctx, key(i))
		})
	}
}

// awaitMessage takes messages until one begins with want.
func (g *gossipNode) awaitMessage(ctx context.Context, want string) error {
	for {
		m, err := g.sub.Next(ctx)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(m.Data), want) {
			return nil
		}
	}
}

const (
	// warmHops are sent first and not timed: caches and gossipsub's mesh settle, and a message that
	// is lost before the mesh stands is sent again.
	warmHops     = 20
	warmHopMax   = 200 * time.Millisecond
	warmTriesMax = 100
	hopMax       = 5 * time.Second
)

// timeHops sends one after the other and times each from before send until receive returned, which
// runs beside it as it does in a program that waits for news.
func timeHops(ctx context.Context, n int, gap time.Duration, send, receive func(i int) error) (values, error) {
	arrived := make(chan arrival, 1) // one message is under way at a time; a late warm one waits here
	go func() {                      // ends after the last message, or with ctx, which fails receive
		for i := range warmHops + n {
			err := receive(i)
			arrived <- arrival{i, time.Now(), err}
			if err != nil {
				return
			}
		}
	}()
	for i := range warmHops {
		if err := warmHop(i, send, arrived); err != nil {
			return nil, err
		}
	}
	var took []float64
	for i := warmHops; i < warmHops+n; i++ {
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
		case <-time.After(hopMax):
			return nil, fmt.Errorf("message %d did not arrive within %v", i, hopMax)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	slices.Sort(took)
	return values{"p50_us": took[len(took)/2], "p99_us": took[len(took)*99/100]}, nil
}

type arrival struct {
	i   int
	at  time.Time
	err error
}

// warmHop sends message i until it arrives.
func warmHop(i int, send func(int) error, arrived <-chan arrival) error {
	for range warmTriesMax {
		if err := send(i); err != nil {
			return err
		}
		select {
		case got := <-arrived:
			return got.err
		case <-time.After(warmHopMax):
		}
	}
	return fmt.Errorf("no message arrived in %d tries", warmTriesMax)
}

type gossipNode struct {
	host  host.Host
	topic *pubsub.Topic
	sub   *pubsub.Subscription
}

func (g *gossipNode) close() { _ = g.host.Close() }

// gossipOptions are gossipsub's defaults, or without signatures, as edgemem uses it: its members have
// proven themselves, so that a signature on each message would only cost.
func gossipOptions(signed bool) []pubsub.Option {
	if signed {
		return nil
	}
	return []pubsub.Option{
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(func(m *pubsub_pb.Message) string { return string(m.Data) }),
	}
}

func openGossip(ctx context.Context, opts []pubsub.Option) (*gossipNode, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		return nil, err
	}
	ps, err := pubsub.NewGossipSub(ctx, h, opts...)
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
func gossipPair(ctx context.Context, opts []pubsub.Option) (a, b *gossipNode, err error) {
	if a, err = openGossip(ctx, opts); err != nil {
		return nil, nil, err
	}
	if b, err = openGossip(ctx, opts); err != nil {
		return nil, nil, err
	}
	if err := a.host.Connect(ctx, peer.AddrInfo{ID: b.host.ID(), Addrs: b.host.Addrs()}); err != nil {
		return nil, nil, err
	}
	return a, b, await(ctx, "gossipsub's neighbours", 10*time.Second, func() bool {
		return len(a.topic.ListPeers()) > 0 && len(b.topic.ListPeers()) > 0
	})
}

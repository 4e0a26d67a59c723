package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/dataset"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
	"github.com/edgemem/edgemem/fabric"
)

const (
	roaming      = "maps" // a region that need not be everywhere
	roamEntries  = 300
	roamEvery    = 2 * time.Millisecond // between two reads
	roamTimeout  = 30 * time.Second     // it takes a second or two, also on a busy machine
	roamReadsEnd = 300                  // reads when it has come
)

// stepRoam has a region live in the cloud, reads it at the edge, and waits until it has come there.
func (d *demo) stepRoam(ctx context.Context, _ dataset.Source) error {
	d.screen.begin("Make a region in the cloud that is to go where it is used, and read it at the edge")
	ctx, cancel := context.WithTimeout(ctx, roamTimeout)
	defer cancel()
	if _, err := d.cloud.control.CreateRegion(ctx, roaming, control.RegionOptions{Placement: "demand"}); err != nil {
		return err
	}
	cloud, err := selecting(ctx, d.cloud)
	if err != nil {
		return err
	}
	defer cloud.Close()
	for i := range roamEntries {
		if _, err := cloud.Do("SET", fmt.Sprint("tile:", i), fmt.Sprint("drawn in the cloud, number ", i)); err != nil {
			return fmt.Errorf("cloud answered SET: %w", err)
		}
	}
	if err := d.placed(ctx); err != nil {
		return err
	}
	edge, err := selecting(ctx, d.edge)
	if err != nil {
		return err
	}
	defer edge.Close()
	var through, here []time.Duration
	began := time.Now()
	for i := 0; len(here) < roamReadsEnd; i++ {
		took, err := d.readTile(edge, i%roamEntries)
		if err != nil {
			return err
		}
		if here != nil {
			here = append(here, took)
			continue
		}
		through = append(through, took)
		r, err := d.edge.control.ShowRegion(ctx, roaming)
		if err != nil {
			return err
		}
		if r.Held {
			here = []time.Duration{}
			d.screen.ok("%s reads through the cloud, half within %s; then the region was at the edge, %s after the first", count(len(through)), span(percentile(through, 50)), span(time.Since(began)))
		}
		time.Sleep(roamEvery)
	}
	d.screen.ok("%s reads at the edge, half within %s", count(len(here)), span(percentile(here, 50)))
	return d.tellMove(ctx)
}

// selecting is a connection to a node that has the region selected.
func selecting(ctx context.Context, n *node) (*respclient.Conn, error) {
	conn, err := respclient.Dial(ctx, n.status.Node.RESP)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Do("SELECT", roaming); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s answered SELECT: %w", n.name, err)
	}
	return conn, nil
}

// placed waits until the edge has heard of the region, and checks that it has no copy.
func (d *demo) placed(ctx context.Context) error {
	return d.poll(ctx, "a region in the cloud alone", func(all []control.Status) bool {
		for _, s := range all {
			for _, r := range s.Regions {
				if r.Name == roaming && (r.Placement != "demand" || r.Held != (s.Node.Name == d.cloud.name)) {
					return false
				}
			}
		}
		_, err := d.edge.control.ShowRegion(ctx, roaming)
		return err == nil
	})
}

func (d *demo) readTile(conn *respclient.Conn, i int) (time.Duration, error) {
	start := time.Now()
	got, err := conn.Do("GET", fmt.Sprint("tile:", i))
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("edge answered GET: %w", err)
	}
	if want := fmt.Sprint("drawn in the cloud, number ", i); got != want {
		d.fail("edge: tile:%d of region %s holds %v, want %q", i, roaming, got, want)
	}
	return took, nil
}

// tellMove says why the copy came.
func (d *demo) tellMove(ctx context.Context) error {
	for {
		x, err := d.edge.control.ExplainRegion(ctx, roaming, nil)
		if err != nil {
			return err
		}
		for _, m := range x.Moves {
			if string(m.Node) == d.edge.status.Node.ID && m.Error == "" {
				d.screen.ok("why: %s", d.named(m))
				return nil
			}
		}
		select { // it is noted just after
		case <-ctx.Done():
			return fmt.Errorf("the move of region %s was not noted: %w", roaming, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// named puts the names of nodes in the place of their ids.
func (d *demo) named(m fabric.MoveRecord) string {
	why := m.Why
	for _, n := range d.nodes() {
		why = strings.ReplaceAll(why, n.status.Node.ID, n.name)
	}
	return why
}

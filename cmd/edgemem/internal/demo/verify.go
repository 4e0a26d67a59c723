package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
)

const (
	scanCount = "1000"
	// faultsShown bounds what is printed of many wrong keys; all are counted.
	faultsShown = 5
)

// A report is what reading one node whole came to.
type report struct {
	node   *node
	keys   int
	dbsize int64
	faults []string
	err    error
}

// readBack compares every key of every node with the oracle, all nodes at once.
func (d *demo) readBack(ctx context.Context) []report {
	reports := make([]report, len(d.nodes()))
	want := d.oracle.sortedKeys()
	var wg sync.WaitGroup
	for i, n := range d.nodes() {
		wg.Go(func() {
			reports[i] = report{node: n}
			reports[i].err = reports[i].fill(ctx, d.oracle, want)
		})
	}
	wg.Wait()
	return reports
}

func (r *report) fill(ctx context.Context, o *oracle, want []string) error {
	there, err := r.scan(ctx)
	if err != nil {
		return err
	}
	for _, key := range want {
		if !there[key] {
			r.faults = append(r.faults, fmt.Sprintf("%s: %s is missing", r.node.name, show(key)))
		}
		delete(there, key)
	}
	for _, key := range slices.Sorted(maps.Keys(there)) {
		r.faults = append(r.faults, fmt.Sprintf("%s: %s is there, want it gone", r.node.name, show(key)))
	}
	return r.compare(ctx, o, want)
}

// scan gives every key of the node, each once, though SCAN may repeat some.
func (r *report) scan(ctx context.Context) (map[string]bool, error) {
	reply, err := r.node.resp.Do("DBSIZE")
	if err != nil {
		return nil, fmt.Errorf("%s answered DBSIZE: %w", r.node.name, err)
	}
	r.dbsize, _ = reply.(int64) // anything else is 0, which does not agree with the oracle
	there := map[string]bool{}
	for cursor := "0"; ; {
		reply, err := r.node.resp.Do("SCAN", cursor, "COUNT", scanCount)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s answered SCAN: %w", r.node.name, err)
		}
		page, ok := reply.([]any)
		if !ok || len(page) != 2 {
			return nil, fmt.Errorf("%s answered SCAN with %v", r.node.name, reply)
		}
		maps.Copy(there, elements(page[1]))
		if cursor = fmt.Sprint(page[0]); cursor == "0" {
			r.keys = len(there)
			return there, nil
		}
	}
}

// compare reads all the keys in pipelines.
func (r *report) compare(ctx context.Context, o *oracle, keys []string) error {
	for batch := range slices.Chunk(keys, pipelineCommands) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, key := range batch {
			if err := r.node.resp.Send(o.keys[key].command(key)...); err != nil {
				return fmt.Errorf("%s: %w", r.node.name, err)
			}
		}
		if err := r.node.resp.Flush(); err != nil {
			return fmt.Errorf("%s: %w", r.node.name, err)
		}
		if err := r.receive(o, batch); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) receive(o *oracle, batch []string) error {
	for _, key := range batch {
		reply, err := r.node.resp.Receive()
		if answer := respclient.Error(""); err != nil && !errors.As(err, &answer) {
			return fmt.Errorf("%s: %w", r.node.name, err)
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		} else {
			problem = o.keys[key].compare(reply)
		}
		if problem != "" {
			r.faults = append(r.faults, fmt.Sprintf("%s: %s %s", r.node.name, show(key), problem))
		}
	}
	return nil
}

// outcome shows what a key came to, for the table of conflicts.
func outcome(w *wanted, reply any) string {
	switch w.kind {
	case "hash":
		fields := pairs(reply)
		var parts []string
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			parts = append(parts, f+"="+fields[f])
		}
		return strings.Join(parts, " ")
	case "set":
		return strings.Join(slices.Sorted(maps.Keys(elements(reply))), " ")
	}
	if reply == nil {
		return "gone"
	}
	return fmt.Sprint(reply)
}

package demo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/dataset"
)

const (
	// pipelineCommands are sent before their replies are read.
	pipelineCommands = 256
	// commandArgs bounds the members or fields of one command.
	commandArgs = 512
)

// pipeline sends commands to one node in batches, and fails on the first error reply. onBatch, if set,
// is called when a batch has been acknowledged.
type pipeline struct {
	node    *node
	pending []string // the command, for the report of an error
	onBatch func()
}

func (p *pipeline) send(args ...string) error {
	if err := p.node.resp.Send(args...); err != nil {
		return fmt.Errorf("%s: %w", p.node.name, err)
	}
	p.pending = append(p.pending, args[0]+" "+args[1])
	if len(p.pending) < pipelineCommands {
		return nil
	}
	return p.flush()
}

func (p *pipeline) flush() error {
	if err := p.node.resp.Flush(); err != nil {
		return fmt.Errorf("%s: %w", p.node.name, err)
	}
	for _, command := range p.pending {
		if _, err := p.node.resp.Receive(); err != nil {
			return fmt.Errorf("%s answered %s: %w", p.node.name, show(command), err)
		}
	}
	if p.onBatch != nil {
		p.onBatch()
	}
	p.pending = p.pending[:0]
	return nil
}

// commands gives what loads one record.
func commands(r dataset.Record) [][]string {
	switch r.Kind {
	case dataset.Hash:
		var args []string
		for _, f := range r.Fields {
			args = append(args, f.Name, f.Value)
		}
		return chunked("HSET", r.Key, args)
	case dataset.Set:
		return chunked("SADD", r.Key, r.Members)
	case dataset.Counter:
		return [][]string{{"INCRBY", r.Key, strconv.FormatInt(r.Count, 10)}}
	default:
		return [][]string{{"SET", r.Key, r.Value}}
	}
}

func chunked(command, key string, args []string) [][]string {
	var all [][]string
	for len(args) > 0 {
		n := min(len(args), commandArgs)
		all = append(all, append([]string{command, key}, args[:n]...))
		args = args[n:]
	}
	return all
}

// loaded says what a load came to.
type loaded struct {
	records, commands int
	payload           int64 // bytes of keys, fields, members and values
	took              time.Duration
}

// load streams the records into n through one connection, and notes each in the oracle.
func (d *demo) load(ctx context.Context, n *node, source dataset.Source, limit int) (l loaded, err error) {
	bar := d.screen.progress("loading")
	defer bar.done()
	p := &pipeline{node: n, onBatch: func() { bar.reach(l.records) }}
	began := time.Now()
	for r, err := range dataset.Limit(source.Records, limit) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return l, err
		}
		cmds := commands(r)
		for _, c := range cmds {
			if err := p.send(c...); err != nil {
				return l, err
			}
		}
		d.oracle.apply(r)
		l.records, l.commands, l.payload = l.records+1, l.commands+len(cmds), l.payload+int64(r.Bytes())
	}
	if err := p.flush(); err != nil {
		return l, err
	}
	l.took = time.Since(began)
	return l, nil
}

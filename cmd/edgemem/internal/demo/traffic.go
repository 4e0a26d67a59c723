package demo

import (
	"fmt"
	"strconv"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/dataset"
)

// written is what one side wrote during the partition, and its payload in bytes.
type written struct {
	writes  int
	payload int64
	keys    map[string]bool
}

// both counts the keys that a and b wrote, each without seeing the other.
func both(a, b written) int {
	n := 0
	for k := range a.keys {
		if b.keys[k] {
			n++
		}
	}
	return n
}

// touched is how many of the loaded hashes get fields from both sides while they are apart.
const touched = 500

// writeAway makes the connected side's writes: new keys on the cloud and on the edge, fields of what was
// loaded, members of a set and steps of a counter that the device uses too.
func (d *demo) writeAway() (w written, err error) {
	w.keys = map[string]bool{}
	cloudSide, edgeSide := d.side(d.cloud, &w), d.side(d.edge, &w)
	hashes := d.loadedHashes()
	for i := range awayWrites {
		s := cloudSide
		if i%3 == 0 {
			s = edgeSide
		}
		switch {
		case i%12 == 1:
			s.incr("shared:visits", int64(i%7+1))
		case i%12 == 2:
			s.sadd("shared:seen", fmt.Sprintf("%s:%d", s.p.node.name, i))
		case i%12 == 4 && len(hashes) > 0:
			s.hset(hashes[i/12%len(hashes)], "audited-by", "cloud "+strconv.Itoa(i))
		default:
			s.set(fmt.Sprintf("away:%s:%05d", s.p.node.name, i), "written while the device was off line, number "+strconv.Itoa(i))
		}
	}
	return w, firstError(cloudSide.finish(), edgeSide.finish())
}

// writeOnDevice makes the device's writes, on some of the same keys.
func (d *demo) writeOnDevice() (w written, err error) {
	w.keys = map[string]bool{}
	s := d.side(d.device, &w)
	hashes := d.loadedHashes()
	for i := range deviceWrites {
		switch {
		case i%6 == 1:
			s.incr("shared:visits", -int64(i%5+1))
		case i%6 == 2:
			s.sadd("shared:seen", fmt.Sprintf("device:%d", i))
		case i%6 == 3 && len(hashes) > 0:
			s.hset(hashes[i/6%len(hashes)], "measured-by", "device "+strconv.Itoa(i))
		default:
			s.set(fmt.Sprintf("away:device:%05d", i), "written off line, number "+strconv.Itoa(i))
		}
	}
	return w, s.finish()
}

// loadedHashes gives some of the loaded hashes, the same each time.
func (d *demo) loadedHashes() []string {
	var keys []string
	for _, k := range d.oracle.sortedKeys() {
		if d.oracle.keys[k].kind == "hash" {
			if keys = append(keys, k); len(keys) == touched {
				break
			}
		}
	}
	return keys
}

// sideWriter writes to one node, the oracle and the sum at once, and keeps the first error.
type sideWriter struct {
	p      *pipeline
	oracle *oracle
	sum    *written
	err    error
}

func (d *demo) side(n *node, sum *written) *sideWriter {
	return &sideWriter{p: &pipeline{node: n}, oracle: d.oracle, sum: sum}
}

func (s *sideWriter) send(payload int, args ...string) {
	s.sum.writes++
	s.sum.keys[args[1]] = true
	s.sum.payload += int64(payload)
	if s.err == nil {
		s.err = s.p.send(args...)
	}
}

func (s *sideWriter) set(key, value string) {
	s.oracle.set(key, value)
	s.send(len(key)+len(value), "SET", key, value)
}

func (s *sideWriter) incr(key string, by int64) {
	s.oracle.add(key, by)
	s.send(0, "INCRBY", key, strconv.FormatInt(by, 10)) // one entry in the end, however often
}

func (s *sideWriter) sadd(key, member string) {
	s.oracle.sadd(key, member)
	s.send(len(member), "SADD", key, member)
}

func (s *sideWriter) hset(key, field, value string) {
	s.oracle.hset(key, field, value)
	s.send(dataset.Record{Key: key, Fields: []dataset.Field{{Name: field, Value: value}}}.Bytes(), "HSET", key, field, value)
}

func (s *sideWriter) finish() error {
	if s.err == nil {
		s.err = s.p.flush()
	}
	return s.err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

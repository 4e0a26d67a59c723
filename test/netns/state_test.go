package netns

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/history"
)

// readBatch is how many keys are asked for in one pipeline.
const readBatch = 500

// state reads everything that the node holds in the regions that clients write to.
func (m *member) state() history.State {
	m.site.t.Helper()
	st := history.State{Node: m.Name, Values: map[history.Slot]string{}}
	status := m.MustStatus()
	for _, name := range []string{region, safe} {
		r, ok := status.Region(name)
		if !ok {
			m.site.t.Fatalf("%s has no region %s", m.Name, name)
		}
		st.Digest += name + " " + r.Digest + " "
		st.Context += name + " " + spell(r.Context)
		if err := m.readRegion(name, st.Values); err != nil {
			m.site.t.Fatalf("%s: read %s: %v", m.Name, name, err)
		}
	}
	return st
}

func spell(context map[string]harness.Runs) string {
	var b strings.Builder
	for _, origin := range slices.Sorted(maps.Keys(context)) {
		fmt.Fprintf(&b, "%s%v ", origin, context[origin])
	}
	return b.String()
}

// readRegion asks for every key that a scan finds, by the kind that its name begins with.
func (m *member) readRegion(name string, into map[history.Slot]string) error {
	c, err := harness.Dial(m.RESP())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do("SELECT", name); err != nil {
		return err
	}
	keys, err := scan(c)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(keys, readBatch) {
		cmds := make([][]string, len(batch))
		for i, key := range batch {
			cmds[i] = []string{cmp.Or(readWhole[key[:1]], "GET"), key}
		}
		replies, err := c.Pipeline(cmds)
		if err != nil {
			return err
		}
		for i, key := range batch {
			if err := take(into, name, key, replies[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func scan(c *harness.Conn) (keys []string, err error) {
	for cursor := "0"; ; {
		reply, err := c.Do("SCAN", cursor, "COUNT", "1000")
		if err != nil {
			return nil, err
		}
		page := reply.([]any)
		for _, k := range page[1].([]any) {
			keys = append(keys, k.(string))
		}
		if cursor = page[0].(string); cursor == "0" {
			slices.Sort(keys)
			return slices.Compact(keys), nil
		}
	}
}

// readWhole and kindOf go by the letter that a key begins with. What begins with another was written by nobody, and is asked
// for as a string.
var (
	readWhole = map[string]string{"s": "GET", "c": "GET", "m": "SMEMBERS", "h": "HGETALL"}
	kindOf    = map[string]history.Kind{"s": history.String, "c": history.Counter, "m": history.Set, "h": history.Hash}
)

func take(into map[history.Slot]string, region, key string, reply any) error {
	slot := history.Slot{Region: region, Kind: kindOf[key[:1]], Key: key}
	switch v := reply.(type) {
	case harness.Failure:
		return fmt.Errorf("%s: %w", key, v)
	case string:
		into[slot] = v
	case []any:
		step := 1
		if slot.Kind == history.Hash {
			step = 2
		}
		for i := 0; i < len(v); i += step {
			slot.Item = v[i].(string)
			into[slot] = history.Present
			if step == 2 {
				into[slot] = v[i+1].(string)
			}
		}
	}
	return nil
}

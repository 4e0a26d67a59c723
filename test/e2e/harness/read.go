package harness

import (
	"fmt"
	"maps"
	"slices"
)

// readBatch is how many keys are asked for in one pipeline.
const readBatch = 500

// readAll reads every key of kinds into got.
func readAll(c *Conn, kinds map[string]Kind, got map[Slot]string) error {
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(kinds)), readBatch) {
		var cmds [][]string
		for _, k := range keys {
			cmds = append(cmds, []string{reader[kinds[k]], k})
		}
		replies, err := c.Pipeline(cmds)
		if err != nil {
			return err
		}
		for i, k := range keys {
			if err := take(got, k, kinds[k], replies[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

var reader = map[Kind]string{String: "GET", Set: "SMEMBERS", Hash: "HGETALL"}

func take(got map[Slot]string, key string, kind Kind, reply any) error {
	switch v := reply.(type) {
	case Failure:
		return fmt.Errorf("%s %s: %w", reader[kind], key, v)
	case string:
		got[Slot{kind, key, ""}] = v
	case []any:
		step := 1
		if kind == Hash {
			step = 2
		}
		for i := 0; i < len(v); i += step {
			value := Present
			if kind == Hash {
				value = v[i+1].(string)
			}
			got[Slot{kind, key, v[i].(string)}] = value
		}
	}
	return nil
}

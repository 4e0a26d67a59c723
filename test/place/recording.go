package place

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/place"
)

// stepsMax and regionsMax bound what a recording may hold: a day in steps of ten seconds, and as many regions as a node has at most.
const (
	stepsMax   = 24 * 360
	regionsMax = 1 << 14
)

const columns = 8

// ReadTrace reads a recording, as the package's comment has it.
func ReadTrace(r io.Reader, name string, every time.Duration) (*Trace, error) {
	tr := &Trace{Name: name, Every: every}
	at := map[string]int{}
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.Comment = -1, '#'
	for {
		f, err := in.Read()
		if errors.Is(err, io.EOF) {
			return tr, nil
		}
		if err != nil {
			return nil, fmt.Errorf("recording %s: %w", name, err)
		}
		if err := tr.line(f, at); err != nil {
			n, _ := in.FieldPos(0)
			return nil, fmt.Errorf("recording %s: line %d: %w", name, n, err)
		}
	}
}

func (tr *Trace) line(f []string, at map[string]int) error {
	seconds, err := strconv.ParseInt(f[0], 10, 32)
	instant := time.Duration(seconds) * time.Second
	if err != nil || seconds < 0 || instant/tr.Every >= stepsMax {
		return fmt.Errorf("%q: want seconds from 0, below %v", f[0], stepsMax*tr.Every)
	}
	if len(f) == 5 && f[1] == "move" {
		s := tr.step(instant)
		s.Moves = append(s.Moves, Trip{crdt.NodeID(f[3]), crdt.NodeID(f[4])})
		return nil
	}
	if len(f) != columns {
		return fmt.Errorf("%d columns: want %d, or a move of 5", len(f), columns)
	}
	var n [columns]int64
	for _, i := range []int{2, 4, 5, 6, 7} {
		if n[i], err = strconv.ParseInt(f[i], 10, 64); err != nil || n[i] < 0 || n[i] > 1<<40 {
			return fmt.Errorf("column %d: %q: want a number from 0 to %d", i+1, f[i], int64(1)<<40)
		}
	}
	i, ok := at[f[1]]
	if !ok {
		if i = len(tr.Regions); i >= regionsMax {
			return fmt.Errorf("more than %d regions", regionsMax)
		}
		at[f[1]] = i
		tr.Regions = append(tr.Regions, Region{Name: f[1], Bytes: n[2]})
	}
	s := tr.step(instant)
	s.Use = append(s.Use, RegionUse{i, place.Use{Consumer: crdt.NodeID(f[3]), Reads: n[4], ReadBytes: n[5], Writes: n[6], Written: n[7]}})
	return nil
}

// WriteTrace writes what ReadTrace reads. Which tiers a region is allowed at is not part of a recording.
func WriteTrace(w io.Writer, tr *Trace) error {
	out := csv.NewWriter(w)
	for i, s := range tr.Steps {
		at := strconv.Itoa(int(time.Duration(i) * tr.Every / time.Second))
		for _, m := range s.Moves {
			_ = out.Write([]string{at, "move", "0", string(m.Device), string(m.Edge)}) // Error tells of it
		}
		for _, u := range s.Use {
			r := tr.Regions[u.Region]
			f := []string{at, r.Name, "", string(u.Consumer), "", "", "", ""}
			for k, n := range map[int]int64{2: r.Bytes, 4: u.Reads, 5: u.ReadBytes, 6: u.Writes, 7: u.Written} { // each in its place
				f[k] = strconv.FormatInt(n, 10)
			}
			_ = out.Write(f)
		}
	}
	out.Flush()
	return out.Error()
}

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status is the part of `edgemem status -o json` that tests, and scripts, rely on. It is spelled out here
// once more on purpose: a field that is renamed there must fail here.
type Status struct {
	Node struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Tier    string   `json:"tier"`
		RESP    string   `json:"resp"`
		HTTP    string   `json:"http"`
		Listen  []string `json:"listen"`
		Origin  string   `json:"origin"`
		Ready   bool     `json:"ready"`
		Offline bool     `json:"offline"`
		Sync    struct {
			Pulls    uint64 `json:"pulls"`
			Rounds   uint64 `json:"pull_round_trips"`
			Chunks   uint64 `json:"pull_chunks"`
			LastPull *Pull  `json:"last_pull"`
		} `json:"sync"`
	} `json:"node"`
	Peers []struct {
		ID        string  `json:"id"`
		Name      string  `json:"name"`
		Tier      string  `json:"tier"`
		Connected bool    `json:"connected"`
		RTTMillis float64 `json:"rtt_ms"`
		Transport string  `json:"transport"`
	} `json:"peers"`
	Regions []Region `json:"regions"`
	Alarms  []Alarm  `json:"alarms"`
}

// Alarm is what a person must look at.
type Alarm struct {
	Kind   string `json:"kind"`
	Node   string `json:"node"`
	Detail string `json:"detail"`
}

// Pull is the last pull that brought something.
type Pull struct {
	At      time.Time `json:"at"`
	Rounds  int       `json:"round_trips"`
	News    uint64    `json:"news"`
	BytesIn uint64    `json:"bytes_in"`
}

// Region is what a node holds of one region.
type Region struct {
	Name    string          `json:"name"`
	Ack     string          `json:"ack"`
	Entries int             `json:"entries"`
	Bytes   int64           `json:"bytes"`
	Digest  string          `json:"digest"`
	Context map[string]Runs `json:"context"` // by origin
	Lag     map[string]struct {
		Writes  uint64 `json:"writes"`
		Missing uint64 `json:"missing"`
		AgeMS   int64  `json:"age_ms"`
	} `json:"lag"` // by peer
	Queued  int  `json:"queued_writes"` // that wait at the node
	Held    bool `json:"held"`
	Holders []struct {
		Name string `json:"name"`
	} `json:"holders"`
}

// Runs are the writes of one origin that were seen: 1 … Base, and the ranges above.
type Runs struct {
	Base  uint64      `json:"base"`
	Above [][2]uint64 `json:"above"`
}

func (r Runs) equal(o Runs) bool { return r.Base == o.Base && slices.Equal(r.Above, o.Above) }

// Holds says whether everything of o is in r.
func (r Runs) Holds(o Runs) bool {
	if o.Base > r.Base && !r.holdsRange(1, o.Base) {
		return false
	}
	for _, a := range o.Above {
		if !r.holdsRange(a[0], a[1]) {
			return false
		}
	}
	return true
}

func (r Runs) holdsRange(lo, hi uint64) bool {
	lo = max(lo, r.Base+1)
	for _, a := range r.Above {
		if a[0] <= lo && lo <= a[1] {
			lo = a[1] + 1
		}
	}
	return lo > hi
}

// Starts of one node that ended may be collapsed into its line, which an origin's name tells: 6 bytes of the node, the number of the start in 4,
// and 6 more; in the line's these 10 are fixed, and all starts below its base were seen whole.
const (
	originTag = 12 // hexadecimal digits
	lineMark  = "ffffffff6c696e650000"
)

// IsLine says whether an origin is a node's line.
func IsLine(origin string) bool { return strings.HasSuffix(origin, lineMark) }

// Seen is what a context has seen of an origin, by itself or by the line of its node.
func Seen(context map[string]Runs, origin string) Runs {
	if len(origin) == originTag+len(lineMark) && !IsLine(origin) {
		number, err := strconv.ParseUint(origin[originTag:originTag+8], 16, 32)
		if line, ok := context[origin[:originTag]+lineMark]; ok && err == nil && number < line.Base {
			return Runs{Base: math.MaxUint64}
		}
	}
	return context[origin]
}

// Region finds one by name.
func (s Status) Region(name string) (Region, bool) {
	i := slices.IndexFunc(s.Regions, func(r Region) bool { return r.Name == name })
	if i < 0 {
		return Region{}, false
	}
	return s.Regions[i], true
}

// Connected are the names of the peers that are connected.
func (s Status) Connected() []string {
	var up []string
	for _, p := range s.Peers {
		if p.Connected {
			up = append(up, p.Name)
		}
	}
	return up
}

// statusTimeout bounds one question over the control socket, which a busy machine may answer late.
const statusTimeout = 10 * time.Second

// askStatus asks the control socket of a data directory what `edgemem status -o json` would print, without
// the cost of a process, and from any network namespace. The folder's path must be short.
func askStatus(dir string) (s Status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "edgemem.sock"))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://edgemem/v1/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("harness: status answers %s", resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

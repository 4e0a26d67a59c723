package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/unixsock"
)

// readyPollInterval is how often WaitReady asks; a daemon is ready in tens of milliseconds.
const readyPollInterval = 5 * time.Millisecond

// Client talks to the daemon of one data directory. Its methods return errors that match
// ErrUnreachable, ErrNotFound and ErrInvalid.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient makes a client for the daemon of dir; it connects with the first call.
func NewClient(dir string) *Client {
	socket := filepath.Join(dir, SocketName)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return unixsock.Dial(ctx, socket) }
	return &Client{dir, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for everything at once.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// WaitReady returns the status of the daemon once it serves, or the last error when ctx ends first.
func (c *Client) WaitReady(ctx context.Context) (Status, error) {
	tick := time.NewTicker(readyPollInterval)
	defer tick.Stop()
	for {
		s, err := c.Status(ctx)
		if err == nil && s.Node.Ready {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Invite asks for a ticket with which so many nodes may join within ttl.
func (c *Client) Invite(ctx context.Context, ttl time.Duration, uses int) (inv Invitation, err error) {
	q := url.Values{"ttl": {ttl.String()}, "uses": {strconv.Itoa(uses)}}
	return inv, c.call(ctx, http.MethodPost, "/v1/invite?"+q.Encode(), nil, &inv)
}

// SetOffline leaves the mesh, or comes back to it.
func (c *Client) SetOffline(ctx context.Context, offline bool) error {
	path := "/v1/online"
	if offline {
		path = "/v1/offline"
	}
	return c.call(ctx, http.MethodPost, path, nil, nil)
}

// RetireNode says that a node, by id or name, will not come back, or takes that back. It gives the node's id.
func (c *Client) RetireNode(ctx context.Context, node string, how Retire) (id string, err error) {
	var out retireReply
	err = c.call(ctx, http.MethodPost, "/v1/nodes/"+url.PathEscape(node)+"/retire", how, &out)
	return out.ID, err
}

// ClearAlarms takes back the alarms of a kind, of one node or, if node is empty, of all. It says how many there were.
func (c *Client) ClearAlarms(ctx context.Context, kind, node string) (int, error) {
	var out clearedReply
	q := url.Values{"node": {node}}
	err := c.call(ctx, http.MethodPost, "/v1/alarms/"+url.PathEscape(kind)+"/clear?"+q.Encode(), nil, &out)
	return out.Cleared, err
}

// Scrub checks all regions now, or one, and compares them with every connected node's.
func (c *Client) Scrub(ctx context.Context, region string) (rep ScrubReport, err error) {
	q := url.Values{"region": {region}}
	return rep, c.call(ctx, http.MethodPost, "/v1/scrub?"+q.Encode(), nil, &rep)
}

// CreateRegion makes a region, or changes one.
func (c *Client) CreateRegion(ctx context.Context, name string, o RegionOptions) (r Region, err error) {
	return r, c.call(ctx, http.MethodPost, "/v1/regions", createRequest{name, o}, &r)
}

// ShowRegion describes one region.
func (c *Client) ShowRegion(ctx context.Context, name string) (r Region, err error) {
	return r, c.call(ctx, http.MethodGet, regionPath(name, "", nil), nil, &r)
}

// RegionUsage takes stock of one region, in time proportional to its entries.
func (c *Client) RegionUsage(ctx context.Context, name string) (u RegionUsage, err error) {
	return u, c.call(ctx, http.MethodGet, regionPath(name, "/usage", nil), nil, &u)
}

// DeleteRegion removes a region with all its entries.
func (c *Client) DeleteRegion(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, regionPath(name, "", nil), nil, nil)
}

// ExplainRegion says where a region's copies are and why, and what would move if it were as try says, which may be nil.
func (c *Client) ExplainRegion(ctx context.Context, name string, try *RegionOptions) (x Explanation, err error) {
	return x, c.call(ctx, http.MethodPost, regionPath(name, "/explain", nil), explainRequest{try}, &x)
}

// TakeCopy has the node hold a region, and returns when it has all of it on its disk.
func (c *Client) TakeCopy(ctx context.Context, name string) (r Region, err error) {
	return r, c.call(ctx, http.MethodPut, regionPath(name, "/copy", nil), nil, &r)
}

// GiveCopy has the node give its copy of a region up, when others have all of it.
func (c *Client) GiveCopy(ctx context.Context, name string) (r Region, err error) {
	return r, c.call(ctx, http.MethodDelete, regionPath(name, "/copy", nil), nil, &r)
}

// Get reads one entry.
func (c *Client) Get(ctx context.Context, region, key string) (e Entry, err error) {
	return e, c.call(ctx, http.MethodGet, regionPath(region, "/entry", url.Values{"key": {key}}), nil, &e)
}

// Set writes a string and returns once the region's policy acknowledges it.
func (c *Client) Set(ctx context.Context, region, key string, value []byte) error {
	path := regionPath(region, "/entry", url.Values{"key": {key}})
	resp, err := c.do(ctx, http.MethodPut, path, bytes.NewReader(value))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Delete removes keys and says how many were there.
func (c *Client) Delete(ctx context.Context, region string, keys []string) (int, error) {
	var req deleteRequest
	for _, k := range keys {
		req.Keys = append(req.Keys, []byte(k))
	}
	var out deletedReply
	err := c.call(ctx, http.MethodPost, regionPath(region, "/delete", nil), req, &out)
	return out.Deleted, err
}

// Increment adds to a counter and gives its new value.
func (c *Client) Increment(ctx context.Context, region, key string, by int64) (int64, error) {
	q := url.Values{"key": {key}, "by": {strconv.FormatInt(by, 10)}}
	var out incrementReply
	err := c.call(ctx, http.MethodPost, regionPath(region, "/increment", q), nil, &out)
	return out.Value, err
}

// Lease does something to a lease. Errors: ErrHeld, ErrNoMajority, ErrInvalid.
func (c *Client) Lease(ctx context.Context, region, name string, call LeaseCall) (out Lease, err error) {
	err = c.call(ctx, http.MethodPost, regionPath(region, "/lease", url.Values{"name": {name}}), call, &out)
	return out, err
}

// Voters tells who votes on leases.
func (c *Client) Voters(ctx context.Context) (out Voters, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/voters", nil, &out)
	return out, err
}

// SetVoters names the nodes that vote on leases. Errors: ErrNoMajority, ErrNotFound, ErrInvalid.
func (c *Client) SetVoters(ctx context.Context, nodes []string) (out Voters, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/voters", nodes, &out)
	return out, err
}

// Watch opens a stream of changes to keys that begin with prefix; when it returns, the watch is in
// place. The stream ends when ctx does, or with an error.
func (c *Client) Watch(ctx context.Context, region, prefix string) (iter.Seq2[Event, error], error) {
	resp, err := c.do(ctx, http.MethodGet, regionPath(region, "/watch", url.Values{"prefix": {prefix}}), nil)
	if err != nil {
		return nil, err
	}
	return func(yield func(Event, error) bool) {
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				if ctx.Err() == nil {
					yield(Event{}, fmt.Errorf("%w: the daemon closed the watch", ErrUnreachable))
				}
				return
			}
			if ev, err := parseEvent(line); !yield(ev, err) || err != nil {
				return
			}
		}
	}, nil
}

func parseEvent(line []byte) (Event, error) {
	var m struct {
		Event
		failure
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return Event{}, fmt.Errorf("control: bad line in watch: %w", err)
	}
	if m.Message != "" {
		return Event{}, m.failure.err()
	}
	return m.Event, nil
}

func regionPath(region, suffix string, q url.Values) string {
	path := "/v1/regions/" + url.PathEscape(region) + suffix
	if q != nil {
		path += "?" + q.Encode()
	}
	return path
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("control: bad answer from the daemon: %w", err)
	}
	return nil
}

// do gives the answer if it is a success, whose body the caller closes.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://edgemem"+path, body)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Message == "" {
		return nil, fmt.Errorf("control: the daemon answered %s to %s", resp.Status, path)
	}
	return nil, f.err()
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w on %s (%v): start one with 'edgemem run', or name its --data-dir", ErrUnreachable, c.dir, op.Err)
	}
	return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.dir, err)
}

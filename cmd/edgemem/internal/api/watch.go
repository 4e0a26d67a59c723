package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

const (
	// stallMax is how long a watch's client may take nothing before it is cut off.
	stallMax = 30 * time.Second
)

const (
	ndjson = "application/x-ndjson"
	sse    = "text/event-stream"
)

// WatchEvent is one line of a watch.
type WatchEvent struct {
	Event  string        `json:"event" enum:"entry,caught-up,reset,pulse,problem"`
	Entry  *client.Entry `json:"entry,omitempty" doc:"As it is now; of type none where it is gone."`
	Detail string        `json:"detail,omitempty" doc:"Of a problem, which ends the watch."`
	Cursor string        `json:"cursor,omitempty" doc:"Where to go on after this event. Absent before the first one, and where more than 650 origins write: then a watch cannot go on."`
}

type watchRequest struct {
	OfRegion
	Prefix  string `query:"prefix" doc:"Keys that begin with it. Default: all."`
	Cursor  string `query:"cursor" maxLength:"65536" doc:"Of the last event that was heard. Default: the beginning."`
	Last    string `header:"Last-Event-ID" doc:"The same, as browsers send it; it counts before the query."`
	PulseMs int    `query:"pulse_ms" minimum:"1000" maximum:"3600000" default:"15000" doc:"How often to tell the cursor where nothing else is to be told, milliseconds."`
	Accept  string `header:"Accept" doc:"text/event-stream for server-sent events, else NDJSON."`
}

func (s *server) addWatch(api huma.API) {
	line := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[WatchEvent](), true, "WatchEvent")
	huma.Register(api, huma.Operation{OperationID: "watch", Method: http.MethodGet, Path: "/v1/regions/{region}/watch", Tags: []string{"watches"}, Errors: []int{400, 422, 503},
		Summary: "Tell the state of the entries, then every change",
		Description: "First each entry, then caught-up, then changes, several of one entry maybe as one. With the cursor of the last event a client goes on where it was, after a break, a restart of the node, or at another " +
			"node, which first waits for Edgemem-Wait-Ms until it has seen as much. A reset says that what was told before does not count any more, and the state follows.",
		Responses: map[string]*huma.Response{"200": {Description: "Events until the client leaves.", Content: map[string]*huma.MediaType{
			ndjson: {Schema: line}, sse: {Schema: &huma.Schema{Type: "string", Description: "The same events: id is the cursor, event the kind, data the line."}},
		}}},
	}, s.watch)
}

func (s *server) watch(ctx context.Context, q *watchRequest) (*huma.StreamResponse, error) {
	text := q.Cursor
	if q.Last != "" {
		text = q.Last
	}
	from, err := fabric.ParseCursor(text)
	if err != nil {
		return nil, refusal(err)
	}
	r, err := s.open(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	if s.watches.Add(1) > s.most {
		s.watches.Add(-1)
		return nil, again(problem(http.StatusServiceUnavailable, "busy", "this node serves as many watches as it takes"))
	}
	if err := q.reach(ctx, r, from); err != nil {
		s.watches.Add(-1)
		return nil, refusal(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer s.watches.Add(-1)
		hc.SetHeader("Edgemem-Context", s.stamp(r).Context)
		serveWatch(hc, q, r, from)
	}}, nil
}

// reach waits for a while until this node has seen what the follower has. If it has not then, the follower is told to begin anew.
func (q *watchRequest) reach(ctx context.Context, r *fabric.Region, from fabric.Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(q.WaitMs)*time.Millisecond)
	defer cancel()
	err := r.At(ctx, from.Token())
	if errors.Is(err, fabric.ErrStale) {
		return nil
	}
	return err
}

// serveWatch writes events until the client leaves, takes nothing for too long, or the region can tell no more.
func serveWatch(hc huma.Context, q *watchRequest, r *fabric.Region, from fabric.Cursor) {
	_, w := humago.Unwrap(hc)
	out := newEventWriter(hc.Context(), w, strings.Contains(q.Accept, sse))
	if out.open() != nil {
		return
	}
	read := func(v *crdt.View, key string) (client.Entry, int) {
		e, bytes, err := client.ReadEntry(v, key)
		if err != nil {
			e = client.Entry{Key: e.Key, Encoding: e.Encoding, Type: e.Type, ETag: e.ETag, Truncated: true} // the value cannot be read, and the node alarms
		}
		return e, bytes
	}
	c := fabric.FollowConfig{Prefix: q.Prefix, From: from, Pulse: time.Duration(q.PulseMs) * time.Millisecond}
	for ev, err := range fabric.Follow(hc.Context(), r, c, read) {
		if err != nil {
			_ = out.write(WatchEvent{Event: "problem", Detail: err.Error()}, false)
			return
		}
		line := WatchEvent{Event: ev.Kind.String(), Cursor: ev.Cursor.String()}
		if len(line.Cursor) > tokenMax {
			line.Cursor = ""
		}
		if ev.Kind == fabric.EventEntry {
			line.Entry = &ev.Value
		}
		if out.write(line, ev.More) != nil {
			return
		}
	}
}

// eventWriter writes events as lines or as server-sent events.
type eventWriter struct {
	ctx  context.Context
	w    http.ResponseWriter
	rc   *http.ResponseController
	kind string
}

func newEventWriter(ctx context.Context, w http.ResponseWriter, events bool) *eventWriter {
	out := &eventWriter{ctx: ctx, w: w, rc: http.NewResponseController(w), kind: ndjson}
	if events {
		out.kind = sse
	}
	return out
}

// open sends the headers. A watch has no time limit but the client's taking.
func (o *eventWriter) open() error {
	o.w.Header().Set("Content-Type", o.kind)
	o.w.Header().Set("Cache-Control", "no-store")
	o.w.Header().Set("X-Accel-Buffering", "no") // of proxies
	_ = o.rc.SetReadDeadline(time.Time{})       // not every writer of tests has one
	_ = o.rc.SetWriteDeadline(time.Now().Add(stallMax))
	o.w.WriteHeader(http.StatusOK)
	return o.rc.Flush()
}

func (o *eventWriter) write(ev WatchEvent, more bool) error {
	line, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	_ = o.rc.SetWriteDeadline(time.Now().Add(stallMax))
	if o.ctx.Err() != nil { // from here on a close shortens the time
		return o.ctx.Err()
	}
	if o.kind == sse {
		err = o.event(ev, line)
	} else {
		_, err = o.w.Write(append(line, '\n'))
	}
	if err != nil || more {
		return err
	}
	return o.rc.Flush()
}

// event writes one as the HTML standard has it. An empty id says that a client which comes back begins anew; a problem leaves the last one.
func (o *eventWriter) event(ev WatchEvent, line []byte) error {
	id := "id: " + ev.Cursor + "\n"
	if ev.Event == "problem" {
		id = ""
	}
	_, err := io.WriteString(o.w, id+"event: "+ev.Event+"\ndata: "+string(line)+"\n\n")
	return err
}

package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

// OfRegion and OfEntry are the paths of requests.
type OfRegion struct {
	Region string `path:"region" minLength:"1" maxLength:"255"`
	Session
}

type OfEntry struct {
	OfRegion
	Key string `path:"key" minLength:"1" doc:"Percent-encoded."`
}

// open gives the region, which need not exist, in the state that the request asks for.
func (s *server) open(ctx context.Context, q *OfRegion) (*fabric.Region, error) {
	r, err := s.f.Region(q.Region)
	if err == nil {
		err = q.at(ctx, r)
	}
	return r, err
}

// existing is open for reading, which makes no region.
func (s *server) existing(ctx context.Context, q *OfRegion) (*fabric.Region, error) {
	if q.Context == "" { // a token may be of a region of which this node is yet to hear
		if _, err := s.f.RegionStatus(q.Region); err != nil {
			return nil, err
		}
	}
	return s.open(ctx, q)
}

type entryAnswer struct {
	Stamp
	ETag string `header:"ETag"`
	Body client.Entry
}

type resultAnswer struct {
	Stamp
	ETag string `header:"ETag"`
	Body client.Result
}

type valueAnswer struct {
	Stamp
	ETag string `header:"ETag"`
	Type string `header:"Content-Type"`
	Body []byte
}

func (s *server) addKeys(api huma.API) {
	const path = "/v1/regions/{region}/keys/{key}"
	errs := []int{400, 404, 409, 412, 413, 422, 503, 507}
	huma.Register(api, huma.Operation{OperationID: "scan-keys", Method: http.MethodGet, Path: "/v1/regions/{region}/keys", Tags: []string{"entries"}, Errors: []int{400, 404, 422, 503},
		Summary: "List keys in byte order, a page at a time", Description: "Each page looks at all keys of the region: watch a region, or scan it with the Redis protocol, where it is large."}, s.scanKeys)
	huma.Register(api, huma.Operation{OperationID: "get-entry", Method: http.MethodGet, Path: path, Tags: []string{"entries"}, Errors: []int{400, 404, 422, 503},
		Summary: "Read an entry"}, s.getEntry)
	huma.Register(api, huma.Operation{OperationID: "put-register", Method: http.MethodPut, Path: path, Tags: []string{"entries"}, MaxBodyBytes: bodyMax, Errors: errs,
		Summary: "Write a register, whatever the key held", RequestBody: body(api, client.Operations()[0])}, s.putRegister)
	huma.Register(api, huma.Operation{OperationID: "delete-entry", Method: http.MethodDelete, Path: path, Tags: []string{"entries"}, Errors: errs,
		Summary: "Remove an entry, as far as it was seen here"}, s.deleteEntry)
	huma.Register(api, huma.Operation{OperationID: "get-value", Method: http.MethodGet, Path: path + "/value", Tags: []string{"entries"}, Errors: []int{400, 404, 409, 422, 503},
		Summary: "Read the bytes of a register, a counter or a part of a block",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}}, s.getValue)
	huma.Register(api, huma.Operation{OperationID: "put-value", Method: http.MethodPut, Path: path + "/value", Tags: []string{"entries"}, MaxBodyBytes: bodyMax, Errors: errs,
		Summary: "Write bytes to a register, whatever the key held"}, s.putValue)
}

type getEntryRequest struct {
	OfEntry
	IfNoneMatch string `header:"If-None-Match" doc:"ETags: answers 304 where the entry is still so."`
}

func (s *server) getEntry(ctx context.Context, q *getEntryRequest) (*entryAnswer, error) {
	r, err := s.existing(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	out := &entryAnswer{}
	viewErr := r.View(func(v *crdt.View) { out.Body, _, err = client.ReadEntry(v, q.Key) })
	if err == nil {
		err = viewErr
	}
	if err == nil && out.Body.Type == crdt.KindNone.String() {
		err = fmt.Errorf("%w: %.64q in region %s", errNoEntry, q.Key, q.Region)
	}
	if err != nil {
		return nil, refusal(err)
	}
	out.ETag, out.Stamp = out.Body.ETag, s.stamp(r)
	if client.Matches(q.IfNoneMatch, out.ETag, q.IfNoneMatch != "") {
		return nil, huma.ErrorWithHeaders(huma.Status304NotModified(), http.Header{"ETag": {out.ETag}, "Edgemem-Context": {out.Context}})
	}
	return out, nil
}

type getValueRequest struct {
	OfEntry
	Offset int64 `query:"offset" minimum:"0" doc:"Where to begin, bytes."`
	Length int64 `query:"length" minimum:"1" maximum:"1048576" doc:"How many bytes at most. Default: as many as one answer holds, 1 MiB."`
}

func (s *server) getValue(ctx context.Context, q *getValueRequest) (*valueAnswer, error) {
	r, err := s.existing(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	out := &valueAnswer{Type: "application/octet-stream"}
	there := false
	viewErr := r.View(func(v *crdt.View) {
		out.Body, there, err = q.bytes(v)
		out.ETag = client.ETag(v, q.Key)
	})
	if err == nil {
		err = viewErr
	}
	if err == nil && !there {
		err = fmt.Errorf("%w: %.64q in region %s", errNoEntry, q.Key, q.Region)
	}
	if err != nil {
		return nil, refusal(err)
	}
	out.Stamp = s.stamp(r)
	return out, nil
}

// bytes copies what is asked for of a register, a counter or a block; less at its end.
func (q *getValueRequest) bytes(v *crdt.View) (b []byte, there bool, err error) {
	length := int64(crdt.MaxValueBytes)
	if q.Length > 0 {
		length = q.Length
	}
	if v.Kind(q.Key) == crdt.KindBlock {
		all, _, err := v.BlockLen(q.Key)
		if err != nil {
			return nil, true, err
		}
		b = make([]byte, min(length, max(0, all-q.Offset)))
		if len(b) > 0 {
			var n int
			n, err = v.BlockRead(q.Key, q.Offset, b)
			b = b[:n]
		}
		return b, true, err
	}
	val, there, err := v.Get(q.Key)
	from := min(q.Offset, int64(len(val)))
	return append([]byte{}, val[from:min(from+length, int64(len(val)))]...), there, err
}

// writeOne runs one operation and describes what it left.
func (s *server) writeOne(ctx context.Context, q *OfEntry, name string, a client.Args, want client.Conditions) (*resultAnswer, error) {
	r, err := s.open(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	one := client.Op{Op: name, Key: q.Key, IfMatch: want.IfMatch, IfNoneMatch: want.IfNoneMatch, Args: a}
	res, err := alone(client.Apply(ctx, r, []client.Op{one}, fault))
	if err != nil {
		return nil, err
	}
	return &resultAnswer{s.stamp(r), res.ETag, res}, nil
}

type opRequest struct {
	OfEntry
	client.Conditions
	Body client.Args
}

func (s *server) putRegister(ctx context.Context, q *opRequest) (*resultAnswer, error) {
	return s.writeOne(ctx, &q.OfEntry, "register/set", q.Body, q.Conditions)
}

type putValueRequest struct {
	OfEntry
	client.Conditions
	TTLMs   int64  `query:"ttl_ms" minimum:"1" doc:"In how many milliseconds it expires. Default: never."`
	RawBody []byte `contentType:"application/octet-stream"`
}

func (s *server) putValue(ctx context.Context, q *putValueRequest) (*resultAnswer, error) {
	text := string(q.RawBody)
	a := client.Args{Value: &text}
	if q.TTLMs > 0 {
		a.TTLMs = &q.TTLMs
	}
	return s.writeOne(ctx, &q.OfEntry, "register/set", a, q.Conditions)
}

type deleteRequest struct {
	OfEntry
	client.Conditions
}

func (s *server) deleteEntry(ctx context.Context, q *deleteRequest) (*resultAnswer, error) {
	return s.writeOne(ctx, &q.OfEntry, "entry/delete", client.Args{}, q.Conditions)
}

type scanRequest struct {
	OfRegion
	Prefix string `query:"prefix" doc:"Keys that begin with it. Default: all."`
	After  string `query:"after" maxLength:"131072" doc:"The next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"Keys of a page at most."`
}

// Page is a page of keys.
type Page struct {
	Encoding string    `json:"encoding" enum:"utf-8,base64" doc:"Of the keys: base64 where one is no UTF-8."`
	Keys     []PageKey `json:"keys" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"What to give as after for the next page; absent on the last one."`
}

// PageKey is one key of a page.
type PageKey struct {
	Key  string `json:"key"`
	Type string `json:"type"`
}

type pageAnswer struct {
	Stamp
	Body Page
}

func (s *server) scanKeys(ctx context.Context, q *scanRequest) (*pageAnswer, error) {
	r, err := s.existing(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	after, err := base64.RawURLEncoding.DecodeString(q.After)
	if err != nil {
		return nil, refusal(fmt.Errorf("%w: after: %w", client.ErrArguments, err))
	}
	keys, more, err := r.Keys(q.Prefix, string(after), q.Limit)
	if err != nil {
		return nil, refusal(err)
	}
	out := &pageAnswer{Stamp: s.stamp(r), Body: Page{Encoding: "utf-8", Keys: []PageKey{}}}
	for _, k := range keys {
		out.Body.Keys = append(out.Body.Keys, PageKey{k.Key, k.Kind.String()})
		if !utf8.ValidString(k.Key) {
			out.Body.Encoding = "base64"
		}
		if more {
			out.Body.Next = base64.RawURLEncoding.EncodeToString([]byte(k.Key))
		}
	}
	if out.Body.Encoding == "base64" {
		for i := range out.Body.Keys {
			out.Body.Keys[i].Key = base64.StdEncoding.EncodeToString([]byte(out.Body.Keys[i].Key))
		}
	}
	return out, nil
}

package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// answerMax bounds what is read of one answer, or of one event of a watch: an entry of 4 MiB in base64 and what is around it.
const answerMax = 32 << 20

// ErrAnswer says that something else than the API answered.
var ErrAnswer = errors.New("client: not an answer of the API")

// Dial gives the client of a daemon by the URL of its HTTP interface, with its token if it asks for one. It connects when it is used; a request takes as long as its
// context allows. Error: a URL that is none.
func Dial(rawURL, token string) (Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("client: %q: want http:// or https:// and a host", rawURL)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &remote{base: strings.TrimSuffix(u.String(), "/"), token: token, http: &http.Client{Transport: transport}, transport: transport}, nil
}

type remote struct {
	base, token string
	http        *http.Client
	transport   *http.Transport
}

func (c *remote) Close() error { c.transport.CloseIdleConnections(); return nil }

func (c *remote) path(region string, more ...string) string {
	p := c.base + "/v1/regions/" + url.PathEscape(region)
	for _, x := range more {
		p += "/" + strings.ReplaceAll(url.PathEscape(x), ".", "%2E")
	}
	return p
}

// do makes a request and gives the answer if it is one of 200 or 204. Errors: as Fault.Err gives them.
func (c *remote) do(ctx context.Context, method, path string, body any, headers ...string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, content)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusNoContent {
		return resp, nil
	}
	defer resp.Body.Close()
	var f Fault
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status says enough
	if json.Unmarshal(text, &f) != nil || f.Type == "" {
		return nil, fmt.Errorf("%w: %s", ErrAnswer, resp.Status)
	}
	return nil, f.Err()
}

// ask is do that reads the answer.
func (c *remote) ask(ctx context.Context, method, path string, body, answer any, headers ...string) (http.Header, error) {
	resp, err := c.do(ctx, method, path, body, headers...)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerMax)).Decode(answer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return resp.Header, nil
}

func (c *remote) Read(ctx context.Context, region, key string) (e Entry, err error) {
	if key == "" {
		return e, fmt.Errorf("%w: no key", ErrArguments)
	}
	if _, err = c.ask(ctx, http.MethodGet, c.path(region, "keys", key), nil, &e); err == nil {
		err = e.decode()
	}
	return e, err
}

func (c *remote) Write(ctx context.Context, region string, ops ...Op) ([]Result, error) {
	var out struct{ Results []Result }
	sent := make([]Op, len(ops))
	for i := range ops {
		sent[i] = ops[i].encoded()
	}
	_, err := c.ask(ctx, http.MethodPost, c.path(region, "batch"), map[string]any{"ops": sent}, &out)
	if err == nil && len(ops) == 1 && len(out.Results) == 1 && out.Results[0].Error != nil {
		err = out.Results[0].Error.Err()
	}
	return out.Results, err
}

// encoded gives the operation with its bytes as base64 where some are no UTF-8.
func (b *Op) encoded() Op {
	out := *b
	texts := []*string{}
	for _, s := range []**string{&out.Value, &out.Member, &out.Field} {
		if *s != nil {
			text := **s
			*s = &text
			texts = append(texts, *s)
		}
	}
	out.Members, out.Names, out.Scores = append([]string{}, b.Members...), append([]string{}, b.Names...), append([]Score{}, b.Scores...)
	for _, list := range [][]string{out.Members, out.Names} {
		for i := range list {
			texts = append(texts, &list[i])
		}
	}
	for i := range out.Scores {
		texts = append(texts, &out.Scores[i].Member)
	}
	plain := true
	for _, s := range texts {
		plain = plain && utf8.ValidString(*s)
	}
	for f, v := range b.Fields {
		plain = plain && utf8.ValidString(f) && utf8.ValidString(v)
	}
	if !plain && b.Encoding != "base64" {
		out.Encoding = "base64"
		for _, s := range texts {
			*s = in64(*s)
		}
		out.Fields = map[string]string{}
		for f, v := range b.Fields {
			out.Fields[in64(f)] = in64(v)
		}
	}
	if !utf8.ValidString(b.Key) {
		out.Key, out.KeyEncoding = in64(b.Key), "base64"
	}
	return out
}

type page struct {
	Encoding string
	Keys     []Key
	Next     string
}

func (c *remote) page(ctx context.Context, region, prefix, after string) (p page, err error) {
	q := url.Values{"prefix": {prefix}, "after": {after}, "limit": {strconv.Itoa(pageKeys)}}
	if _, err = c.ask(ctx, http.MethodGet, c.path(region, "keys")+"?"+q.Encode(), nil, &p); err != nil || p.Encoding != "base64" {
		return p, err
	}
	for i := range p.Keys {
		b, err := base64.StdEncoding.DecodeString(p.Keys[i].Key)
		if err != nil {
			return p, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		p.Keys[i].Key = string(b)
	}
	return p, nil
}

func (c *remote) Keys(ctx context.Context, region, prefix string) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for after := ""; ; {
			p, err := c.page(ctx, region, prefix, after)
			if err != nil {
				yield(Key{}, err)
				return
			}
			for _, k := range p.Keys {
				if !yield(k, nil) {
					return
				}
			}
			if after = p.Next; after == "" {
				return
			}
		}
	}
}

func (c *remote) Watch(ctx context.Context, region string, w WatchConfig) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		q := url.Values{"prefix": {w.Prefix}, "pulse_ms": {strconv.FormatInt(w.pulse().Milliseconds(), 10)}}
		resp, err := c.do(ctx, http.MethodGet, c.path(region, "watch")+"?"+q.Encode(), nil, "Last-Event-ID", w.Cursor)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, answerMax)
		for lines.Scan() {
			ev, err := readEvent(lines.Bytes())
			if !yield(ev, err) || err != nil {
				return
			}
		}
		if ctx.Err() == nil {
			yield(Event{}, fmt.Errorf("client: the watch broke off: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF)))
		}
	}
}

func readEvent(line []byte) (Event, error) {
	var ev struct {
		Event
		Detail string
	}
	if err := json.Unmarshal(line, &ev); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if ev.Event.Event == "problem" {
		return Event{}, errors.New("client: the watch ended: " + ev.Detail)
	}
	if ev.Entry != nil {
		if err := ev.Entry.decode(); err != nil {
			return Event{}, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
	}
	return ev.Event, nil
}

func (c *remote) Token(ctx context.Context, region string) (string, error) {
	var p page
	h, err := c.ask(ctx, http.MethodGet, c.path(region, "keys")+"?limit=1", nil, &p)
	if err != nil {
		return "", err
	}
	return h.Get("Edgemem-Context"), nil
}

// waitMax is how long the API waits for a token at most.
const waitMax = time.Minute

func (c *remote) At(ctx context.Context, region, token string) error {
	wait := waitMax
	if until, ok := ctx.Deadline(); ok {
		wait = min(max(time.Until(until)*9/10, 0), waitMax) // so that the node's answer comes before the end
	}
	var p page
	_, err := c.ask(ctx, http.MethodGet, c.path(region, "keys")+"?limit=1", nil, &p, "Edgemem-Context", token, "Edgemem-Wait-Ms", strconv.FormatInt(wait.Milliseconds(), 10))
	return err
}

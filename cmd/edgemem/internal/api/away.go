package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

// Service is how nodes ask others, with Handler.Answer as the fabric.Handler: a request as JSON in one line, then its body; back comes the head of the response as JSON in one line,
// and its body.
const Service = "http"

// awayRequest is the head of a request.
type awayRequest struct {
	Method string            `json:"method"`
	URI    string            `json:"uri"`
	Header map[string]string `json:"header"`
}

// awayResponse is the head of a response.
type awayResponse struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
}

const (
	awayHeadMax    = 256 << 10 // bytes of either head; tokens and cursors are the most of it
	awayHeadersMax = 64
	awayTime       = 10 * time.Second // beyond what the request itself waits
)

// awayHeaders are what a holder needs of a request.
var awayHeaders = []string{"Accept", "Content-Type", "Edgemem-Context", "Edgemem-Wait-Ms", "If-Match", "If-None-Match", "Last-Event-Id"}

// sourceHeader names the node that answered.
const sourceHeader = "Edgemem-Source"

// away has requests about entries of regions without a copy here answered by a holder.
type away struct {
	s    *server
	next http.Handler
}

// fromAway marks a request that came from another node: it is passed on to none.
type fromAway struct{}

func (a *away) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	region, ok := entriesOf(r.URL)
	if !ok || r.Context().Value(fromAway{}) != nil {
		a.next.ServeHTTP(w, r)
		return
	}
	here, err := a.s.f.Region(region)
	if err != nil || here.Held() {
		a.next.ServeHTTP(w, r)
		return
	}
	switch err := a.forward(w, r, region); {
	case err == nil:
	case errors.Is(err, fabric.ErrNoHolder) && here.QueuesWrites() && writes(r):
		a.next.ServeHTTP(&accepted{w}, r.WithContext(client.Queueing(r.Context(), err)))
	default:
		answerProblem(w, refusal(err))
	}
}

func writes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// accepted says of a write that waits for a holder that it is not done yet.
type accepted struct{ http.ResponseWriter }

func (w *accepted) WriteHeader(status int) {
	if status == http.StatusOK {
		status = http.StatusAccepted
		for _, name := range []string{"ETag", "Edgemem-Context"} { // of what is not known here
			w.Header().Del(name)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *accepted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// entriesOf gives the region of /v1/regions/{region}/keys…, batch and watch.
func entriesOf(u *url.URL) (region string, ok bool) {
	parts := strings.Split(u.EscapedPath(), "/")
	if len(parts) < 5 || parts[1] != "v1" || parts[2] != "regions" || !slices.Contains([]string{"keys", "batch", "watch"}, parts[4]) {
		return "", false
	}
	region, err := url.PathUnescape(parts[3])
	return region, err == nil
}

// forward has a holder answer. An error comes before anything is answered.
func (a *away) forward(w http.ResponseWriter, r *http.Request, region string) error {
	head := awayRequest{Method: r.Method, URI: r.URL.RequestURI(), Header: map[string]string{}}
	for _, name := range awayHeaders {
		if v := r.Header.Get(name); v != "" {
			head.Header[name] = v
		}
	}
	body, err := json.Marshal(head)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, batchBodyMax))
	if err != nil {
		return problem(http.StatusRequestEntityTooLarge, "too-large", err.Error())
	}
	r.Body = io.NopCloser(bytes.NewReader(content)) // for queue
	q := fabric.Request{Region: region, Service: Service, Body: append(append(body, '\n'), content...), Write: writes(r)}
	if isWatch(r) {
		return a.forwardWatch(w, r, q)
	}
	wait, _ := strconv.Atoi(r.Header.Get("Edgemem-Wait-Ms")) // the holder says what is wrong with it
	ctx, cancel := context.WithTimeout(r.Context(), awayTime+time.Duration(min(max(wait, 0), 60_000))*time.Millisecond)
	defer cancel()
	b, source, err := a.s.f.Ask(ctx, q)
	if err != nil {
		return err
	}
	answer, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return errors.New("api: an answer of a holder has no head")
	}
	if source.Missing > 0 {
		w.Header().Set("Edgemem-Missing", strconv.FormatUint(source.Missing, 10))
	}
	if err := begin(w, answer, source); err != nil {
		return err
	}
	_, _ = w.Write(rest) // who asked has gone
	return nil
}

// begin writes the head of a holder's response.
func begin(w http.ResponseWriter, b []byte, source fabric.Source) error {
	var head awayResponse
	if err := json.Unmarshal(b, &head); err != nil || head.Status < 200 || head.Status > 599 {
		return fmt.Errorf("api: the head of an answer of a holder is bad: %w", err)
	}
	for name, v := range head.Header {
		w.Header().Set(name, v)
	}
	w.Header().Set(sourceHeader, string(source.Holder.ID))
	w.WriteHeader(head.Status)
	return nil
}

// forwardWatch passes events on as they come. When the holder goes the watch ends, and its client comes back with the last cursor, for another.
func (a *away) forwardWatch(w http.ResponseWriter, r *http.Request, q fabric.Request) error {
	if a.s.watches.Add(1) > a.s.most {
		a.s.watches.Add(-1)
		return again(problem(http.StatusServiceUnavailable, "busy", "this node serves as many watches as it takes"))
	}
	defer a.s.watches.Add(-1)
	q.Lasts = true
	reply, err := a.s.f.Open(r.Context(), q)
	if err != nil {
		return err
	}
	defer reply.Close()
	in := bufio.NewReaderSize(reply, 16<<10)
	head, err := readHead(in)
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // not every writer of tests has one
	_ = rc.SetWriteDeadline(time.Now().Add(stallMax))
	if err := begin(w, head, reply.Source()); err != nil {
		return err
	}
	_ = rc.Flush()
	part := make([]byte, 16<<10)
	for {
		n, err := in.Read(part)
		_ = rc.SetWriteDeadline(time.Now().Add(stallMax))
		if r.Context().Err() != nil {
			return nil
		}
		if _, failed := w.Write(part[:n]); failed != nil || err != nil {
			return nil
		}
		if in.Buffered() == 0 && rc.Flush() != nil {
			return nil
		}
	}
}

// readHead reads a line of awayHeadMax bytes at most.
func readHead(in *bufio.Reader) (head []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		head = append(head, part...)
		if err == nil {
			return head, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(head) > awayHeadMax {
			return nil, fmt.Errorf("api: the head of an answer of a holder: %w", err)
		}
	}
}

// Answer answers a request of another node.
func (h *Handler) Answer(ctx context.Context, q *fabric.Asked, w io.Writer) error {
	line, body, ok := bytes.Cut(q.Body, []byte("\n"))
	var head awayRequest
	if err := json.Unmarshal(line, &head); err != nil || !ok || len(line) > awayHeadMax || len(head.Header) > awayHeadersMax {
		return errors.New("api: the head of a request of another node is bad")
	}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, fromAway{}, true), head.Method, "http://holder"+head.URI, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("api: a request of another node: %w", err)
	}
	region, ok := entriesOf(r.URL)
	if !ok || region != q.Region.Name() || !q.Write && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return fmt.Errorf("api: %s is not answered for another node", head.Method)
	}
	for _, name := range awayHeaders {
		if v := head.Header[name]; v != "" {
			r.Header.Set(name, v)
		}
	}
	out := &awayWriter{w: bufio.NewWriterSize(w, 16<<10), header: http.Header{}}
	h.ServeHTTP(out, r)
	return out.end()
}

// awayWriter is the response to a request of another node.
type awayWriter struct {
	w      *bufio.Writer
	header http.Header
	status int
	held   bytes.Buffer // of an answer that may say that the region has just left: nobody is to see it
	err    error
}

func (o *awayWriter) Header() http.Header { return o.header }

func (o *awayWriter) WriteHeader(status int) {
	if o.status != 0 {
		return
	}
	if o.status = status; status != http.StatusServiceUnavailable {
		o.begin()
	}
}

func (o *awayWriter) begin() {
	head := awayResponse{o.status, map[string]string{}}
	for name, v := range o.header {
		if len(v) > 0 && name != "Content-Length" && name != "Date" {
			head.Header[name] = v[0]
		}
	}
	b, err := json.Marshal(head)
	if err == nil {
		_, err = o.w.Write(append(b, '\n'))
	}
	o.err = err
}

func (o *awayWriter) Write(b []byte) (int, error) {
	o.WriteHeader(http.StatusOK)
	switch {
	case o.err != nil:
		return 0, o.err
	case o.status == http.StatusServiceUnavailable:
		return o.held.Write(b)
	}
	return o.w.Write(b)
}

// FlushError is for http.ResponseController.
func (o *awayWriter) FlushError() error {
	if o.err != nil || o.status == http.StatusServiceUnavailable {
		return o.err
	}
	return o.w.Flush()
}

// end gives what is left. Error: fabric.ErrNotHeld.
func (o *awayWriter) end() error {
	o.WriteHeader(http.StatusOK)
	if o.status == http.StatusServiceUnavailable {
		if bytes.Contains(o.held.Bytes(), []byte(`"urn:edgemem:problem:not-held"`)) {
			return fabric.ErrNotHeld
		}
		o.begin()
		_, _ = o.held.WriteTo(o.w)
	}
	if o.err != nil {
		return o.err
	}
	return o.w.Flush()
}

// answerProblem writes a refusal outside of the handlers.
func answerProblem(w http.ResponseWriter, err error) {
	var headed huma.HeadersError
	if errors.As(err, &headed) {
		for name, v := range headed.GetHeaders() {
			w.Header()[name] = v
		}
	}
	p := problem(http.StatusInternalServerError, "internal", err.Error())
	_ = errors.As(err, &p)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = huma.DefaultJSONFormat.Marshal(w, p)
}

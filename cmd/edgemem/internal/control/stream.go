package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/doctor"
)

// A backup is sent as it is made. How it went stands in trailers, which come after the body: a report, or an error. A daemon that dies
// sends neither, and the body lacks its end.
const (
	reportTrailer = "Edgemem-Report"
	errorTrailer  = "Edgemem-Error"
)

// backupStall bounds how long a client may take nothing of a backup.
const backupStall = time.Minute

func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := BackupOptions{AsNewNode: q.Get("as_new_node") == "true", Plain: q.Get("plain") == "true"}
	w.Header().Set("Trailer", reportTrailer+", "+errorTrailer)
	w.Header().Set("Content-Type", "application/octet-stream")
	body := &stallGuard{w: w, control: http.NewResponseController(w)}
	report, err := s.backend.Backup(r.Context(), body, o)
	if err != nil && !body.begun {
		w.Header().Del("Trailer")
		fail(w, err)
		return
	}
	name, value := reportTrailer, any(report)
	if err != nil {
		name, value = errorTrailer, errorBody(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("{}")
	}
	w.Header().Set(name, string(text))
}

// stallGuard gives up on a client that takes nothing.
type stallGuard struct {
	w       io.Writer
	control *http.ResponseController
	begun   bool
}

func (g *stallGuard) Write(b []byte) (int, error) {
	g.begun = true
	_ = g.control.SetWriteDeadline(time.Now().Add(backupStall)) // a unix socket has deadlines
	return g.w.Write(b)
}

// Backup has a backup of the daemon's store written to w as it is made.
func (c *Client) Backup(ctx context.Context, w io.Writer, o BackupOptions) (rep BackupReport, err error) {
	q := url.Values{"as_new_node": {strconv.FormatBool(o.AsNewNode)}, "plain": {strconv.FormatBool(o.Plain)}}
	resp, err := c.do(ctx, http.MethodPost, "/v1/backup?"+q.Encode(), nil)
	if err != nil {
		return rep, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return rep, backupBroke(ctx, err)
	}
	var f failure
	if text := resp.Trailer.Get(errorTrailer); text != "" {
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			return rep, fmt.Errorf("control: bad answer from the daemon: %w", err)
		}
		return rep, f.err()
	}
	text := resp.Trailer.Get(reportTrailer)
	if text == "" {
		return rep, fmt.Errorf("%w: the daemon closed the backup before its end", ErrUnreachable)
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(text))).Decode(&rep); err != nil {
		return rep, fmt.Errorf("control: bad answer from the daemon: %w", err)
	}
	return rep, nil
}

func backupBroke(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the daemon closed the backup before its end", ErrUnreachable)
	}
	return err
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) {
	c, err := s.backend.Checkpoint(r.Context())
	reply(w, c, err)
}

// Checkpoint has all that is in memory written to disk, and the disk tidied.
func (c *Client) Checkpoint(ctx context.Context) (did Checkpoint, err error) {
	return did, c.call(ctx, http.MethodPost, "/v1/checkpoint", nil, &did)
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) {
	rep, err := s.backend.Doctor(r.Context())
	reply(w, rep, err)
}

// Doctor has the node take stock of itself.
func (c *Client) Doctor(ctx context.Context) (rep *doctor.Report, err error) {
	return rep, c.call(ctx, http.MethodGet, "/v1/doctor", nil, &rep)
}

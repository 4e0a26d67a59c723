package fabric

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzRemoteFrames: what is read is written again as the same, and is within the bounds.
func FuzzRemoteFrames(f *testing.F) {
	q := request{id: 7, flags: requestWrites | requestAgain, timeout: 10 * time.Second, lowest: 3, region: "r", service: "resp", token: "t", body: []byte("body")}
	f.Add(byte(frameRequest), q.append(nil))
	o := outcome{id: 7, status: statusFailed, detail: "why", served: time.Millisecond, upTo: 12, dark: 1, missing: 3, token: "t"}
	f.Add(byte(frameDone), o.append(nil))
	f.Add(byte(framePart), append(appendNumbers(nil, 7), "part"...))
	f.Add(byte(frameMore), appendNumbers(nil, 7, 1<<10))
	f.Add(byte(frameCall), appendCall(nil, 0, run{1}))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		switch kind {
		case frameRequest:
			q, err := decodeRequest(b)
			if err != nil {
				return
			}
			if len(q.body) > MaxRequest || len(q.token) > remoteTokenMax || len(q.region) > regionNameMax || q.timeout > remoteTimeMax || q.timeout < 0 {
				t.Fatalf("beyond the bounds: %+v", q)
			}
			if again, err := decodeRequest(q.append(nil)); err != nil || !reflect.DeepEqual(again, q) {
				t.Fatalf("%+v is read again as %+v: %v", q, again, err)
			}
			if n := len(q.append(nil)); n > requestMax {
				t.Fatalf("%d bytes", n)
			}
		case frameDone:
			o, err := decodeOutcome(b)
			if err != nil {
				return
			}
			if again, err := decodeOutcome(o.append(nil)); err != nil || again != o || len(o.append(nil)) > doneMax {
				t.Fatalf("%+v is read again as %+v: %v", o, again, err)
			}
		case framePart:
			if id, part, err := decodePart(b); err == nil && !bytes.HasSuffix(b, part) {
				t.Fatalf("%d: %q", id, part)
			}
		case frameMore, frameCancel:
			if _, n, err := decodeMore(b, kind == frameMore); err == nil && n > remoteWindow {
				t.Fatalf("%d bytes", n)
			}
		case frameCall, frameReady:
			_, _ = decodeCall(b)
		}
		if remoteFrameLimit(kind) > smallMax {
			t.Fatal("a frame that no stream carries")
		}
	})
}

func TestLongDetailsAreCut(t *testing.T) {
	o := outcome{detail: strings.Repeat("x", 2*remoteDetailMax)}
	if again, err := decodeOutcome(o.append(nil)); err != nil || len(again.detail) != remoteDetailMax {
		t.Errorf("%d bytes: %v", len(again.detail), err)
	}
}

package control

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestBackupIsStreamed(t *testing.T) {
	long := strings.Repeat("backup", 1<<18)
	var got bytes.Buffer
	rep, err := serve(t, &fake{backup: long}).Backup(t.Context(), &got, BackupOptions{Plain: true})
	if err != nil || got.String() != long || rep.Stored != int64(len(long)) || rep.Encrypted {
		t.Errorf("%d bytes, %+v, %v", got.Len(), rep, err)
	}
	rep, err = serve(t, &fake{backup: long, end: errors.New("disk fell off")}).Backup(t.Context(), &got, BackupOptions{})
	if err == nil || !strings.Contains(err.Error(), "disk fell off") {
		t.Errorf("an error after the first byte: %+v, %v", rep, err)
	}
	if _, err = serve(t, &fake{}).Backup(t.Context(), &got, BackupOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an error before the first byte: %v, want ErrInvalid", err)
	}
	if did, err := serve(t, &fake{}).Checkpoint(t.Context()); err != nil || did.Commit != 7 {
		t.Errorf("checkpoint: %+v, %v", did, err)
	}
}

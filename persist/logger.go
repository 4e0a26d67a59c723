package persist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// badgerLogger passes Badger's messages on: its "info" is about its own affairs and becomes debug.
//
// It is also the only way to learn of one error: Badger logs a failed sync of the value log and then
// acknowledges the transaction. The message is remembered, and Commit asks for it before it acknowledges.
type badgerLogger struct {
	log *slog.Logger

	mu       sync.Mutex
	syncFail error
}

// syncFailure starts the message of that error.
const syncFailure = "Error while curlf sync"

func (l *badgerLogger) Errorf(format string, args ...any) {
	text := message(format, args)
	if strings.HasPrefix(text, syncFailure) {
		l.mu.Lock()
		l.syncFail = errors.New("value log: " + text)
		l.mu.Unlock()
	}
	l.log.Error("badger: " + text)
}

func (l *badgerLogger) Warningf(format string, args ...any) {
	l.log.Warn("badger: " + message(format, args))
}

func (l *badgerLogger) Infof(format string, args ...any)  { l.debug(format, args) }
func (l *badgerLogger) Debugf(format string, args ...any) { l.debug(format, args) }

func (l *badgerLogger) debug(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("badger: " + message(format, args))
	}
}

func message(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}

// failure gives the failed sync, if any was seen.
func (l *badgerLogger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.syncFail
}

package control

import (
	"errors"
	"net/http"
)

// failure is an error as it crosses the socket. Code lets the client restore the sentinel.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"error"`
}

const (
	codeNotFound = "not_found"
	codeInvalid  = "invalid"
	codeFailed   = "failed"
)

func errorBody(err error) failure {
	switch {
	case errors.Is(err, ErrNotFound):
		return failure{codeNotFound, err.Error()}
	case errors.Is(err, ErrInvalid):
		return failure{codeInvalid, err.Error()}
	default:
		return failure{codeFailed, err.Error()}
	}
}

func (f failure) status() int {
	switch f.Code {
	case codeNotFound:
		return http.StatusNotFound
	case codeInvalid:
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

// RemoteError is a daemon's answer that something did not work. Its text is the daemon's, whole; it
// still matches ErrNotFound and ErrInvalid.
type RemoteError struct {
	message string
	kind    error
}

func (e *RemoteError) Error() string { return e.message }

// Unwrap gives ErrNotFound, ErrInvalid or nil.
func (e *RemoteError) Unwrap() error { return e.kind }

func (f failure) err() error {
	e := &RemoteError{message: f.Message}
	switch f.Code {
	case codeNotFound:
		e.kind = ErrNotFound
	case codeInvalid:
		e.kind = ErrInvalid
	}
	return e
}

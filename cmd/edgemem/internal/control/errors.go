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
	codeNoHolder = "no_holder"
	codeFailed   = "failed"
)

func errorBody(err error) failure {
	switch {
	case errors.Is(err, ErrNotFound):
		return failure{codeNotFound, err.Error()}
	case errors.Is(err, ErrInvalid):
		return failure{codeInvalid, err.Error()}
	case errors.Is(err, ErrNoHolder):
		return failure{codeNoHolder, err.Error()}
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
	case codeNoHolder:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// RemoteError is a daemon's answer that something did not work. Its text is the daemon's, whole; it
// still matches ErrNotFound, ErrInvalid and ErrNoHolder.
type RemoteError struct {
	message string
	kind    error
}

func (e *RemoteError) Error() string { return e.message }

// Unwrap gives ErrNotFound, ErrInvalid, ErrNoHolder or nil.
func (e *RemoteError) Unwrap() error { return e.kind }

func (f failure) err() error {
	e := &RemoteError{message: f.Message}
	switch f.Code {
	case codeNotFound:
		e.kind = ErrNotFound
	case codeInvalid:
		e.kind = ErrInvalid
	case codeNoHolder:
		e.kind = ErrNoHolder
	}
	return e
}

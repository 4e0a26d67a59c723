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
	codeHeld     = "held"
	codeMajority = "no_majority"
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
	case errors.Is(err, ErrHeld):
		return failure{codeHeld, err.Error()}
	case errors.Is(err, ErrNoMajority):
		return failure{codeMajority, err.Error()}
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
	case codeNoHolder, codeMajority:
		return http.StatusServiceUnavailable
	case codeHeld:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// RemoteError is a daemon's answer that something did not work. Its text is the daemon's, whole; it
// still matches ErrNotFound, ErrInvalid, ErrNoHolder, ErrHeld and ErrNoMajority.
type RemoteError struct {
	message string
	kind    error
}

func (e *RemoteError) Error() string { return e.message }

// Unwrap gives one of these errors, or nil.
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
	case codeHeld:
		e.kind = ErrHeld
	case codeMajority:
		e.kind = ErrNoMajority
	}
	return e
}

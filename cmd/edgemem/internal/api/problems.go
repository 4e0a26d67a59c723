package api

import (
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

// problem is an answer after RFC 9457. Its type is a URN, so that programs need not read texts.
func problem(status int, name, detail string) *huma.ErrorModel {
	return &huma.ErrorModel{Type: "urn:edgemem:problem:" + name, Title: http.StatusText(status), Status: status, Detail: detail}
}

// problems sorts errors of the fabric; the first that matches counts.
var problems = []struct {
	err    error
	status int
	name   string
}{
	{fabric.ErrNotMerged, http.StatusGatewayTimeout, "not-merged"}, // before what it may wrap
	{fabric.ErrUncertain, http.StatusGatewayTimeout, "uncertain"},
	{fabric.ErrNoHolder, http.StatusServiceUnavailable, "no-holder"},
	{fabric.ErrNotHeld, http.StatusServiceUnavailable, "not-held"},
	{errNoEntry, http.StatusNotFound, "not-found"},
	{client.ErrCondition, http.StatusPreconditionFailed, "condition"},
	{fabric.ErrNoRegion, http.StatusNotFound, "not-found"},
	{fabric.ErrNotFound, http.StatusNotFound, "not-found"},
	{fabric.ErrRegionName, http.StatusUnprocessableEntity, "region-name"},
	{fabric.ErrBadTerms, http.StatusUnprocessableEntity, "terms"},
	{fabric.ErrBadPlacement, http.StatusUnprocessableEntity, "placement"},
	{fabric.ErrLeaseHeld, http.StatusConflict, "lease-held"},
	{fabric.ErrLeaseLost, http.StatusGone, "lease-lost"},
	{fabric.ErrNoMajority, http.StatusServiceUnavailable, "no-majority"},
	{fabric.ErrNoVoters, http.StatusServiceUnavailable, "no-voters"},
	{fabric.ErrBadLease, http.StatusUnprocessableEntity, "bad-lease"},
	{fabric.ErrNoNode, http.StatusNotFound, "no-node"},
	{fabric.ErrAmbiguous, http.StatusUnprocessableEntity, "ambiguous-node"},
	{fabric.ErrToken, http.StatusBadRequest, "token"},
	{fabric.ErrLoading, http.StatusServiceUnavailable, "loading"},
	{fabric.ErrTooManyWaiters, http.StatusServiceUnavailable, "busy"},
	{fabric.ErrClosed, http.StatusServiceUnavailable, "closing"},
	{fabric.ErrDiskFull, http.StatusInsufficientStorage, "disk-full"},
	{fabric.ErrMemoryFull, http.StatusInsufficientStorage, "memory-full"},
	{fabric.ErrQuota, http.StatusInsufficientStorage, "quota"},
	{fabric.ErrTooMany, http.StatusInsufficientStorage, "too-many-regions"},
	{fabric.ErrNotDurable, http.StatusInternalServerError, "not-durable"},
	{crdt.ErrWrongType, http.StatusConflict, "wrong-type"},
	{crdt.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large"},
	{crdt.ErrNotInteger, http.StatusConflict, "not-a-number"},
	{crdt.ErrNotNumber, http.StatusConflict, "not-a-number"},
	{crdt.ErrOverflow, http.StatusConflict, "overflow"},
	{crdt.ErrNoBounded, http.StatusConflict, "no-bounded"},
	{crdt.ErrBoundedExists, http.StatusConflict, "bounded-exists"},
	{crdt.ErrBeyondLimit, http.StatusConflict, "beyond-limit"},
	{crdt.ErrNoRights, http.StatusConflict, "no-rights"},
	{crdt.ErrNoBlock, http.StatusConflict, "no-block"},
	{crdt.ErrOutside, http.StatusConflict, "outside"},
	{crdt.ErrNoElement, http.StatusConflict, "no-element"},
	{crdt.ErrStreamID, http.StatusConflict, "stream-id"},
	{crdt.ErrStreamFull, http.StatusConflict, "stream-full"},
	{crdt.ErrUnreadable, http.StatusInternalServerError, "unreadable"},
	{client.ErrArguments, http.StatusUnprocessableEntity, "arguments"},
}

var errNoEntry = errors.New("no such key")

// refusal turns an error into the answer.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	var made *huma.ErrorModel
	if errors.As(err, &made) {
		return err
	}
	var stale *fabric.StaleError
	if errors.As(err, &stale) {
		p := problem(http.StatusServiceUnavailable, "stale", stale.Error())
		p.Errors = []*huma.ErrorDetail{{Location: "header.Edgemem-Context", Message: "writes that the token has seen and this node has not", Value: stale.Missing}}
		return again(p)
	}
	for _, x := range problems {
		if errors.Is(err, x.err) {
			p := problem(x.status, x.name, err.Error())
			var none *fabric.NoHolderError
			if errors.As(err, &none) {
				for _, h := range none.Holders {
					p.Errors = append(p.Errors, &huma.ErrorDetail{Location: "holder", Message: "known, and does not answer", Value: h})
				}
			}
			if x.status == http.StatusServiceUnavailable {
				return again(p)
			}
			return p
		}
	}
	return problem(http.StatusInternalServerError, "internal", err.Error())
}

// again says when to come back.
func again(p *huma.ErrorModel) error {
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {retryAfter}})
}

// fault is what a batch says of one operation.
func fault(err error) *client.Fault {
	var p *huma.ErrorModel
	if errors.As(refusal(err), &p) {
		return &client.Fault{Type: p.Type, Detail: p.Detail}
	}
	return &client.Fault{Type: "about:blank", Detail: err.Error()}
}

// alone gives the result of one operation, or its error as the answer.
func alone(results []client.Result, err error) (client.Result, error) {
	if err != nil {
		return client.Result{}, refusal(err)
	}
	res := results[0]
	if res.Error == nil {
		return res, nil
	}
	for _, x := range problems {
		if "urn:edgemem:problem:"+x.name == res.Error.Type {
			return client.Result{}, problem(x.status, x.name, res.Error.Detail)
		}
	}
	return client.Result{}, problem(http.StatusInternalServerError, "internal", res.Error.Detail)
}

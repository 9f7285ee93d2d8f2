package tracedb

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is what a caller gets: what was wrong, where, and what to do. It travels as JSON in every
// answer that isn't a success.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`            // stable, for programs: invalid_signature
	Message string `json:"message"`         // what was wrong
	Field   string `json:"field,omitempty"` // where in the request: records[3].payload.subject
	Hint    string `json:"hint,omitempty"`  // what to do
}

// Error is the message, with its place.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Is compares errors by their code, so that errors.Is works across the wire.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// At is the error with the place where it was found put before its own.
func (e *Error) At(format string, args ...any) *Error {
	c := *e
	place := fmt.Sprintf(format, args...)
	switch {
	case c.Field == "":
		c.Field = place
	case c.Field[0] == '[':
		c.Field = place + c.Field
	default:
		c.Field = place + "." + c.Field
	}
	return &c
}

// Says is the error with another message.
func (e *Error) Says(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// WithHint is the error with advice.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.Hint = hint
	return &c
}

// The errors of the service, with the HTTP status that each is answered with.
var (
	ErrInvalid          = &Error{Status: http.StatusBadRequest, Code: "invalid", Message: "the request can't be read"}
	ErrUnauthenticated  = &Error{Status: http.StatusUnauthorized, Code: "unauthenticated", Message: "who are you?"}
	ErrForbidden        = &Error{Status: http.StatusForbidden, Code: "forbidden", Message: "this identity may not do that"}
	ErrNotFound         = &Error{Status: http.StatusNotFound, Code: "not_found", Message: "nothing is known about that"}
	ErrMethod           = &Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "not with this method"}
	ErrConflict         = &Error{Status: http.StatusConflict, Code: "conflict", Message: "the same id was used for another record"}
	ErrReplayed         = &Error{Status: http.StatusConflict, Code: "replayed", Message: "this attestation is in the log already, under another id"}
	ErrBound            = &Error{Status: http.StatusConflict, Code: "bound", Message: "an algorithm id and the repository that registered it first belong together"}
	ErrDisposed         = &Error{Status: http.StatusGone, Code: "disposed", Message: "the payload was disposed of after its term; its hash remains in the log"}
	ErrTooLarge         = &Error{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: "more than the service takes"}
	ErrInvalidSignature = &Error{Status: http.StatusUnprocessableEntity, Code: "invalid_signature", Message: "no key of the keyring made this signature"}
	ErrInvalidRecord    = &Error{Status: http.StatusUnprocessableEntity, Code: "invalid_record", Message: "the record doesn't say what its kind must say"}
	ErrTooMany          = &Error{Status: http.StatusTooManyRequests, Code: "too_many", Message: "too many at once"}
	ErrInternal         = &Error{Status: http.StatusInternalServerError, Code: "internal", Message: "the service failed; its log says why"}
	ErrUnavailable      = &Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "not now"}
	ErrFull             = &Error{Status: http.StatusInsufficientStorage, Code: "full", Message: "the disk is full: nothing can be recorded; reading goes on"}
)

// AsError is err as a caller gets it; what isn't an *Error becomes ErrInternal, so that no
// detail of the inside leaves it.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return ErrInternal
}

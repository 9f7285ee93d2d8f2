package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

// maxWait caps the pause between two attempts that nobody asked for.
const maxWait = 20 * time.Second

// corruptAttempts is how often bytes that fail their digest are fetched anew: a
// server that sends the same wrong bytes again won't get better.
const corruptAttempts = 4

// retryAfterError is an answer with a Retry-After header.
type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// retrier tries until its budget is spent: time in which nothing moved, not
// time that passed. A slow line may take as long as it takes.
type retrier struct {
	budget time.Duration
	first  time.Duration // pause after the first failure
	onWait func(err error, wait time.Duration)
}

// do calls f until it succeeds, fails for good, or the budget is spent. f says
// whether it got any further than the attempt before.
func (r retrier) do(ctx context.Context, f func(context.Context) (moved bool, err error)) error {
	pause, corrupt := r.first, 0
	since := time.Now()
	for {
		moved, err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if permanent(err) {
			return err
		}
		if bad := (*store.DigestError)(nil); errors.As(err, &bad) {
			if corrupt++; corrupt == corruptAttempts {
				return fmt.Errorf("%d times: %w", corrupt, err)
			}
		}
		if moved {
			since, pause = time.Now(), r.first
		}
		wait := pause + rand.N(pause/2+1)
		if p := (*retryAfterError)(nil); errors.As(err, &p) && p.after > wait {
			wait = p.after
		}
		if left := r.budget - time.Since(since); wait > left {
			return ui.WithHint(fmt.Errorf("gave up, nothing moved for %s: %w", r.budget, err),
				"run it again later, it goes on where it stopped; `docker login` raises Docker Hub's limit, and --registry-mirror asks another registry")
		}
		if r.onWait != nil {
			r.onWait(err, wait)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		pause = min(2*pause, maxWait)
	}
}

// permanent says that trying again can't help: the registry understood the request
// and refuses it, it isn't who it should be, or the disk is full.
func permanent(err error) bool {
	var badCert *tls.CertificateVerificationError
	if errors.Is(err, store.ErrDisk) || errors.As(err, &badCert) {
		return true
	}
	var t *transport.Error
	if !errors.As(err, &t) {
		return false
	}
	switch t.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusGone:
		return true
	}
	return false
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

// Package client talks to the Traceability DB over HTTPS. It owns how a request is made and an
// answer is read, and trying again where that can't do harm; it refuses to hide an error: what the
// service said comes back as a *tracedb.Error, so errors.Is works as it does inside.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// Options say where the service is and who asks.
type Options struct {
	URL  string       // https://host:port
	HTTP *http.Client // trusts the platform's CA; nil: http.DefaultClient
	// Token gives the bearer token, asked for at every attempt, since projected tokens are renewed.
	// Nil, or an empty token: nobody asks, and sees what is public.
	Token func(context.Context) (string, error)
	// Patience is how long Client tries again when the service can't be reached or has no time; the
	// context's end counts too. 0: ten seconds; less: not at all.
	Patience time.Duration
	// Timeout is how long one attempt may take: to the end of its answer, and to the beginning of an
	// archive or a stream, which may take long. 0: half a minute.
	Timeout time.Duration
}

// Client is safe for concurrent use.
type Client struct{ o Options }

// New gives a client. It reaches nobody yet.
func New(o Options) *Client {
	o.HTTP = onlyThisHost(cmp.Or(o.HTTP, http.DefaultClient))
	o.Patience = cmp.Or(o.Patience, 10*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.URL = strings.TrimSuffix(o.URL, "/")
	return &Client{o}
}

// onlyThisHost is a client that follows a redirect only to the scheme and host of the request.
func onlyThisHost(given *http.Client) *http.Client {
	c := *given
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := httpclient.CheckRedirect(req, via); err != nil || given.CheckRedirect == nil {
			return err
		}
		return given.CheckRedirect(req, via)
	}
	return &c
}

const (
	// maxAnswer bounds an answer of JSON; archives may be larger.
	maxAnswer = 64 << 20
	// maxError bounds what is read of an error.
	maxError = 64 << 10
	// The pause before another attempt begins here, doubles, and ends there; half of it is chance, so
	// that many who were refused together don't come back together.
	firstPause, lastPause = 100 * time.Millisecond, 5 * time.Second
)

// call is one request.
type call struct {
	method, path string
	query        url.Values
	body         any
	header       http.Header
	timeout      time.Duration // of one attempt; 0: the client's
	long         bool          // once the answer has begun, it may take as long as it takes
	always       bool          // tried until the context ends, whatever the client's patience
}

// do tries until there is an answer, and gives it with its body open. Every request of this package
// can be made twice: records have ids, by which the log knows them again.
func (c *Client) do(ctx context.Context, q call) (*http.Response, error) {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
	}
	until := time.Now().Add(c.o.Patience)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		resp, err := c.try(ctx, q, body)
		if err == nil {
			return resp, nil
		}
		after, again := retry(err)
		if !again || ctx.Err() != nil {
			return nil, err
		}
		wait := max(after, pause/2+rand.N(pause/2+1))
		next := time.Now().Add(wait)
		if deadline, ok := ctx.Deadline(); !q.always && (next.After(until) || ok && next.After(deadline)) {
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// errLate is an attempt that took too long.
var errLate = errors.New("no answer in time")

// answer is a body whose attempt ends with it.
type answer struct {
	io.ReadCloser
	end func()
}

func (a *answer) Close() error {
	defer a.end()
	return a.ReadCloser.Close()
}

// try makes one attempt, which ends by itself when it takes too long.
func (c *Client) try(ctx context.Context, q call, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(cmp.Or(q.timeout, c.o.Timeout), func() { cancel(errLate) })
	end := func() {
		timer.Stop()
		cancel(nil)
	}
	resp, err := c.attempt(ctx, q, body)
	if err != nil {
		end()
		return nil, err
	}
	if q.long {
		timer.Stop()
	}
	resp.Body = &answer{resp.Body, end}
	return resp, nil
}

func (c *Client) attempt(ctx context.Context, q call, body []byte) (*http.Response, error) {
	address := c.o.URL + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.o.Token != nil {
		token, err := c.o.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("get a token: %w", err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		return nil, &unreachable{err}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// unreachable is an error of the way to the service and back.
type unreachable struct{ err error }

func (e *unreachable) Error() string { return "reach the Traceability DB: " + e.err.Error() }
func (e *unreachable) Unwrap() error { return e.err }

// refused is an answer that isn't a success.
type refused struct {
	err   *tracedb.Error
	after time.Duration // the service's own wish
}

func (e *refused) Error() string { return e.err.Error() }
func (e *refused) Unwrap() error { return e.err }

// retry says whether another attempt may fare better, and when the service wants it at the earliest.
func retry(err error) (after time.Duration, again bool) {
	var r *refused
	if errors.As(err, &r) {
		// A full disk isn't over in seconds.
		s := r.err.Status
		return r.after, s == http.StatusTooManyRequests || s >= 500 && s != http.StatusInsufficientStorage
	}
	var u *unreachable
	if !errors.As(err, &u) {
		return 0, false
	}
	// A certificate that isn't trusted stays so, and so does a way that leads elsewhere.
	var untrusted *tls.CertificateVerificationError
	return 0, !errors.As(err, &untrusted) && !errors.Is(err, httpclient.ErrOtherHost)
}

// refusal reads the error that the service wrote; a proxy may write others.
func refusal(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	var body wire.ErrorBody
	// What can't be read leaves body empty, and is answered below.
	_ = json.Unmarshal(raw, &body)
	e := body.Error
	if e == nil || e.Code == "" {
		e = byStatus(resp.StatusCode).Says("HTTP %d, and not in the words of the Traceability DB", resp.StatusCode)
	}
	e.Status = resp.StatusCode
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		seconds = 0
	}
	return &refused{e, time.Duration(min(seconds, 60)) * time.Second}
}

// byStatus is the error that a status means when nobody says more.
func byStatus(status int) *tracedb.Error {
	for _, e := range []*tracedb.Error{
		tracedb.ErrInvalid, tracedb.ErrUnauthenticated, tracedb.ErrForbidden, tracedb.ErrNotFound, tracedb.ErrMethod,
		tracedb.ErrTooLarge, tracedb.ErrTooMany, tracedb.ErrUnavailable, tracedb.ErrFull,
	} {
		if e.Status == status {
			return e
		}
	}
	if status >= 500 {
		return tracedb.ErrUnavailable
	}
	return tracedb.ErrInvalid
}

// read asks and reads the answer into v.
func (c *Client) read(ctx context.Context, q call, v any) error {
	resp, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return &unreachable{err}
	}
	if len(raw) > maxAnswer {
		return fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

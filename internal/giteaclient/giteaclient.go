// Package giteaclient makes the clients of Gitea's API. It owns how they say who asks: with every request, and
// to Gitea's own host alone. It refuses to ask Gitea for its version, which it may be too young or the token
// too narrow to answer, and knows nothing of what is asked.
package giteaclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"code.gitea.io/sdk/gitea"
)

// The event of a webhook that tells of pull requests alone, as the API takes it and as it returns it. Asked for
// what it returns it would add labels, assignments and comments.
const (
	PullRequestOnly     = "pull_request_only"
	PullRequestReturned = "pull_request"
)

// Options say which Gitea is asked, and as whom. Without a token and a user name nobody in particular asks.
type Options struct {
	URL  string       // https://host:port
	HTTP *http.Client // as httpclient makes it
	// Token is asked for at every request, since its file may change.
	Token func() (string, error)
	// Username and Password are for accounts that have no token yet.
	Username, Password string
}

// Token gives Options a token that stays the same.
func Token(token string) func() (string, error) {
	return func() (string, error) { return token, nil }
}

// Client is the SDK's, with Call for what that lacks.
type Client struct {
	*gitea.Client
	url  string
	http *http.Client
}

// New returns a client whose requests end with ctx. It reaches nobody yet.
func New(ctx context.Context, o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil {
		// The address may hold a password: only the cause is told.
		if parse := (*url.Error)(nil); errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("address of Gitea: %w", err)
	}
	if base.Host == "" {
		return nil, fmt.Errorf("address of Gitea: %q has no host", base.Redacted())
	}
	hc := *o.HTTP
	hc.Transport = authorized{next: hc.Transport, host: base.Host, o: o}
	opts := []gitea.ClientOption{gitea.SetContext(ctx), gitea.SetHTTPClient(&hc), gitea.SetGiteaVersion("")}
	if o.Username != "" {
		// The SDK refuses calls about tokens unless it knows a user's name itself.
		opts = append(opts, gitea.SetBasicAuth(o.Username, o.Password))
	}
	sdk, err := gitea.NewClient(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("client of Gitea at %s: %w", base.Redacted(), err)
	}
	return &Client{sdk, strings.TrimSuffix(o.URL, "/"), &hc}, nil
}

// authorized says who asks, to Gitea alone.
type authorized struct {
	next http.RoundTripper
	host string
	o    Options
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	next := a.next
	if next == nil {
		next = http.DefaultTransport
	}
	if r.URL.Host != a.host || a.o.Token == nil && a.o.Username == "" {
		return next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	if a.o.Token == nil {
		r.SetBasicAuth(a.o.Username, a.o.Password)
		return next.RoundTrip(r)
	}
	token, err := a.o.Token()
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("token for Gitea: %w", err)
	}
	r.Header.Set("Authorization", "token "+token)
	return next.RoundTrip(r)
}

// Error is an answer of Call's that isn't a success.
type Error struct {
	Status  int
	Message string // Gitea's own words; may be empty
}

func (e *Error) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("Gitea answered %d %s: %s", e.Status, http.StatusText(e.Status), e.Message), ": ")
}

const maxAnswer = 4 << 20

// Call asks for a path of the API, such as /repos/owner/name/hooks, what the SDK can't ask or drops from the
// answer. in is the request's body and out where the answer goes, both as JSON; either may be nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read Gitea's answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		var said struct{ Message string }
		if json.Unmarshal(answer, &said) != nil {
			said.Message = string(answer)
		}
		return &Error{resp.StatusCode, strings.TrimSpace(said.Message)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read Gitea's answer: %w", err)
	}
	return nil
}

// Status is the HTTP status of an SDK's answer; 0 if there was none.
func Status(resp *gitea.Response) int {
	if resp == nil || resp.Response == nil {
		return 0
	}
	return resp.StatusCode
}

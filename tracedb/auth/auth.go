// Package auth owns who is asking: a Kubernetes ServiceAccount by its token, the cluster's gatekeeper
// by a token of its own, a person by the session that a login at Gitea gave. It says what each may do
// by a table that the service was given. It refuses a credential that isn't valid, instead of going on
// without it, and never writes a token to a log, an error or an answer.
package auth

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// AdmissionName is the identity of who holds the admission token.
const AdmissionName = "admission-token"

// Options say which credentials count. What is left out is off.
type Options struct {
	Tokens         *Reviewer // Kubernetes' review of ServiceAccount tokens
	AdmissionToken *File     // the admission token
	Sessions       *Sessions // of people
	Logger         *slog.Logger
}

// Authenticator finds out who is asking. It is safe for concurrent use.
type Authenticator struct{ o Options }

// New gives an authenticator.
func New(o Options) *Authenticator {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return &Authenticator{o}
}

// Middleware puts the identity of who is asking into the request's context. A request without any
// credential is nobody's and goes on; one with a credential that isn't valid is answered with 401.
// A session that is over is no credential: the reader sees what the public sees, and may log in.
func (a *Authenticator) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Identify(r)
		if err != nil {
			wire.Error(w, err)
			return
		}
		if id.Name == "" && a.o.Sessions != nil {
			id = a.o.Sessions.identity(w, r)
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), id)))
	})
}

// Identify is who a request's bearer token belongs to; zero without one.
func (a *Authenticator) Identify(r *http.Request) (tracedb.Identity, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return tracedb.Identity{}, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return tracedb.Identity{}, tracedb.ErrUnauthenticated.Says("only bearer tokens are known here").At("Authorization")
	}
	if a.o.AdmissionToken != nil {
		same, err := a.o.AdmissionToken.Equal(token)
		if err != nil {
			// Without its file nobody is the gatekeeper, which then refuses: others go on.
			a.o.Logger.ErrorContext(r.Context(), "read the admission token", "error", err)
		}
		if same {
			return tracedb.Identity{Name: AdmissionName, Roles: []tracedb.Role{tracedb.RoleAdmission}}, nil
		}
	}
	if a.o.Tokens == nil {
		return tracedb.Identity{}, tracedb.ErrUnauthenticated.Says("this token isn't valid here").At("Authorization")
	}
	return a.o.Tokens.Identify(r.Context(), token)
}

type key struct{}

// With is a context whose requests are id's.
func With(ctx context.Context, id tracedb.Identity) context.Context {
	return context.WithValue(ctx, key{}, id)
}

// From is who is asking; the zero Identity is nobody.
func From(ctx context.Context) tracedb.Identity {
	id, _ := ctx.Value(key{}).(tracedb.Identity)
	return id
}

// Require is nil if who is asking has the role, and otherwise says whether to log in or to give up.
func Require(ctx context.Context, role tracedb.Role) error {
	id := From(ctx)
	switch {
	case id.Has(role):
		return nil
	case id.Name == "":
		return tracedb.ErrUnauthenticated.Says("only the role %s may do that, and nobody is named", role).
			WithHint("send a bearer token, or log in at /login")
	}
	return tracedb.ErrForbidden.Says("%s hasn't the role %s", id.Name, role).
		WithHint("the service's configuration says who has which role")
}

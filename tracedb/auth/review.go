package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// reviewTTL is how long a review counts: a token that was revoked works at most this long.
	reviewTTL     = 30 * time.Second
	maxReviews    = 4096
	maxToken      = 16 << 10
	reviewTimeout = 5 * time.Second
	// maxReviewing bounds what made-up tokens can make us ask of the cluster.
	maxReviewing = 16
)

// Grant says what an identity may do.
type Grant struct {
	Subject string         `json:"subject"` // as Kubernetes names it: system:serviceaccount:<namespace>:<name>
	Roles   []tracedb.Role `json:"roles"`
	Kinds   []tracedb.Kind `json:"kinds,omitempty"` // that a writer may add
}

// Check says what is wrong with a grant.
func (g Grant) Check() error {
	if g.Subject == "" {
		return errors.New("subject: is missing")
	}
	for i, r := range g.Roles {
		if !slices.Contains([]tracedb.Role{tracedb.RolePublic, tracedb.RoleWriter, tracedb.RoleAuditor, tracedb.RoleAdmission}, r) {
			return fmt.Errorf("roles[%d]: %q is no role: public, writer, auditor and admission are", i, r)
		}
	}
	for i, k := range g.Kinds {
		info, ok := k.Info()
		switch {
		case !ok:
			return fmt.Errorf("kinds[%d]: %q is no kind of record", i, k)
		case info.Internal:
			return fmt.Errorf("kinds[%d]: only the service itself writes %s", i, k)
		}
	}
	if writes := slices.Contains(g.Roles, tracedb.RoleWriter); writes && len(g.Kinds) == 0 {
		return errors.New("kinds: a writer without kinds can write nothing: name them")
	} else if !writes && len(g.Kinds) > 0 {
		return errors.New("kinds: only the role writer has kinds")
	}
	return nil
}

// Reviewer asks Kubernetes whose a token is.
type Reviewer struct {
	cluster  dynamic.Interface
	audience string
	grants   map[string]Grant
	now      func() time.Time
	flight   singleflight.Group
	limiter  chan struct{}
	reviews  *lru.Cache // cachedReview by the token's hash: tokens themselves aren't kept
}

type cachedReview struct {
	id    tracedb.Identity
	err   error
	until time.Time
}

// NewReviewer asks for tokens that were made for the audience. Identities without a grant are known
// by name, and may do what everybody may.
func NewReviewer(cluster dynamic.Interface, audience string, grants []Grant, now func() time.Time) (*Reviewer, error) {
	if audience == "" {
		return nil, errors.New("audience: is missing: without one every token of the cluster would count")
	}
	r := &Reviewer{cluster: cluster, audience: audience, grants: map[string]Grant{}, now: now,
		limiter: make(chan struct{}, maxReviewing), reviews: lru.New(maxReviews)}
	if now == nil {
		r.now = time.Now
	}
	for i, g := range grants {
		if err := g.Check(); err != nil {
			return nil, fmt.Errorf("roles[%d].%w", i, err)
		}
		if _, ok := r.grants[g.Subject]; ok {
			return nil, fmt.Errorf("roles[%d].subject: %s has a role already: one entry names all", i, g.Subject)
		}
		r.grants[g.Subject] = g
	}
	return r, nil
}

// Identify is whose the token is. A token that Kubernetes doesn't accept, or that was made for another
// audience, is ErrUnauthenticated; a cluster that can't be asked is ErrUnavailable.
func (r *Reviewer) Identify(ctx context.Context, token string) (tracedb.Identity, error) {
	if len(token) > maxToken {
		return tracedb.Identity{}, tracedb.ErrUnauthenticated.Says("this is too long for a token").At("Authorization")
	}
	hash := sha256.Sum256([]byte(token))
	if v, ok := r.cached(hash); ok {
		return v.id, v.err
	}
	// Requests with the same token at the same time share the review, so it mustn't end with the
	// first one's context.
	done := r.flight.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		select {
		case r.limiter <- struct{}{}:
			defer func() { <-r.limiter }()
		case <-ctx.Done():
			return tracedb.Identity{}, tracedb.ErrTooMany.Says("too many tokens wait for the cluster's review")
		}
		id, err := r.ask(ctx, token)
		if err == nil || errors.Is(err, tracedb.ErrUnauthenticated) {
			r.reviews.Add(hash, cachedReview{id: id, err: err, until: r.now().Add(reviewTTL)})
		}
		return id, err
	})
	select {
	case got := <-done:
		id, _ := got.Val.(tracedb.Identity)
		return id, got.Err
	case <-ctx.Done():
		return tracedb.Identity{}, fmt.Errorf("%w (the caller left: %w)", tracedb.ErrUnavailable, context.Cause(ctx))
	}
}

func (r *Reviewer) ask(ctx context.Context, token string) (tracedb.Identity, error) {
	s, err := r.review(ctx, authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{r.audience}})
	if err != nil {
		return tracedb.Identity{}, fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("the cluster can't be asked whose this token is"), err)
	}
	switch {
	case !s.Authenticated || s.User.Username == "":
		// Kubernetes' own words may quote the token: they stay inside.
		return tracedb.Identity{}, tracedb.ErrUnauthenticated.Says("the cluster doesn't accept this token for the audience %s", r.audience).
			At("Authorization").WithHint("project a ServiceAccount token with this audience: " + r.audience)
	case !slices.Contains(s.Audiences, r.audience):
		// An authenticator that knows nothing of audiences leaves them out: that isn't a yes.
		return tracedb.Identity{}, tracedb.ErrUnauthenticated.Says("this token wasn't made for the audience %s", r.audience).
			At("Authorization").WithHint("project a ServiceAccount token with this audience: " + r.audience)
	default:
		g := r.grants[s.User.Username]
		return tracedb.Identity{Name: s.User.Username, Roles: g.Roles, Kinds: g.Kinds}, nil
	}
}

// review has the cluster review a token.
func (r *Reviewer) review(ctx context.Context, spec authenticationv1.TokenReviewSpec) (authenticationv1.TokenReviewStatus, error) {
	review := authenticationv1.TokenReview{Spec: spec}
	review.SetGroupVersionKind(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"))
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&review)
	if err != nil {
		return authenticationv1.TokenReviewStatus{}, err
	}
	answer, err := r.cluster.Resource(authenticationv1.SchemeGroupVersion.WithResource("tokenreviews")).
		Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.TokenReviewStatus{}, err
	}
	var reviewed authenticationv1.TokenReview
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, &reviewed)
	return reviewed.Status, err
}

func (r *Reviewer) cached(hash [sha256.Size]byte) (cachedReview, bool) {
	found, _ := r.reviews.Get(hash)
	v, ok := found.(cachedReview)
	// A clock that jumped back must not make a review last.
	left := v.until.Sub(r.now())
	return v, ok && left > 0 && left <= reviewTTL
}

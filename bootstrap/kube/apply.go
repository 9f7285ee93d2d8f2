package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/internal/ui"
)

// How long Apply tries again: while the pod of a webhook starts, and while a
// definition that was just accepted isn't served yet.
const (
	webhookTimeout   = 90 * time.Second
	discoveryTimeout = 15 * time.Second
)

// Apply brings the objects about with server-side apply: definitions and
// namespaces first, and when those are established the rest. An object that
// already is as asked isn't written, so its resourceVersion stays. It returns
// the objects it created or changed.
func (c *Client) Apply(ctx context.Context, objs []*unstructured.Unstructured) (changed []string, err error) {
	var first, rest []*unstructured.Unstructured
	for _, o := range objs {
		o = o.DeepCopy() // the manager sorts and trims what it is given
		if utils.IsClusterDefinition(o) || utils.IsClassDefinition(o) {
			first = append(first, o)
		} else {
			rest = append(rest, o)
		}
	}
	if changed, err = c.applyStage(ctx, first); err != nil {
		return changed, err
	}
	if len(first) > 0 && len(rest) > 0 {
		if err := c.WaitReady(ctx, first, WaitOptions{Timeout: time.Minute, Interval: 250 * time.Millisecond}); err != nil {
			return changed, err
		}
	}
	more, err := c.applyStage(ctx, rest)
	return append(changed, more...), err
}

func (c *Client) applyStage(ctx context.Context, objs []*unstructured.Unstructured) (changed []string, err error) {
	if len(objs) == 0 {
		return nil, nil
	}
	start := time.Now()
	for {
		set, err := c.manager.ApplyAll(ctx, objs, ssa.DefaultApplyOptions())
		if set != nil {
			for _, e := range set.Entries {
				if e.Action == ssa.CreatedAction || e.Action == ssa.ConfiguredAction {
					changed = append(changed, e.Subject)
				}
			}
		}
		if err == nil {
			return changed, nil
		}
		limit := webhookTimeout
		if meta.IsNoMatchError(err) {
			limit = discoveryTimeout
		}
		if !transient(err) || time.Since(start) > limit {
			return changed, applyError(err)
		}
		select {
		case <-ctx.Done():
			return changed, fmt.Errorf("%w; last try: %w", context.Cause(ctx), err)
		case <-time.After(2 * time.Second):
		}
	}
}

// transient says whether an error is one of a cluster that still starts, so that
// trying again helps.
func transient(err error) bool {
	var netErr net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsTimeout(err),
		apierrors.IsServerTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsConflict(err),
		meta.IsNoMatchError(err), errors.As(err, &netErr):
		return true
	}
	return slices.ContainsFunc([]string{"failed calling webhook", "connection refused", "connection reset", "unexpected EOF",
		"no endpoints available", "not yet ready to handle request", "failed to wait for caches", "leader changed"},
		func(s string) bool { return strings.Contains(err.Error(), s) })
}

func applyError(err error) error {
	err = fmt.Errorf("apply: %w", err)
	switch {
	case meta.IsNoMatchError(err):
		return ui.WithHint(err, "the cluster doesn't know this kind: the part that defines it isn't installed, or its definition was refused")
	case strings.Contains(err.Error(), "failed calling webhook"):
		return ui.WithHint(err, "an admission webhook doesn't answer: look at the pods of the namespace it names")
	case strings.Contains(err.Error(), "denied the request"):
		return ui.WithHint(err, "an admission policy refused the object; the message says which and why")
	case strings.Contains(err.Error(), "immutable"):
		return ui.WithHint(err, "that can't be changed in place: delete the object and run `druppie-up up` again, it is made anew")
	}
	return err
}

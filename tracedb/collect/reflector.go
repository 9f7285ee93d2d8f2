package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// listPage is how many objects are asked for at once.
	listPage = 250
	// watchTime is how long one watch lasts before it is renewed.
	watchTime = 5 * time.Minute
	// relist is how often everything is listed again, in case a watch left something out.
	relist = 15 * time.Minute
)

// reflector lists and watches the objects of one kind. client-go's Reflector would log that a handler failed,
// and continue; here all is listed again, with exponential backoff. The API server is the backlog: while a record can't be written
// nothing more is read, and what the server forgot meanwhile is listed again. So there is no queue that
// could overflow, and nothing comes out of order.
type reflector[T any] struct {
	*recorder        // for its health, its clock, its pauses and its output
	name      string // in the status
	of        listerWatcher
	opts      metav1.ListOptions // selectors

	// listed, if it isn't nil, is called with everything that is there, oldest first, before handle is with each;
	// handle is called with what happened to one object. They return only when that is recorded; an error makes
	// the reflector list again.
	listed func(ctx context.Context, objects []*T) error
	handle func(ctx context.Context, what watch.EventType, object *T) error
}

// listerWatcher is one kind of object, in a namespace or everywhere, as a dynamic client has it. The client
// that knows all of Kubernetes' types would make the service twice as large.
type listerWatcher interface {
	List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// errRelist ends a watch for a list.
var errRelist = errors.New("list again")

// run follows until ctx ends. It survives every failure of the API server.
func (f *reflector[T]) run(ctx context.Context) error {
	wait := initialBackoff
	for {
		err := f.listAndWatch(ctx, func() { wait = initialBackoff })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errRelist) {
			// Not at once, in case the server forgets as quickly as it lists.
			if err := f.pause(ctx, initialBackoff); err != nil {
				return err
			}
			continue
		}
		f.health.failing(f.name, f.now(), err)
		f.Logger.WarnContext(ctx, "list and watch", "what", f.name, "error", err, "pause", wait)
		if err := f.pause(ctx, wait+rand.N(wait/4)); err != nil {
			return err
		}
		wait = min(2*wait, maxBackoff)
	}
}

// listAndWatch lists once and watches from there until something ends it.
func (f *reflector[T]) listAndWatch(ctx context.Context, listed func()) error {
	objects, version, err := f.list(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if err := f.replace(ctx, objects); err != nil {
		return err
	}
	f.health.ok(f.name, f.now())
	listed()
	again := time.Now().Add(f.relist)
	for time.Now().Before(again) {
		if version, err = f.watch(ctx, version, time.Until(again)); err != nil {
			return err
		}
		f.health.ok(f.name, f.now())
	}
	return errRelist
}

// replace handles a whole list.
func (f *reflector[T]) replace(ctx context.Context, objects []*T) error {
	if f.listed != nil {
		if err := f.listed(ctx, objects); err != nil {
			return err
		}
	}
	for _, o := range objects {
		if err := f.handle(ctx, watch.Added, o); err != nil {
			return err
		}
	}
	return nil
}

// list lists all objects, page by page, oldest first.
func (f *reflector[T]) list(ctx context.Context) ([]*T, string, error) {
	opts := f.opts
	opts.Limit = listPage
	var items []unstructured.Unstructured
	for {
		list, err := f.of.List(ctx, opts)
		if err != nil {
			return nil, "", err
		}
		items = append(items, list.Items...)
		if opts.Continue = list.GetContinue(); opts.Continue != "" {
			continue
		}
		slices.SortStableFunc(items, func(a, b unstructured.Unstructured) int {
			return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), strings.Compare(a.GetName(), b.GetName()))
		})
		out := make([]*T, len(items))
		for i := range items {
			if out[i], err = typed[T](&items[i]); err != nil {
				return nil, "", err
			}
		}
		return out, list.GetResourceVersion(), nil
	}
}

// typed gives what came from a dynamic client its type.
func typed[T any](o runtime.Object) (*T, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("it is a %T", o)
	}
	out := new(T)
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out)
}

// watch watches once, and returns the version that the next watch goes on from.
func (f *reflector[T]) watch(ctx context.Context, version string, most time.Duration) (string, error) {
	opts := f.opts
	opts.ResourceVersion, opts.AllowWatchBookmarks = version, true
	most = min(most, watchTime)
	// The server ends the watch too, in case we are gone and nobody noticed.
	seconds := int64(most/time.Second) + 30
	opts.TimeoutSeconds = &seconds
	w, err := f.of.Watch(ctx, opts)
	if err != nil {
		return version, watchEnded(err)
	}
	defer w.Stop()
	enough := time.NewTimer(most)
	defer enough.Stop()
	for {
		select {
		case <-ctx.Done():
			return version, ctx.Err()
		case <-enough.C:
			return version, nil
		case e, open := <-w.ResultChan():
			if !open {
				return version, nil
			}
			if e.Type == watch.Error {
				return version, watchEnded(apierrors.FromObject(e.Object))
			}
			if m, err := meta.Accessor(e.Object); err == nil && m.GetResourceVersion() != "" {
				version = m.GetResourceVersion()
			}
			if e.Type != watch.Bookmark {
				o, err := typed[T](e.Object)
				if err == nil {
					err = f.handle(ctx, e.Type, o)
				}
				if err != nil {
					return version, err
				}
			}
			f.health.ok(f.name, f.now())
		}
	}
}

// watchEnded says what the end of a watch means: a version that the server has forgotten is no failure.
func watchEnded(err error) error {
	var s apierrors.APIStatus
	if errors.As(err, &s) && s.Status().Code == http.StatusGone {
		return errRelist
	}
	return fmt.Errorf("watch: %w", err)
}

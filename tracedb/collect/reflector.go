package collect

import (
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

// reflector lists and watches the objects of one kind, as client-go's does, which logs that a handler failed
// and goes on. The API server is the backlog: while a record can't be written
// nothing more is read, and what the server forgot meanwhile is listed again. So there is no queue that
// could overflow, and nothing comes out of order.
type reflector struct {
	name string // in the status
	of   objects
	as   func() runtime.Object // a new object of the type that they are handled as; nil: as they come
	opts metav1.ListOptions    // selectors

	// all handles everything that is there, oldest first; one, what happened to one object. They
	// return only when that is recorded; an error makes the reflector list again.
	all func(ctx context.Context, objects []runtime.Object) error
	one func(ctx context.Context, what watch.EventType, object runtime.Object) error

	health *health
	rec    *recorder     // for its clock, its pause and its output
	relist time.Duration // 0: relist
}

// objects are one kind of object, in a namespace or everywhere, as a dynamic client has them. The client
// that knows all of Kubernetes' types would make the service twice as large.
type objects interface {
	List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// errRelist ends a watch for a list.
var errRelist = errors.New("list again")

// run follows until ctx ends. It survives every failure of the API server.
func (f *reflector) run(ctx context.Context) error {
	if f.relist == 0 {
		f.relist = relist
	}
	wait := firstPause
	for {
		err := f.listAndWatch(ctx, func() { wait = firstPause })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errRelist) {
			// Not at once, in case the server forgets as quickly as it lists.
			if err := f.rec.pause(ctx, firstPause); err != nil {
				return err
			}
			continue
		}
		f.health.failing(f.name, f.rec.now(), err)
		f.rec.logger.WarnContext(ctx, "list and watch", "what", f.name, "error", err, "pause", wait)
		if err := f.rec.pause(ctx, wait+rand.N(wait/4)); err != nil {
			return err
		}
		wait = min(2*wait, lastPause)
	}
}

// listAndWatch lists once and watches from there until something ends it.
func (f *reflector) listAndWatch(ctx context.Context, listed func()) error {
	objects, version, err := f.list(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if err := f.all(ctx, objects); err != nil {
		return err
	}
	f.health.ok(f.name, f.rec.now())
	listed()
	again := time.Now().Add(f.relist)
	for time.Now().Before(again) {
		if version, err = f.watch(ctx, version, time.Until(again)); err != nil {
			return err
		}
		f.health.ok(f.name, f.rec.now())
	}
	return errRelist
}

// list lists all objects, page by page, oldest first.
func (f *reflector) list(ctx context.Context) ([]runtime.Object, string, error) {
	opts := f.opts
	opts.Limit = listPage
	var out []runtime.Object
	for {
		list, err := f.of.List(ctx, opts)
		if err != nil {
			return nil, "", err
		}
		for i := range list.Items {
			o, err := f.typed(&list.Items[i])
			if err != nil {
				return nil, "", err
			}
			out = append(out, o)
		}
		if opts.Continue = list.GetContinue(); opts.Continue == "" {
			slices.SortStableFunc(out, older)
			return out, list.GetResourceVersion(), nil
		}
	}
}

// typed gives an object the type that it is handled as.
func (f *reflector) typed(o runtime.Object) (runtime.Object, error) {
	if f.as == nil {
		return o, nil
	}
	out := f.as()
	return out, read(o, out)
}

// read gives what came from a dynamic client a type.
func read(o runtime.Object, into any) error {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("it is a %T", o)
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into)
}

func older(a, b runtime.Object) int {
	ma, errA := meta.Accessor(a)
	mb, errB := meta.Accessor(b)
	if errA != nil || errB != nil {
		return 0
	}
	ta, tb := ma.GetCreationTimestamp(), mb.GetCreationTimestamp()
	if c := ta.Compare(tb.Time); c != 0 {
		return c
	}
	return strings.Compare(ma.GetName(), mb.GetName())
}

// watch watches once, and returns the version that the next watch goes on from.
func (f *reflector) watch(ctx context.Context, version string, most time.Duration) (string, error) {
	opts := f.opts
	opts.ResourceVersion, opts.AllowWatchBookmarks = version, true
	most = min(most, watchTime)
	// The server ends the watch too, in case we are gone and nobody noticed.
	seconds := int64(most/time.Second) + 30
	opts.TimeoutSeconds = &seconds
	w, err := f.of.Watch(ctx, opts)
	if err != nil {
		return version, f.ended(err)
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
				return version, f.ended(apierrors.FromObject(e.Object))
			}
			if m, err := meta.Accessor(e.Object); err == nil && m.GetResourceVersion() != "" {
				version = m.GetResourceVersion()
			}
			if e.Type != watch.Bookmark {
				o, err := f.typed(e.Object)
				if err == nil {
					err = f.one(ctx, e.Type, o)
				}
				if err != nil {
					return version, err
				}
			}
			f.health.ok(f.name, f.rec.now())
		}
	}
}

// ended says what the end of a watch means: a version that the server has forgotten is no failure.
func (f *reflector) ended(err error) error {
	var s apierrors.APIStatus
	if errors.As(err, &s) && s.Status().Code == http.StatusGone {
		return errRelist
	}
	return fmt.Errorf("watch: %w", err)
}

package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/druppie/druppie-up/tracedb"
)

// apiServer is a list of config maps that behaves as an API server does: pages, versions, watches that
// end, versions that are forgotten.
type apiServer struct {
	mu      sync.Mutex
	objects []unstructured.Unstructured
	events  []watch.Event // since the start; the version of an object is its place here
	page    int
	since   int // versions before this are forgotten
	lists   int
	watches int
	lively  int // how many events a watch gives before it ends; 0: all
	fails   int // answers that fail first
}

func (s *apiServer) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	o.SetName(name)
	o.SetResourceVersion(fmt.Sprint(len(s.events) + 1))
	o.SetCreationTimestamp(metav1.NewTime(noon.Add(time.Duration(len(s.events)) * time.Second)))
	s.objects = append([]unstructured.Unstructured{o}, s.objects...) // newest first, as no server promises otherwise
	s.events = append(s.events, watch.Event{Type: watch.Added, Object: &o})
}

func (s *apiServer) failing() error {
	if s.fails > 0 {
		s.fails--
		return apierrors.NewServiceUnavailable("etcd is away")
	}
	return nil
}

func (s *apiServer) List(_ context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	if err := s.failing(); err != nil {
		return nil, err
	}
	out := &unstructured.UnstructuredList{Object: map[string]any{}}
	out.SetResourceVersion(fmt.Sprint(len(s.events)))
	from := 0
	if o.Continue != "" {
		_, _ = fmt.Sscan(o.Continue, &from)
	}
	to := len(s.objects)
	if s.page > 0 && from+s.page < to {
		to = from + s.page
		out.SetContinue(fmt.Sprint(to))
	}
	out.Items = slices.Clone(s.objects[from:to])
	return out, nil
}

func (s *apiServer) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches++
	if err := s.failing(); err != nil {
		return nil, err
	}
	from := 0
	_, _ = fmt.Sscan(o.ResourceVersion, &from)
	ch := make(chan watch.Event)
	w := watch.NewProxyWatcher(ch)
	lively := s.lively
	if from < s.since {
		go func() {
			defer close(ch)
			status := apierrors.NewResourceExpired("too old").Status()
			select {
			case ch <- watch.Event{Type: watch.Error, Object: &status}:
			case <-w.StopChan():
			}
		}()
		return w, nil
	}
	go func() {
		defer close(ch)
		for sent := 0; lively == 0 || sent < lively; {
			s.mu.Lock()
			var next *watch.Event
			if from < len(s.events) {
				next = &s.events[from]
			}
			s.mu.Unlock()
			if next == nil {
				select {
				case <-w.StopChan():
					return
				case <-ctx.Done():
					return
				case <-time.After(time.Millisecond):
				}
				continue
			}
			select {
			case ch <- *next:
				from, sent = from+1, sent+1
			case <-w.StopChan():
				return
			}
		}
	}()
	return w, nil
}

// follow follows the server into a log.
func (s *apiServer) follow(tr *trace) *reflector[corev1.ConfigMap] {
	f := &reflector[corev1.ConfigMap]{recorder: newRecorder("gitea", tr.options(), giteaKinds...), name: "maps", of: s}
	f.handle = func(ctx context.Context, _ watch.EventType, m *corev1.ConfigMap) error {
		d := aCommit(0)
		d.ID = m.Name
		return f.put(ctx, d)
	}
	withTestClock(f.recorder)
	return f
}

func (tr *trace) inOrder() []string {
	tr.t.Helper()
	var out []string
	for _, r := range tr.records() {
		out = append(out, r.ID)
	}
	return out
}

func namesOf(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("m%03d", i))
	}
	return out
}

func TestReflector(t *testing.T) {
	tests := []struct {
		name string
		set  func(*apiServer)
	}{
		{"as it should be", func(*apiServer) {}},
		{"in pages", func(s *apiServer) { s.page = 3 }},
		{"watches that end after every event", func(s *apiServer) { s.lively = 1 }},
		{"an API server that is away at first", func(s *apiServer) { s.fails = 4 }},
		{"versions that are forgotten at once", func(s *apiServer) { s.since = 1 << 30 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			s := &apiServer{}
			for _, n := range namesOf(0, 10) {
				s.add(n)
			}
			tt.set(s)
			f := s.follow(tr)
			stop := runs(t, f.run)
			eventually(t, "the list is recorded", func() bool { return len(tr.records()) == 10 })
			for _, n := range namesOf(10, 30) {
				s.add(n)
			}
			eventually(t, "the rest is recorded", func() bool { return len(tr.records()) == 30 })
			eventually(t, "all is well", func() bool { return f.Status().LastError == "" && !f.Status().LastSuccess.IsZero() })
			stop()
			if diff := cmp.Diff(namesOf(0, 30), tr.inOrder()); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// While the disk is full nothing is lost and nothing piles up: the server keeps what comes, and forgets
// it, and it is listed when there is room again.
func TestReflectorWaitsForTheLog(t *testing.T) {
	tr := newTrace(t)
	s := &apiServer{}
	for _, n := range namesOf(0, 3) {
		s.add(n)
	}
	f := s.follow(tr)
	stop := runs(t, f.run)
	eventually(t, "the list is recorded", func() bool { return len(tr.records()) == 3 })
	tr.down(tracedb.ErrFull)
	for _, n := range namesOf(3, 200) {
		s.add(n)
	}
	eventually(t, "the failure shows", func() bool { return f.Status().LastError != "" })
	s.mu.Lock()
	s.since = len(s.events) // the server forgets what it had
	s.mu.Unlock()
	tr.up()
	eventually(t, "all of it is recorded", func() bool { return len(tr.records()) == 200 })
	stop()
	if diff := cmp.Diff(namesOf(0, 200), tr.inOrder()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestReflectorShowsWhatFails(t *testing.T) {
	tr := newTrace(t)
	s := &apiServer{fails: 1 << 30}
	f := s.follow(tr)
	runs(t, f.run)
	eventually(t, "the failure shows", func() bool { return f.Status().LastError != "" })
	if got := f.Status(); !got.LastSuccess.IsZero() || got.LastErrorAt.IsZero() {
		t.Errorf("status %+v", got)
	}
	s.mu.Lock()
	s.fails = 0
	s.mu.Unlock()
	eventually(t, "it recovers", func() bool { return f.Status().LastError == "" && !f.Status().LastSuccess.IsZero() })
}

func TestWatchEnded(t *testing.T) {
	tests := []struct {
		name  string
		give  error
		again bool
	}{
		{"expired", apierrors.NewResourceExpired("x"), true},
		{"gone", apierrors.NewGone("x"), true},
		{"410 of some other kind", &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusGone}}, true},
		{"forbidden", apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("x")), false},
		{"a cable", errors.New("x"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := errors.Is(watchEnded(tt.give), errRelist); got != tt.again {
				t.Errorf("again = %v, want %v", got, tt.again)
			}
		})
	}
}

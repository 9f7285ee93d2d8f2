package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Refusal is a connection that network policies refused: as often as it was tried.
type Refusal struct {
	Last      time.Time `json:"last"`
	Count     int       `json:"count"` // at least: the node tells the same once a minute
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`       // whose policies refused it
	Direction string    `json:"direction"` // egress, ingress, or address for one that the sender doesn't have or nobody has
	Peer      string    `json:"peer"`      // the other side: namespace/pod, node or address
	Port      string    `json:"port"`      // of the receiver, with its protocol
	Message   string    `json:"message"`   // why, and what would allow it
}

// Refusals says which connections were refused in the last hour, each once, the oldest first; of one namespace, or of
// all if none is named. With follow it goes on with those to come, as often as the nodes tell them, until ctx ends. What
// the canary is refused on purpose is left out.
func Refusals(ctx context.Context, o Options, namespace string, follow bool, each func(Refusal) error) error {
	c, _, err := openRunning(ctx, o)
	if err != nil {
		return err
	}
	if err := tellsRefusals(ctx, c.Clientset); err != nil {
		return err
	}
	events := c.Clientset.CoreV1().Events(namespace)
	opt := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("source", names.NetworkReporter).String()}
	list, err := events.List(ctx, opt)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	known := counts{}
	for _, e := range list.Items {
		if r, ok := refusal(e); ok {
			known.add(r)
		}
	}
	all := slices.SortedFunc(maps.Values(known), func(a, b Refusal) int { return a.Last.Compare(b.Last) })
	for _, r := range all {
		if err := each(r); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, more metav1.ListOptions) (watch.Interface, error) {
			more.FieldSelector = opt.FieldSelector
			return events.Watch(ctx, more)
		},
	})
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case got, open := <-w.ResultChan():
			if !open {
				return errors.New("the API server ended the watch of events")
			}
			if got.Type == watch.Error {
				return fmt.Errorf("watch events: %w", apierrors.FromObject(got.Object))
			}
			e, isEvent := got.Object.(*corev1.Event)
			if !isEvent || got.Type != watch.Added { // podnet changes none
				continue
			}
			if r, ok := refusal(*e); ok {
				if err := each(known.add(r)); err != nil {
					return err
				}
			}
		}
	}
}

// counts are refusals by what is the same in all that are told of one.
type counts map[Refusal]Refusal

// add counts one in, and gives all that are known of it.
func (c counts) add(r Refusal) Refusal {
	of := Refusal{Namespace: r.Namespace, Pod: r.Pod, Direction: r.Direction, Peer: r.Peer, Port: r.Port}
	known := c[of]
	r.Count += known.Count
	if known.Last.After(r.Last) {
		r.Last, r.Message = known.Last, known.Message
	}
	c[of] = r
	return r
}

// tellsRefusals is an error where another network daemon than podnet enforces policies, which doesn't tell.
func tellsRefusals(ctx context.Context, c kubernetes.Interface) error {
	_, err := c.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, names.NetworkReporter, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ui.WithHint(errors.New("this cluster's network daemon doesn't tell what it refuses"),
			"its nodes got kind's own when an older druppie-up made it: make it anew with druppie-up down and up")
	}
	return err
}

// refusal reads one from an Event; ok is false for the canary's.
func refusal(e corev1.Event) (Refusal, bool) {
	if e.InvolvedObject.Namespace == names.NamespaceSystem && strings.HasPrefix(e.InvolvedObject.Name, names.Canary) {
		return Refusal{}, false
	}
	r := Refusal{
		Last: e.LastTimestamp.Time, Count: max(1, int(e.Count)), Namespace: e.InvolvedObject.Namespace, Pod: e.InvolvedObject.Name,
		Peer: e.Annotations[names.AnnotationPeer], Port: e.Annotations[names.AnnotationPort], Message: e.Message,
		Direction: map[string]string{names.EgressRefused: "egress", names.IngressRefused: "ingress", names.AddressRefused: "address"}[e.Reason],
	}
	return r, r.Direction != ""
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/druppie/druppie-up/cmd/podnet/internal/denied"
	"github.com/druppie/druppie-up/cmd/podnet/internal/firewall"
	"github.com/druppie/druppie-up/internal/names"
)

const (
	// quiet is how long the same refusal isn't told again.
	quiet = time.Minute
	// most is how many different refusals of one sender are told a minute, and ofAll those of all senders: each of them
	// stands in the API server's audit log too, which holds 160 MB.
	most, ofAll = 20, 100
	// writeTime is how long the API server may take with an Event.
	writeTime = 10 * time.Second
)

// reporter tells refused connections as Events of the pods that they concern. It makes each Event itself: client-go's
// recorder puts a pod's Events together once there are many, so that what they were about is lost, and changes Events
// that somebody else may have changed before.
type reporter struct {
	node   *node
	events typedcorev1.EventsGetter
	log    *slog.Logger
	queue  chan *corev1.Event

	mu   sync.Mutex
	told map[denied.Packet]time.Time
}

func newReporter(client kubernetes.Interface, n *node, log *slog.Logger) *reporter {
	return &reporter{node: n, events: client.CoreV1(), log: log, queue: make(chan *corev1.Event, ofAll), told: map[denied.Packet]time.Time{}}
}

// run writes the Events until ctx ends. One that the API server doesn't take is lost: the next minute tells it again.
func (r *reporter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			if err := r.write(ctx, e); err != nil {
				r.log.Info("a refused connection isn't told", "pod", e.Namespace+"/"+e.InvolvedObject.Name, "error", err)
			}
		}
	}
}

func (r *reporter) write(ctx context.Context, e *corev1.Event) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	_, err := r.events.Events(e.Namespace).Create(ctx, e, metav1.CreateOptions{})
	return err
}

// report tells of one packet, unless the same was told just now.
func (r *reporter) report(p denied.Packet) {
	now := time.Now()
	if !r.news(p, now) {
		return
	}
	r.log.Info("refused", "why", p.Why, "from", r.node.named(p.From), "to", r.node.named(p.To), "protocol", p.Protocol, "port", p.Port)
	// Whose address was borrowed didn't send.
	if p.Why == firewall.Spoofed {
		return
	}
	e, ok := r.node.event(p)
	if !ok {
		return
	}
	if r.isFull(p.From) {
		e.Message += " More that are refused within the minute may not be told."
	}
	e.FirstTimestamp, e.LastTimestamp = metav1.NewTime(now), metav1.NewTime(now)
	select {
	case r.queue <- e:
	default:
		r.log.Info("a refused connection isn't told: too many wait for the API server")
	}
}

// news says whether a refusal isn't one of the last minute, nor one too many of its sender or of all.
func (r *reporter) news(p denied.Packet, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Why == firewall.Spoofed {
		p.From = netip.Addr{} // whoever sends, it isn't that
	}
	for known, at := range r.told {
		if now.Sub(at) >= quiet {
			delete(r.told, known)
		}
	}
	if _, recently := r.told[p]; recently || r.full(p.From) {
		return false
	}
	r.told[p] = now
	return true
}

// isFull says whether there is no room for another refusal of a sender.
func (r *reporter) isFull(from netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.full(from)
}

func (r *reporter) full(from netip.Addr) bool {
	ofSender := 0
	for known := range r.told {
		if known.From == from {
			ofSender++
		}
	}
	return ofSender >= most || len(r.told) >= ofAll
}

// event words a refused packet for the pod whose policies refused it; ok is false if that pod has gone.
func (n *node) event(p denied.Packet) (out *corev1.Event, ok bool) {
	pod, peer := p.From, p.To
	if p.Why == firewall.Ingress {
		pod, peer = p.To, p.From
	}
	e, ok := n.endpoint(pod)
	if !ok && p.Why == firewall.Unknown {
		pod, peer = peer, pod
		e, ok = n.endpoint(pod)
	}
	if !ok {
		return nil, false
	}
	out = &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.Namespace, GenerateName: e.Name + ".",
			Annotations: map[string]string{names.AnnotationPeer: n.named(peer), names.AnnotationPort: portText(p)},
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: e.Namespace, Name: e.Name, UID: e.UID, ResourceVersion: e.ResourceVersion,
		},
		Type: corev1.EventTypeWarning, Count: 1,
		Source: corev1.EventSource{Component: names.NetworkReporter, Host: n.name}, ReportingController: names.NetworkReporter,
	}
	switch p.Why {
	case firewall.Egress:
		out.Reason = names.EgressRefused
		out.Message = fmt.Sprintf("connection to %s, %s, refused: %s of namespace %s doesn't let this pod out there. "+
			"If it should: a NetworkPolicy that selects this pod, with an egress rule to that peer and port.",
			n.named(peer), portText(p), e.Egress.Why(), e.Namespace)
	case firewall.Ingress:
		out.Reason = names.IngressRefused
		out.Message = fmt.Sprintf("connection from %s to %s refused: %s of namespace %s doesn't let it in. "+
			"If it should: a NetworkPolicy that selects this pod, with an ingress rule from that peer to that port.",
			n.named(peer), portText(p), e.Ingress.Why(), e.Namespace)
	default:
		out.Reason = names.AddressRefused
		out.Message = fmt.Sprintf("a packet from %s to %s, %s, was dropped: no pod that is known has that address.",
			n.named(p.From), n.named(p.To), portText(p))
	}
	return out, true
}

// named is who an address is, and the address.
func (n *node) named(addr netip.Addr) string {
	if who := n.who(addr); who != addr.String() {
		return who + " (" + addr.String() + ")"
	}
	return addr.String()
}

func portText(p denied.Packet) string {
	if p.Protocol == "" {
		return "a protocol without ports"
	}
	return "port " + strconv.Itoa(int(p.Port)) + "/" + string(p.Protocol)
}

package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

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
)

// reporter tells refused connections as Events of the pods that they concern.
type reporter struct {
	node        *node
	log         *slog.Logger
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorderLogger

	mu   sync.Mutex
	told map[denied.Packet]time.Time
}

func newReporter(client kubernetes.Interface, n *node, log *slog.Logger) *reporter {
	// The recorder's own bounds are for one object that says the same again and again; news bounds all of them.
	b := record.NewBroadcasterWithCorrelatorOptions(record.CorrelatorOptions{QPS: most / float32(quiet.Seconds()), BurstSize: most, MaxEvents: ofAll})
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return &reporter{node: n, log: log, broadcaster: b, told: map[denied.Packet]time.Time{},
		recorder: b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: names.NetworkReporter, Host: n.name})}
}

func (r *reporter) close() { r.broadcaster.Shutdown() }

// report tells of one packet, unless the same was told just now.
func (r *reporter) report(p denied.Packet) {
	if !r.news(p, time.Now()) {
		return
	}
	r.log.Info("refused", "why", p.Why, "from", r.node.named(p.From), "to", r.node.named(p.To), "protocol", p.Protocol, "port", p.Port)
	// Whose address was borrowed didn't send.
	if p.Why == firewall.Spoofed {
		return
	}
	told, ok := r.node.event(p)
	if !ok {
		return
	}
	r.recorder.AnnotatedEventf(told.about, told.annotations, corev1.EventTypeWarning, told.reason, "%s", told.message)
}

// news says whether a refusal isn't one of the last minute, nor one too many of its sender or of all.
func (r *reporter) news(p denied.Packet, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Why == firewall.Spoofed {
		p.From = netip.Addr{} // whoever sends, it isn't that
	}
	ofSender := 0
	for known, at := range r.told {
		if now.Sub(at) >= quiet {
			delete(r.told, known)
		} else if known.From == p.From {
			ofSender++
		}
	}
	if _, recently := r.told[p]; recently || ofSender >= most || len(r.told) >= ofAll {
		return false
	}
	r.told[p] = now
	return true
}

// event is what is told of a refused packet.
type event struct {
	about           runtime.Object
	reason, message string
	annotations     map[string]string
}

// event words a refused packet for the pod whose policies refused it; ok is false if that pod has gone.
func (n *node) event(p denied.Packet) (event, bool) {
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
		return event{}, false
	}
	out := event{
		about: &corev1.Pod{ObjectMeta: e.ObjectMeta},
		annotations: map[string]string{
			names.AnnotationPeer: n.named(peer), names.AnnotationPort: portText(p),
		},
	}
	switch p.Why {
	case firewall.Egress:
		out.reason = names.EgressRefused
		out.message = fmt.Sprintf("connection to %s, %s, refused: %s of namespace %s doesn't let this pod out there. "+
			"If it should: a NetworkPolicy that selects this pod, with an egress rule to that peer and port.",
			n.named(peer), portText(p), e.Egress.Why(), e.Namespace)
	case firewall.Ingress:
		out.reason = names.IngressRefused
		out.message = fmt.Sprintf("connection from %s to %s refused: %s of namespace %s doesn't let it in. "+
			"If it should: a NetworkPolicy that selects this pod, with an ingress rule from that peer to that port.",
			n.named(peer), portText(p), e.Ingress.Why(), e.Namespace)
	default:
		out.reason = names.AddressRefused
		out.message = fmt.Sprintf("a packet from %s to %s, %s, was dropped: no pod that is known has that address.",
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

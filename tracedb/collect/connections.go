package collect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// networkAccount is what enforces network policies on the nodes. It tells what they refused in Events, which anybody may
// write who has a right to it; whose they are, only the audit log says.
const networkAccount = "system:serviceaccount:" + metav1.NamespaceSystem + ":" + names.NetworkReporter

// connection is the record of a connection that network policies refused: of who tried it, and the pod whose policies
// it was; ok is false for what says of none. The canary's are refused on purpose.
func connection(e *auditv1.Event) (d tracedb.Draft, ok bool) {
	// What it asked for is in its own words; what then stands there, others may have changed.
	o := e.ObjectRef
	if e.User.Username != networkAccount || o.Resource != "events" || e.Verb != "create" || e.RequestObject == nil || e.ResponseStatus.Code >= http.StatusMultipleChoices {
		return d, false
	}
	var told corev1.Event
	if json.Unmarshal(e.RequestObject.Raw, &told) != nil || told.Reason != names.EgressRefused && told.Reason != names.IngressRefused {
		return d, false
	}
	pod, port := told.InvolvedObject, told.Annotations[names.AnnotationPort]
	// A name has its address behind it, which the message tells too.
	peer, _, _ := strings.Cut(told.Annotations[names.AnnotationPeer], " (")
	if pod.Name == "" || peer == "" || port == "" || pod.Namespace == names.NamespaceSystem && strings.HasPrefix(pod.Name, names.Canary) {
		return d, false
	}
	name := pod.Namespace + "/" + pod.Name
	from, to := name, peer
	if told.Reason == names.IngressRefused {
		from, to = peer, name
	}
	r := tracedb.Request{
		User: tracedb.Clip(from, maxName), Verb: tracedb.VerbConnect, Resource: tracedb.Clip(to, maxName), Name: tracedb.Clip(port, maxName),
		Namespace: pod.Namespace, Code: http.StatusForbidden, Reason: tracedb.Clip(told.Message, maxText),
	}
	at := e.RequestReceivedTimestamp.Time
	// Another pod of the same name is another.
	id := fmt.Sprintf("audit/connection/%s/%d", hash(told.Reason, name, string(pod.UID), peer, port), at.Truncate(repeats).Unix())
	return draft(id, tracedb.KindRequest, actorOf(r.User), at, tracedb.Denied, r,
		ref(tracedb.RefNamespace, pod.Namespace), ref(tracedb.RefPod, name)), true
}

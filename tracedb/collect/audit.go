package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// Audit reads the API server's audit log: who asked for what, and was it given. What a webhook or Kyverno's own
// Events say of a request can be said by whoever reaches them; what stands here was asked of the API server.
//
// It records what admission refused; ways into pods, by whomever; what others than Kubernetes and the platform
// changed, or weren't allowed; and which connections network policies refused. What Flux then puts back is recorded as
// undone. It isn't safe for concurrent use.
type Audit struct {
	*recorder
	told    *lru.Cache // ids of what was told already
	limits  *lru.Cache // *rate.Limiter by who
	changed *lru.Cache // change by object: by whom, since Flux wrote it last
}

// NewAudit returns a collector that writes with its own account: its Sink decides as whom.
func NewAudit(o Options) *Audit {
	return &Audit{recorder: newRecorder("audit", o), told: lru.New(maxRecent), limits: lru.New(maxRecent), changed: lru.New(maxRecent)}
}

const (
	// repeats is the time in which the same refusal of the same object is one record: controllers ask again every few
	// seconds.
	repeats = 10 * time.Minute
	// again is the time in which the same request of the same user is one record.
	again = time.Minute
)

// bound is how many records of one user there are at once, and then each minute: nobody fills the log by asking, or hides
// what counts among what doesn't.
type bound struct {
	of               string // as the record says that there was more
	burst, perMinute int
}

var (
	waysIn        = bound{"ways into pods or refusals", 200, 120}
	otherRequests = bound{"requests", 200, 120}
	// It takes no account and no right to be refused these.
	connections = bound{"refused connections", 20, 1}
)

// Lines records the events in lines of the log, and returns when they are recorded or ctx ends. A line that isn't an
// event is told and left out.
func (a *Audit) Lines(ctx context.Context, lines [][]byte) error {
	var drafts []tracedb.Draft
	for _, line := range lines {
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			a.Logger.WarnContext(ctx, "a line of the audit log isn't an event", "error", err)
			continue
		}
		drafts = append(drafts, a.drafts(&e)...)
	}
	return a.put(ctx, drafts...)
}

// drafts are the records of an event.
func (a *Audit) drafts(e *auditv1.Event) []tracedb.Draft {
	if e.ObjectRef == nil || e.ResponseStatus == nil || isDryRun(e) {
		return nil
	}
	out := a.undone(e)
	who, what := userOf(e), otherRequests
	refused, isConnection := connection(e)
	switch {
	case isConnection:
		out, who, what = append(out, refused), refused.Actor, connections
	case isRefused(e):
		out, what = append(out, refusalsOf(e)...), waysIn
	case isNotable(e):
		out = append(out, request(e))
	}
	if isWayIn(e) {
		what = waysIn
	}
	// What is told once more costs nothing.
	out = slices.DeleteFunc(out, func(d tracedb.Draft) bool {
		_, known := a.told.Get(d.ID)
		return known
	})
	if len(out) > 0 && !a.limiter(who, what).AllowN(e.StageTimestamp.Time, len(out)) {
		more := tooMany(who, what, e.StageTimestamp.Time)
		if what == connections { // one pod's, which its story tells
			more.Refs = out[0].Refs
		}
		return []tracedb.Draft{more}
	}
	for _, d := range out {
		a.told.Add(d.ID, nil)
	}
	return out
}

// isDryRun says whether a request was to change nothing. A deletion says so in its body, which the log doesn't hold; and
// who may not is refused either way.
func isDryRun(e *auditv1.Event) bool {
	u, err := url.Parse(e.RequestURI)
	return err == nil && u.Query().Has("dryRun") && slices.Contains([]string{"create", "update", "patch"}, e.Verb) && !isDenied(e)
}

// isDenied says whether the one who asked has no right to it, as against what admission refused.
func isDenied(e *auditv1.Event) bool {
	return !isRefused(e) && slices.Contains([]int32{http.StatusForbidden, http.StatusUnauthorized}, e.ResponseStatus.Code)
}

// userOf is who asked. Those whom the API server doesn't know are one.
func userOf(e *auditv1.Event) string {
	return cmp.Or(tracedb.Clip(e.User.Username, maxName), "system:anonymous")
}

// limiter bounds the records of who asks.
func (a *Audit) limiter(who string, what bound) *rate.Limiter {
	key := what.of + "\x00" + who
	if l, ok := a.limits.Get(key); ok {
		return l.(*rate.Limiter)
	}
	l := rate.NewLimiter(rate.Limit(what.perMinute)/60, what.burst)
	a.limits.Add(key, l)
	return l
}

// tooMany is the record that there was more than is recorded, one a minute.
func tooMany(who string, what bound, at time.Time) tracedb.Draft {
	r := tracedb.Request{
		User: who, Verb: "more", Resource: "requests", Code: http.StatusTooManyRequests,
		Reason: "more " + what.of + " in this minute than are recorded one by one; the API server's own log has them",
	}
	outcome := tracedb.Allowed
	if what == connections {
		outcome = tracedb.Denied
	}
	at = at.Truncate(time.Minute)
	id := fmt.Sprintf("audit/more/%s/%d", hash(r.User, what.of), at.Unix())
	return draft(id, tracedb.KindRequest, actorOf(r.User), at, outcome, r)
}

// actorOf is a user's name as a record's actor, which is shorter than a name may be.
func actorOf(user string) string {
	const most = 200
	return tracedb.Clip(user, most)
}

// subresourcesIn are those by which somebody reaches into a pod, or past it.
var subresourcesIn = []string{"exec", "attach", "portforward", "proxy", "ephemeralcontainers"}

// isWayIn says whether a request is one of these. Whoever gets exec is in; whoever gets ephemeralcontainers has read what
// the pod is, and no more.
func isWayIn(e *auditv1.Event) bool {
	o := e.ObjectRef
	return slices.Contains([]string{"pods", "services", "nodes"}, o.Resource) && slices.Contains(subresourcesIn, o.Subresource) &&
		(o.Subresource != "ephemeralcontainers" || isWrite(e))
}

// isNotable says whether a request is recorded: a way into a pod, by whomever; what others than Kubernetes and the
// platform changed in tenants, or in what guards them; and what somebody has no right to, who isn't Kubernetes itself.
func isNotable(e *auditv1.Event) bool {
	o := e.ObjectRef
	switch {
	case isDenied(e):
		return isWayIn(e) || !ofKubernetes(e.User.Username)
	case e.ResponseStatus.Code >= http.StatusBadRequest:
		return false
	case isWayIn(e):
		return true
	case !isWrite(e) || ofKubernetes(e.User.Username) || ofPlatform(e.User.Username):
		return false
	}
	return !isPlatformNamespace(o.Namespace) && o.Namespace != "" || slices.Contains(guards, o.APIGroup) ||
		o.APIGroup == "" && slices.Contains([]string{"namespaces", "secrets", "serviceaccounts"}, o.Resource)
}

// guards are the API groups whose objects decide what may run, and who may do what.
var guards = []string{
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "certificates.k8s.io", "policies.kyverno.io", "kyverno.io",
	"rbac.authorization.k8s.io", "networking.k8s.io", "kustomize.toolkit.fluxcd.io", "source.toolkit.fluxcd.io", "tekton.dev",
}

func isWrite(e *auditv1.Event) bool {
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, e.Verb)
}

// platformNamespaces are those of Kubernetes and the platform, as against tenants'.
var platformNamespaces = []string{
	metav1.NamespaceSystem, "kube-node-lease", "local-path-storage", names.NamespaceSystem, names.NamespaceGitea, names.NamespaceFoundry,
	names.NamespaceFlux, names.NamespaceTekton, names.NamespaceKyverno,
}

func isPlatformNamespace(name string) bool { return slices.Contains(platformNamespaces, name) }

// ofKubernetes says whether an account is Kubernetes' own.
func ofKubernetes(user string) bool {
	return strings.HasPrefix(user, "system:node:") || strings.HasPrefix(user, "system:kube-") || user == "system:apiserver" ||
		strings.HasPrefix(user, "system:serviceaccount:"+metav1.NamespaceSystem+":")
}

// ofPlatform says whether an account is one of the platform's programs.
func ofPlatform(user string) bool {
	account, ok := strings.CutPrefix(user, "system:serviceaccount:")
	namespace, _, _ := strings.Cut(account, ":")
	return ok && isPlatformNamespace(namespace)
}

// request is the record of a request. A way into a pod is one each time that it begins; what is asked again and again,
// as through a proxy, is one in a minute.
func request(e *auditv1.Event) tracedb.Draft {
	o := e.ObjectRef
	r := tracedb.Request{
		User: userOf(e), Verb: first(e.Verb), Resource: first(resourceOf(o)), Namespace: o.Namespace, Name: tracedb.Clip(o.Name, maxName),
		Code: int(e.ResponseStatus.Code), Client: tracedb.Clip(e.UserAgent, maxName),
	}
	if e.ImpersonatedUser != nil {
		r.As = tracedb.Clip(e.ImpersonatedUser.Username, maxName)
	}
	outcome := tracedb.Allowed
	if r.Code >= http.StatusBadRequest {
		outcome, r.Reason = tracedb.Denied, tracedb.Clip(e.ResponseStatus.Message, maxText)
	}
	about := []tracedb.Ref{ref(tracedb.RefNamespace, o.Namespace)}
	if o.Resource == "pods" {
		about = append(about, ref(tracedb.RefPod, o.Namespace+"/"+o.Name))
	}
	at := e.RequestReceivedTimestamp.Time
	id := fmt.Sprintf("audit/%s/%d", hash(r.User, r.As, r.Verb, r.Resource, r.Namespace, r.Name, strconv.Itoa(r.Code)), at.Truncate(again).Unix())
	if isWayIn(e) && o.Subresource != "proxy" {
		id = "audit/" + string(e.AuditID) // its beginning and its end have one
	}
	return draft(id, tracedb.KindRequest, actorOf(r.User), at, outcome, r, about...)
}

// resourceOf is a resource as people write it: pods/exec, deployments.apps.
func resourceOf(o *auditv1.ObjectReference) string {
	out := o.Resource
	if o.APIGroup != "" {
		out += "." + o.APIGroup
	}
	if o.Subresource != "" {
		out += "/" + o.Subresource
	}
	return out
}

// kinds name the kinds of what workloads are made of, by their resources. Of others the resource has to do.
var kinds = map[string]string{
	"pods": "Pod", "deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "replicasets": "ReplicaSet",
	"jobs": "Job", "cronjobs": "CronJob", "services": "Service", "configmaps": "ConfigMap", "networkpolicies": "NetworkPolicy",
}

func kindOf(o *auditv1.ObjectReference) string { return cmp.Or(kinds[o.Resource], o.Resource) }

// isRefused says whether admission refused a request. Other messages may quote what was asked for.
func isRefused(e *auditv1.Event) bool {
	return e.ResponseStatus.Code >= http.StatusBadRequest && strings.HasPrefix(e.ResponseStatus.Message, "admission webhook ")
}

// refusalsOf are the records of what admission refused. Who makes pods for others has no name for them yet: what it makes
// them for has.
func refusalsOf(e *auditv1.Event) []tracedb.Draft {
	d, ok := parseDenial(e.ResponseStatus.Message)
	if !ok {
		return nil
	}
	o := e.ObjectRef
	d.kind, d.namespace, d.name, d.user = kindOf(o), o.Namespace, o.Name, e.User.Username
	if e.ImpersonatedUser != nil {
		d.user = e.ImpersonatedUser.Username
	}
	if pod := requestedPod(e); pod != nil {
		d.images, d.algorithm = imagesOf(pod.Spec), pod.Labels[names.LabelAlgorithm]
		if owner := metav1.GetControllerOf(pod); owner != nil {
			d.kind, d.name = owner.Kind, owner.Name
		}
	}
	at := e.RequestReceivedTimestamp.Time
	id := fmt.Sprintf("audit/%s/%d", hash(d.user, d.kind, d.namespace, d.name, e.ResponseStatus.Message), at.Truncate(repeats).Unix())
	return d.drafts(id, o.Namespace, at)
}

// requestedPod is the pod that a request was to make; nil if it wasn't, or the log doesn't hold it.
func requestedPod(e *auditv1.Event) *corev1.Pod {
	if e.ObjectRef.Resource != "pods" || e.ObjectRef.Subresource != "" || e.RequestObject == nil {
		return nil
	}
	var pod corev1.Pod
	if json.Unmarshal(e.RequestObject.Raw, &pod) != nil {
		return nil
	}
	return &pod
}

// fluxAccount applies what Git says.
const fluxAccount = "system:serviceaccount:" + names.NamespaceFlux + ":" + fluxManager

// handChange is what somebody other than the platform did to an object.
type handChange struct {
	user, verb string
	at         time.Time
}

// putBackWithin is how soon Flux puts back what it finds changed. What it writes later it writes for another reason.
const putBackWithin = 15 * time.Minute

// undone is the record that Flux put back what somebody else had changed. What is changed in a tenant's workload is told
// by its managed fields, with the fields; that it was deleted only shows here.
func (a *Audit) undone(e *auditv1.Event) []tracedb.Draft {
	o := e.ObjectRef
	if !isWrite(e) || e.ResponseStatus.Code >= http.StatusMultipleChoices || o.Name == "" {
		return nil
	}
	key := strings.Join([]string{o.APIGroup, o.Resource, o.Namespace, o.Name}, "\x00")
	at := e.RequestReceivedTimestamp.Time
	if !ofKubernetes(e.User.Username) && !ofPlatform(e.User.Username) {
		if o.Subresource == "" && (e.Verb == "delete" || o.APIGroup != "apps" || isPlatformNamespace(o.Namespace)) {
			a.changed.Add(key, handChange{userOf(e), e.Verb, at})
		}
		return nil
	}
	known, ok := a.changed.Get(key)
	if e.User.Username != fluxAccount || !ok {
		return nil
	}
	a.changed.Remove(key)
	by := known.(handChange)
	if at.Sub(by.at) > putBackWithin {
		return nil
	}
	d := tracedb.Drift{
		// What belongs to no namespace is found where its Kustomization is.
		Namespace: cmp.Or(o.Namespace, names.NamespaceFlux), Object: tracedb.Clip(object(kindOf(o), o.Name), maxName), Want: "as in Git", Got: "otherwise",
		By: by.user, Message: "Flux put it back",
	}
	switch {
	case by.verb == "delete":
		d.Got = "gone"
	case e.Verb == "delete":
		d.Want, d.Got = "gone", "there"
	}
	return []tracedb.Draft{draft("audit/undone/"+string(e.AuditID), tracedb.KindDrift, "flux", at, tracedb.Undone, d, ref(tracedb.RefNamespace, d.Namespace))}
}

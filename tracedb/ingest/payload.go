package ingest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
)

// decoders read the payloads of every kind that isn't an attestation.
var decoders = map[tracedb.Kind]decoder{
	tracedb.KindSpec:       own(spec),
	tracedb.KindSession:    own[tracedb.Session](nil),
	tracedb.KindCommit:     own(commit),
	tracedb.KindReview:     own(review),
	tracedb.KindMerge:      own(merge),
	tracedb.KindRun:        own(run),
	tracedb.KindImage:      own[tracedb.Image](nil),
	tracedb.KindSignature:  own[tracedb.Signature](nil),
	tracedb.KindPromotion:  own(promotion),
	tracedb.KindAdmission:  own(admission),
	tracedb.KindDeployment: own(deployment),
	tracedb.KindDrift:      own(drift),
	tracedb.KindRequest:    own(request),
	tracedb.KindIncident:   own(incident),
	tracedb.KindRepair:     own(repair),
	tracedb.KindRegister:   own(registered),
	tracedb.KindException:  own(exception),
	tracedb.KindKey:        own[tracedb.Key](nil),
	tracedb.KindRefusal:    own[tracedb.Refusal](nil),
	tracedb.KindRead:       own[tracedb.Read](nil),
	tracedb.KindDisposal:   own(disposal),
}

func spec(p *tracedb.Spec, c *content) { c.actor = p.RequestedBy }

// maxCommits is how many commits of one push can be searched for, so that other refs have room; the
// payload names them all.
const maxCommits = 48

func commit(p *tracedb.Commit, c *content) {
	c.list("others", len(p.Others))
	for i, other := range p.Others {
		field := fmt.Sprintf("others[%d]", i)
		if i < maxCommits {
			c.ref(field, tracedb.RefCommit, other)
		} else {
			c.shape(field, tracedb.RefCommit, other)
		}
	}
	c.actor = p.Pusher
}

func review(p *tracedb.Review, c *content) {
	c.pull(p.Repository, p.Pull)
	c.actor = p.Reviewer
}

func merge(p *tracedb.Merge, c *content) {
	c.pull(p.Repository, p.Pull)
	c.actor = p.MergedBy
}

// run checks a run. One that failed before its repository was known is a run all the same.
func run(p *tracedb.Run, c *content) {
	c.list("tasks", len(p.Tasks))
	for i, task := range p.Tasks {
		prefix := fmt.Sprintf("tasks[%d].", i)
		c.check(prefix, task)
		if outcomes := []tracedb.Outcome{tracedb.Passed, tracedb.Failed, ""}; !slices.Contains(outcomes, task.Outcome) {
			c.wrong(prefix+"outcome", "want one of %v", outcomes)
		}
	}
}

// promotion checks a promotion. Its fleet is everybody's: what is found by it would be everything.
func promotion(p *tracedb.Promotion, c *content) {
	if p.Pull != 0 {
		c.pull(p.Fleet, p.Pull)
	}
}

func admission(p *tracedb.Admission, c *content) {
	if p.Resource != "" {
		c.resource("resource", p.Namespace, p.Resource, false)
	}
	c.images(p.Images)
	c.record("exception", p.Exception)
}

func deployment(p *tracedb.Deployment, c *content) {
	c.object(p.Namespace, p.Object)
	c.images(p.Images)
}

func drift(p *tracedb.Drift, c *content) { c.object(p.Namespace, p.Object) }

func request(p *tracedb.Request, c *content) {
	if resource, _, _ := strings.Cut(p.Resource, "/"); resource == "pods" && p.Name != "" {
		c.maybe("name", tracedb.RefPod, p.Namespace+"/"+p.Name)
	}
	c.actor = tracedb.Clip(p.User, maxActor)
}

func incident(p *tracedb.Incident, c *content) {
	c.object(p.Namespace, p.Object)
	c.images(p.Images)
}

func repair(p *tracedb.Repair, c *content) {
	if p.Incident < 0 {
		c.wrong("incident", "want the place of a record")
	}
	c.about(tracedb.RefRecord, strconv.FormatInt(p.Incident, 10))
}

func exception(p *tracedb.Exception, c *content) {
	if p.Rule != catalog.RuleStatus {
		c.wrong("rule", "want %s: no other refusal can be lifted", catalog.RuleStatus)
	}
	if p.Until.IsZero() {
		c.wrong("until", "want the time when it ends")
	}
	c.actor = p.GrantedBy
}

func disposal(p *tracedb.Disposal, c *content) {
	if _, ok := p.Kind.Info(); !ok {
		c.wrong("kind", "there is no such kind of record")
	}
}

var object = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9.]{0,99})/([A-Za-z0-9][A-Za-z0-9._:-]{0,252})$`)

// resource is an object of the cluster as Kind/name; a pod is also a ref.
func (c *content) resource(field, namespace, value string, must bool) {
	m := object.FindStringSubmatch(value)
	switch {
	case m != nil && m[1] == "Pod":
		c.maybe(field, tracedb.RefPod, namespace+"/"+m[2])
	case m == nil && must:
		c.wrong(field, "want Kind/name")
	default:
		c.field(field, "name?", value)
	}
}

// object is what something happened to, and its namespace as a ref, except of a Kustomization: those live in
// Flux's own, which is everybody's, and what they apply to is for the writer to add.
func (c *content) object(namespace, object string) {
	if c.shape("namespace", tracedb.RefNamespace, namespace) && !strings.HasPrefix(object, "Kustomization/") {
		c.about(tracedb.RefNamespace, namespace)
	}
	c.resource("object", namespace, object, true)
}

// MaxImages is how many images a record may name, which is more than any pod has.
const MaxImages = 50

// images are those of a workload, by digest or, if somebody tried so, by a name without one.
func (c *content) images(images []string) {
	if len(images) > MaxImages {
		c.wrong("images", "want at most %d", MaxImages)
		return
	}
	for i, name := range images {
		field := fmt.Sprintf("images[%d]", i)
		c.field(field, "name", name)
		if !OneLine(name) {
			c.wrong(field, "want the name of an image")
		}
		if digest := catalog.Digest(name); digest != "" {
			c.about(tracedb.RefImage, digest)
		}
	}
}

// record is another record's place, 0 for none: the log's first record is never what is meant.
func (c *content) record(field string, seq int64) {
	if seq < 0 {
		c.wrong(field, "want the place of a record")
	}
	if seq > 0 {
		c.about(tracedb.RefRecord, strconv.FormatInt(seq, 10))
	}
}

package ingest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
)

// decoders read the payloads of every kind that isn't an attestation.
var decoders = map[tracedb.Kind]decoder{
	tracedb.KindSpec:       own(spec),
	tracedb.KindSession:    own(session),
	tracedb.KindCommit:     own(commit),
	tracedb.KindReview:     own(review),
	tracedb.KindMerge:      own(merge),
	tracedb.KindRun:        own(run),
	tracedb.KindImage:      own(image),
	tracedb.KindSignature:  own(signature),
	tracedb.KindPromotion:  own(promotion),
	tracedb.KindAdmission:  own(admission),
	tracedb.KindDeployment: own(deployment),
	tracedb.KindDrift:      own(drift),
	tracedb.KindIncident:   own(incident),
	tracedb.KindRepair:     own(repair),
	tracedb.KindRegister:   own(registered),
	tracedb.KindException:  own(exception),
	tracedb.KindKey:        own(key),
	tracedb.KindRefusal:    own(refusal),
	tracedb.KindRead:       own(read),
	tracedb.KindDisposal:   own(disposal),
}

func spec(p *tracedb.Spec, c *content) {
	c.ref("spec", tracedb.RefSpec, p.Spec)
	c.name("title", p.Title)
	c.name("requested_by", p.RequestedBy)
	c.text("text", p.Text)
	c.may("repository", tracedb.RefRepository, p.Repository)
	c.actor = p.RequestedBy
}

func session(p *tracedb.Session, c *content) {
	c.ref("session", tracedb.RefSession, p.Session)
	c.may("spec", tracedb.RefSpec, p.Spec)
	c.name("asked_by", p.AskedBy)
	c.name("model", p.Model)
	c.name("tool", p.Tool)
	c.shape("prompt_digest", tracedb.RefImage, p.PromptDigest) // any sha256 digest has that shape
	c.may("repository", tracedb.RefRepository, p.Repository)
	c.may("commit", tracedb.RefCommit, p.Commit)
}

// maxCommits is how many commits of one push can be searched for, so that other refs have room; the
// payload names them all.
const maxCommits = 48

func commit(p *tracedb.Commit, c *content) {
	c.ref("repository", tracedb.RefRepository, p.Repository)
	c.name("branch", p.Branch)
	c.ref("commit", tracedb.RefCommit, p.Commit)
	if p.Before != "" {
		c.shape("before", tracedb.RefCommit, p.Before)
	}
	c.name("author", p.Author)
	c.name("pusher", p.Pusher)
	c.text("message", p.Message)
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
	c.ref("repository", tracedb.RefRepository, p.Repository)
	c.pull("pull", p.Repository, p.Pull)
	c.short("title", p.Title)
	c.name("author", p.Author)
	c.name("reviewer", p.Reviewer)
	c.text("reason", p.Reason)
	c.ref("commit", tracedb.RefCommit, p.Commit)
	c.actor = p.Reviewer
}

func merge(p *tracedb.Merge, c *content) {
	c.ref("repository", tracedb.RefRepository, p.Repository)
	c.pull("pull", p.Repository, p.Pull)
	c.short("title", p.Title)
	c.name("author", p.Author)
	c.name("merged_by", p.MergedBy)
	c.ref("head", tracedb.RefCommit, p.Head)
	c.ref("commit", tracedb.RefCommit, p.Commit)
	c.actor = p.MergedBy
}

func run(p *tracedb.Run, c *content) {
	c.ref("run", tracedb.RefRun, p.Run)
	c.name("uid", p.UID)
	c.name("pipeline", p.Pipeline)
	// A run that failed before it knew what to build is a run all the same.
	c.may("repository", tracedb.RefRepository, p.Repository)
	c.may("commit", tracedb.RefCommit, p.Commit)
	c.may("image", tracedb.RefImage, p.Image)
	c.name("reason", p.Reason)
	c.text("message", p.Message)
	c.list("tasks", len(p.Tasks))
	for i, task := range p.Tasks {
		c.name(fmt.Sprintf("tasks[%d].name", i), task.Name)
		c.oneOf(fmt.Sprintf("tasks[%d].outcome", i), task.Outcome, tracedb.Passed, tracedb.Failed, "")
		c.text(fmt.Sprintf("tasks[%d].message", i), task.Message)
	}
}

func image(p *tracedb.Image, c *content) {
	c.name("image", p.Image)
	c.ref("digest", tracedb.RefImage, p.Digest)
	c.ref("repository", tracedb.RefRepository, p.Repository)
	c.ref("commit", tracedb.RefCommit, p.Commit)
	c.may("run", tracedb.RefRun, p.Run)
}

func signature(p *tracedb.Signature, c *content) {
	c.ref("digest", tracedb.RefImage, p.Digest)
	c.ref("key", tracedb.RefKey, p.Key)
	c.may("run", tracedb.RefRun, p.Run)
	c.may("commit", tracedb.RefCommit, p.Commit)
}

func promotion(p *tracedb.Promotion, c *content) {
	c.ref("digest", tracedb.RefImage, p.Digest)
	c.ref("repository", tracedb.RefRepository, p.Repository)
	c.ref("commit", tracedb.RefCommit, p.Commit)
	// The fleet is everybody's: what is found by it would be everything.
	c.shape("fleet", tracedb.RefRepository, p.Fleet)
	if p.Pull != 0 {
		c.pull("pull", p.Fleet, p.Pull)
	}
	c.may("revision", tracedb.RefRevision, p.Revision)
	c.ref("tenant", tracedb.RefNamespace, p.Tenant)
	c.may("run", tracedb.RefRun, p.Run)
}

func admission(p *tracedb.Admission, c *content) {
	c.ref("namespace", tracedb.RefNamespace, p.Namespace)
	c.resource("resource", p.Namespace, p.Resource, false)
	c.images(p.Images)
	c.loose("algorithm", tracedb.RefAlgorithm, p.Algorithm)
	c.name("policy", p.Policy)
	c.prose("reason", p.Reason)
	c.text("remedy", p.Remedy)
	c.text("reason_nl", p.ReasonNL)
	c.text("remedy_nl", p.RemedyNL)
	c.record("exception", p.Exception)
}

func deployment(p *tracedb.Deployment, c *content) {
	c.tenant(p.Namespace, p.Object)
	c.resource("object", p.Namespace, p.Object, true)
	c.may("revision", tracedb.RefRevision, p.Revision)
	if p.Source != "" {
		c.shape("source", tracedb.RefRepository, p.Source)
	}
	c.images(p.Images)
	c.loose("algorithm", tracedb.RefAlgorithm, p.Algorithm)
	c.short("node", p.Node)
	c.short("reason", p.Reason)
	c.text("message", p.Message)
}

func drift(p *tracedb.Drift, c *content) {
	c.tenant(p.Namespace, p.Object)
	c.resource("object", p.Namespace, p.Object, true)
	c.text("want", p.Want)
	c.text("got", p.Got)
	c.short("by", p.By)
	c.may("revision", tracedb.RefRevision, p.Revision)
	c.text("message", p.Message)
}

func incident(p *tracedb.Incident, c *content) {
	c.tenant(p.Namespace, p.Object)
	c.resource("object", p.Namespace, p.Object, true)
	c.images(p.Images)
	c.loose("algorithm", tracedb.RefAlgorithm, p.Algorithm)
	c.name("summary", p.Summary)
	c.text("detail", p.Detail)
}

func repair(p *tracedb.Repair, c *content) {
	if p.Incident < 0 {
		c.wrong("incident", "want the place of a record")
	}
	c.about(tracedb.RefRecord, strconv.FormatInt(p.Incident, 10))
	c.may("repository", tracedb.RefRepository, p.Repository)
	c.may("commit", tracedb.RefCommit, p.Commit)
	c.may("session", tracedb.RefSession, p.Session)
	c.name("summary", p.Summary)
}

func exception(p *tracedb.Exception, c *content) {
	c.ref("algorithm", tracedb.RefAlgorithm, p.Algorithm)
	if p.Rule != catalog.RuleStatus {
		c.wrong("rule", "want %s: no other refusal can be lifted", catalog.RuleStatus)
	}
	c.may("image", tracedb.RefImage, p.Image)
	if p.Until.IsZero() {
		c.wrong("until", "want the time when it ends")
	}
	c.prose("reason", p.Reason)
	c.name("granted_by", p.GrantedBy)
	c.short("ticket", p.Ticket)
	c.actor = p.GrantedBy
}

func key(p *tracedb.Key, c *content) {
	c.name("name", p.Name)
	c.ref("fingerprint", tracedb.RefKey, p.Fingerprint)
	c.text("pem", p.PEM)
}

func refusal(p *tracedb.Refusal, c *content) {
	c.short("id", p.ID)
	c.name("code", p.Code)
	c.prose("reason", p.Reason)
	if p.Payload != "" {
		c.shape("payload", tracedb.RefImage, p.Payload)
	}
}

func read(p *tracedb.Read, c *content) {
	c.name("what", p.What)
	c.short("of", p.Of)
}

func disposal(p *tracedb.Disposal, c *content) {
	if _, ok := p.Kind.Info(); !ok {
		c.wrong("kind", "there is no such kind of record")
	}
	c.prose("reason", p.Reason)
}

var object = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9.]{0,99})/([A-Za-z0-9][A-Za-z0-9._:-]{0,252})$`)

// resource is an object of the cluster as Kind/name; a pod is also a ref.
func (c *content) resource(field, namespace, value string, must bool) {
	if value == "" && !must {
		return
	}
	m := object.FindStringSubmatch(value)
	if m == nil {
		c.short(field, value)
		if must {
			c.wrong(field, "want Kind/name")
		}
		return
	}
	if m[1] == "Pod" {
		c.loose(field, tracedb.RefPod, namespace+"/"+m[2])
	}
}

// tenant makes a ref of an object's namespace, except of a Kustomization: those live in Flux's own,
// which is everybody's, and what they apply to is for the writer to add.
func (c *content) tenant(namespace, object string) {
	if c.shape("namespace", tracedb.RefNamespace, namespace) && !strings.HasPrefix(object, "Kustomization/") {
		c.about(tracedb.RefNamespace, namespace)
	}
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
		c.name(field, name)
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

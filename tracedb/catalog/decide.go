package catalog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/redact"
	"github.com/druppie/druppie-up/tracedb/register"
)

// Request is what the cluster asks at admission.
type Request struct {
	Namespace string   `json:"namespace"`
	Images    []string `json:"images"` // with digests: name@sha256:… or sha256:…
	Algorithm string   `json:"algorithm"`
	Resource  string   `json:"resource,omitempty"` // Kind/name
	DryRun    bool     `json:"dry_run,omitempty"`
	UID       string   `json:"uid,omitempty"` // of the admission request: what is asked again under it was asked before
	Pod       string   `json:"pod,omitempty"` // uid of the pod that it is about
}

// Decision is the answer: allowed or not, why, and what to do, in English and Dutch.
type Decision struct {
	Allowed    bool   `json:"allowed"`
	Code       string `json:"code"` // stable, for programs: one of the Code constants
	Reason     string `json:"reason"`
	Remedy     string `json:"remedy,omitempty"`
	ReasonNL   string `json:"reason_nl"`
	RemedyNL   string `json:"remedy_nl,omitempty"`
	Algorithm  string `json:"algorithm,omitempty"`
	Repository string `json:"repository,omitempty"` // that the algorithm id belongs to
	Exception  int64  `json:"exception,omitempty"`  // seq of the exception that lets it in
}

// The codes of a decision.
const (
	CodeAllowed          = "allowed"
	CodeException        = "exception"         // allowed, by an exception
	CodeNoAlgorithm      = "no_algorithm"      // the workload names none
	CodeBadAlgorithm     = "bad_algorithm"     // what it names isn't an id
	CodeNoImages         = "no_images"         //
	CodeNoDigest         = "no_digest"         // an image is named by a tag
	CodeUnknownAlgorithm = "unknown_algorithm" // the register doesn't know it
	CodeUnknownImage     = "unknown_image"     // no provenance names it
	CodeOtherRepository  = "other_repository"  // the image was built from another's source
	CodeStatus           = "status"            // the entry itself forbids it
)

// NeedsSync says whether the log may hold more than the catalog knew when it decided so: after Sync,
// the same request may be decided otherwise.
func (d Decision) NeedsSync() bool {
	switch d.Code {
	case CodeUnknownAlgorithm, CodeUnknownImage, CodeOtherRepository, CodeStatus:
		return true
	}
	return false
}

// Decide answers from memory (F6.2): allowed only if the register knows the algorithm id, every image
// is named by a digest that was built from the repository that owns the id, and the entry's status
// allows it or an exception lifts that.
func (c *Catalog) Decide(q Request) Decision {
	d := Decision{}
	if q.Algorithm == "" {
		return d.deny(CodeNoAlgorithm,
			text.Of("the workload doesn't say which algorithm it is",
				"de dienst zegt niet welk algoritme het is"),
			text.Of("put the id from algorithm.yaml into the pod's label druppie.io/algorithm-id",
				"zet het id uit algorithm.yaml in het label druppie.io/algorithm-id van de pod"))
	}
	if (tracedb.Ref{Type: tracedb.RefAlgorithm, Value: q.Algorithm}).Check() != nil {
		return d.deny(CodeBadAlgorithm,
			text.Of(quote(q.Algorithm)+" isn't an algorithm id",
				quote(q.Algorithm)+" is geen algoritme-id"),
			text.Of("put the id from algorithm.yaml, alg- and eight letters or digits, into the label druppie.io/algorithm-id",
				"zet het id uit algorithm.yaml, alg- en acht letters of cijfers, in het label druppie.io/algorithm-id"))
	}
	d.Algorithm = q.Algorithm
	if len(q.Images) == 0 {
		return d.deny(CodeNoImages,
			text.Of("the request names no image, so there is nothing to check",
				"het verzoek noemt geen image, dus is er niets om te toetsen"),
			text.Of("ask for a workload that has containers",
				"vraag het voor een dienst met containers"))
	}
	digests := make([]digest, len(q.Images))
	for i, image := range q.Images {
		var ok bool
		if digests[i], ok = parseDigest(Digest(image)); !ok {
			return d.deny(CodeNoDigest,
				text.Of("the image "+quote(image)+" isn't named by a digest, so it could be another one tomorrow",
					"het image "+quote(image)+" wordt niet met een digest genoemd en kan dus morgen een ander zijn"),
				text.Of("name it as the pipeline promoted it: name@sha256:…",
					"noem het zoals de pijplijn het voorstelde: naam@sha256:…"))
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.decide(d, q.Images, digests)
}

// decide holds the register and the provenance against digests; mu is held.
func (c *Catalog) decide(d Decision, images []string, digests []digest) Decision {
	entry, ok := c.algorithms[d.Algorithm]
	owner := c.owners[d.Algorithm]
	if !ok || owner == "" {
		return d.deny(CodeUnknownAlgorithm,
			text.Of("the register has no entry "+d.Algorithm,
				"het register kent "+d.Algorithm+" niet"),
			text.Of("let the pipeline release the service: it registers the repository's algorithm.yaml",
				"laat de pijplijn de dienst uitbrengen: die registreert de algorithm.yaml van de repository"))
	}
	d.Repository = owner
	for i, sum := range digests {
		from, ok := c.images[sum]
		if !ok {
			return d.deny(CodeUnknownImage,
				text.Of("no verified provenance says which source "+short(images[i])+" was built from",
					"geen geverifieerde herkomst zegt uit welke broncode "+short(images[i])+" is gebouwd"),
				text.Of("run an image that the foundry built from "+owner+", by the digest that the pipeline recorded",
					"draai een image dat de bouwstraat uit "+owner+" bouwde, met de digest die de pijplijn vastlegde"))
		}
		if !c.builtFrom(sum, owner) {
			other := from.repository.Value()
			return d.deny(CodeOtherRepository,
				text.Of(short(images[i])+" was built from "+other+", but "+d.Algorithm+" belongs to "+owner,
					short(images[i])+" is gebouwd uit "+other+", maar "+d.Algorithm+" is van "+owner),
				text.Of("give the workload the id that "+other+" registered, or run an image built from "+owner,
					"geef de dienst het id dat "+other+" registreerde, of draai een image dat uit "+owner+" is gebouwd"))
		}
	}
	may, reason, remedy := entry.Document.MayRun()
	if may {
		d.Allowed, d.Code = true, CodeAllowed
		d.Reason = "built from " + owner + ", which owns " + d.Algorithm + "; its status is " + quote(entry.Document.Register.Status)
		d.ReasonNL = "gebouwd uit " + owner + ", de eigenaar van " + d.Algorithm + "; de status is " + quote(entry.Document.Register.Status)
		return d
	}
	if e, ok := c.exceptionFor(entry, digests); ok {
		d.Allowed, d.Code, d.Exception = true, CodeException, e.seq
		until := e.Until.UTC().Format(time.DateOnly)
		d.Reason = fmt.Sprintf("%s, but %s made an exception until %s: %s", reason.EN, e.GrantedBy, until, e.Exception.Reason)
		d.ReasonNL = fmt.Sprintf("%s, maar %s maakte een uitzondering tot %s: %s", reason.NL, e.GrantedBy, until, e.Exception.Reason)
		return d
	}
	return d.deny(CodeStatus, text.Of(d.Algorithm+" may not run: ", d.Algorithm+" mag niet draaien: ").Plus(reason), remedy)
}

// exceptionFor is the exception that lets the images run although the entry's status doesn't. What the AI
// Act prohibits, and a status that nobody knows, no exception lifts.
func (c *Catalog) exceptionFor(entry Algorithm, digests []digest) (exception, bool) {
	doc := entry.Document
	if doc.AIActProfile.RiskGroup == register.RiskForbidden || doc.Register.Status != register.OutOfUse {
		return exception{}, false
	}
	now := c.now()
	holds := func(image string) (exception, bool) {
		e, ok := c.exceptions[ExceptionKey(entry.ID, RuleStatus, image)]
		return e, ok && now.Before(e.Until)
	}
	last, ok := holds("")
	if ok {
		return last, true
	}
	for _, sum := range digests {
		if last, ok = holds(fmt.Sprintf("sha256:%x", sum[:])); !ok {
			return exception{}, false
		}
	}
	return last, len(digests) > 0
}

func (d Decision) deny(code string, reason, remedy text.Text) Decision {
	d.Code, d.Reason, d.Remedy, d.ReasonNL, d.RemedyNL = code, reason.EN, remedy.EN, reason.NL, remedy.NL
	return d
}

// Digest is the digest in an image's name: sha256:… of name@sha256:… or of itself; empty if it has
// none.
func Digest(image string) string {
	d := image[strings.LastIndexByte(image, '@')+1:]
	if _, ok := parseDigest(d); !ok {
		return ""
	}
	return d
}

// short is an image's name as a sentence can hold it: what it ends in, and the digest's beginning.
func short(image string) string {
	name, d := "", image
	if i := strings.LastIndexByte(image, '@'); i >= 0 {
		name, d = image[:i], image[i+1:]
	}
	name = name[strings.LastIndexByte(name, '/')+1:]
	if len(d) > 19 {
		d = d[:19]
	}
	if name == "" {
		return d
	}
	return quote(name) + " (" + d + ")"
}

// maxQuoted is how much of others' text a sentence holds.
const maxQuoted = 120

func quote(s string) string {
	return strconv.Quote(tracedb.Clip(redact.Value(s), maxQuoted))
}

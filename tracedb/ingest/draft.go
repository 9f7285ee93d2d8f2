package ingest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// future is how far ahead of ours a writer's clock may be.
const future = 5 * time.Minute

// past is before anything that this log could hold happened.
var past = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// recordID is printable and without spaces: branches and workloads have odd names.
var recordID = regexp.MustCompile(`^[!-~]{1,256}$`)

// ValidID says whether a record may have that id: it is printable ASCII without spaces and holds no secret.
func ValidID(id string) bool { return recordID.MatchString(id) && redact.Secret(id) == "" }

func refuse(field, format string, args ...any) *tracedb.Error {
	return tracedb.ErrInvalidRecord.Says(format, args...).At("%s", field)
}

// prepare checks a writer's draft.
func (in *Ingester) prepare(ctx context.Context, who tracedb.Identity, draft tracedb.Draft) (log.Prepared, error) {
	if _, ok := draft.Kind.Info(); !ok {
		return log.Prepared{}, refuse("kind", "there is no such kind of record")
	}
	if !who.MayWrite(draft.Kind) {
		return log.Prepared{}, tracedb.ErrForbidden.Says("%s may not write records of the kind %s", name(who.Name), draft.Kind).At("kind").
			WithHint("the service's roles say who may write what")
	}
	return in.check(ctx, who.Name, draft)
}

// check holds a draft against everything but who offers it.
func (in *Ingester) check(ctx context.Context, writer string, draft tracedb.Draft) (log.Prepared, error) {
	info, _ := draft.Kind.Info()
	if len(draft.Payload) > tracedb.MaxPayload {
		return log.Prepared{}, tracedb.ErrTooLarge.Says("a payload has at most %d bytes", tracedb.MaxPayload).At("payload")
	}
	if err := envelope(draft, in.o.Now()); err != nil {
		return log.Prepared{}, err
	}
	p := log.Prepared{Draft: draft}
	var c content
	var err error
	if len(info.Predicate) > 0 {
		err = in.attestation(&p, &c)
	} else {
		err = in.own(ctx, &p, &c)
	}
	if err != nil {
		return log.Prepared{}, err
	}
	p.Facts = c.facts
	if p.Outcome, err = outcome(info, draft.Outcome, c.outcome); err != nil {
		return log.Prepared{}, err
	}
	if p.Refs, err = refs(info, draft.Refs, c.refs); err != nil {
		return log.Prepared{}, err
	}
	if err := in.bound(p.Kind, p.Refs, c.refs); err != nil {
		return log.Prepared{}, err
	}
	p.Actor = actor(draft.Actor, c.actor, writer)
	return p, nil
}

// envelope checks what every record has around its payload.
func envelope(draft tracedb.Draft, now time.Time) error {
	if !recordID.MatchString(draft.ID) {
		return refuse("id", "want at most 256 printable characters of ASCII without spaces")
	}
	if what := redact.Secret(draft.ID); what != "" {
		return secretFound("id", what)
	}
	if !draft.At.IsZero() && (draft.At.After(now.Add(future)) || draft.At.Before(past)) {
		return refuse("at", "want a time that isn't more than %s ahead of the service's clock, nor before %d", future, past.Year()).
			WithHint("set the writer's clock")
	}
	if len(draft.Actor) > maxActor || !OneLine(draft.Actor) {
		return refuse("actor", "want at most %d bytes on one line", maxActor)
	}
	if len(draft.Refs) > tracedb.MaxRefs {
		return refuse("refs", "want at most %d", tracedb.MaxRefs)
	}
	for i, r := range draft.Refs {
		if err := r.Check(); err != nil {
			return refuse(fmt.Sprintf("refs[%d]", i), "%s", err)
		}
		if what := redact.Secret(r.Value); what != "" {
			return secretFound(fmt.Sprintf("refs[%d].value", i), what)
		}
	}
	if len(draft.Payload) == 0 {
		return refuse("payload", "want a payload")
	}
	return nil
}

const secretHint = "take it out, sign anew where it was signed, and replace the secret: it has travelled"

// secretFound refuses what would have to be altered to be free of a secret, and can't be.
func secretFound(field, what string) *tracedb.Error {
	return refuse(field, "this holds what looks like a secret (%s), and secrets never enter the log", what).
		WithHint(secretHint)
}

// attestation verifies the payload and reads what it says. It can't be altered, so a secret in it is
// a reason to refuse it.
func (in *Ingester) attestation(p *log.Prepared, c *content) error {
	at := func(err error) error {
		if e := tracedb.AsError(err); e.Code != tracedb.ErrInternal.Code {
			return e.At("payload")
		}
		return err
	}
	v, err := in.o.Keyring.Verify(p.Kind, p.Payload, in.o.Now())
	if err != nil {
		return at(err)
	}
	r, err := attest.Read(p.Kind, v.Statement)
	if err != nil {
		return at(tracedb.AsError(err).At("payload"))
	}
	if path, what := redact.SecretIn(v.Body); what != "" {
		return at(secretFound(path, what).At("payload"))
	}
	p.Unique = v.Unique
	c.refs = append(r.Refs, tracedb.Ref{Type: tracedb.RefKey, Value: v.Key.Fingerprint})
	c.outcome = r.Outcome
	c.actor = v.Key.Name
	if p.Kind == tracedb.KindProvenance {
		c.facts, err = builtFacts(r)
	}
	return err
}

// own reads a payload that is in our own words, as it will be stored.
func (in *Ingester) own(ctx context.Context, p *log.Prepared, c *content) error {
	payload, err := decoders[p.Kind](p.Payload, c)
	if err != nil {
		return tracedb.AsError(err).At("payload")
	}
	p.Payload = payload
	switch p.Kind {
	case tracedb.KindException:
		err = in.exception(p)
	case tracedb.KindRepair:
		err = in.repair(ctx, p)
	}
	if err != nil || c.facts != nil {
		return err
	}
	if c.facts, err = Facts(tracedb.Entry{Kind: p.Kind}, payload); err != nil {
		return fmt.Errorf("derive facts: %w", err)
	}
	return nil
}

// outcome is how it ended: what the payload says, or else what the writer says, if the kind has it.
func outcome(info tracedb.KindInfo, declared, derived tracedb.Outcome) (tracedb.Outcome, error) {
	switch {
	case derived != "" && declared != "" && declared != derived:
		return "", refuse("outcome", "the payload says %s", derived)
	case derived != "":
		return derived, nil
	case declared == "" && (len(info.Outcomes) == 0 || info.Kind == tracedb.KindVulns):
		// A scanner lists what it knows; only a gate makes an outcome of that.
		return "", nil
	case !slices.Contains(info.Outcomes, declared):
		if len(info.Outcomes) == 0 {
			return "", refuse("outcome", "records of the kind %s have none", info.Kind)
		}
		return "", refuse("outcome", "want one of %v", info.Outcomes)
	}
	return declared, nil
}

// strictly says whether the payload of a kind has the last word on what the record is about: what is
// signed, and what decides later who may run. Of a type that such a payload names, nothing can be
// added. Other payloads are their writers' own word, as the refs beside them are.
func strictly(info tracedb.KindInfo) bool {
	return len(info.Predicate) > 0 || info.Kind == tracedb.KindRegister || info.Kind == tracedb.KindException
}

// refs unites what the payload is about with what the writer adds. Nothing can be added to an
// attestation, whose writer need not be who signed it: else evidence of one service's image could be
// tied to another's commit, run or pull request. Nor did a key sign what no payload says it did.
func refs(info tracedb.KindInfo, declared, derived []tracedb.Ref) ([]tracedb.Ref, error) {
	for i, r := range declared {
		closed := r.Type == tracedb.RefKey || len(info.Predicate) > 0
		if strictly(info) && !closed {
			closed = slices.ContainsFunc(derived, func(d tracedb.Ref) bool { return d.Type == r.Type })
		}
		if closed && !slices.Contains(derived, r) {
			return nil, refuse(fmt.Sprintf("refs[%d]", i), "the payload isn't about this %s", r.Type)
		}
	}
	out := slices.Clone(declared)
	for _, r := range derived {
		// A commit of the fleet or the platform is a revision. Which one it is, only the writer knows.
		asRevision := tracedb.Ref{Type: tracedb.RefRevision, Value: r.Value}
		if r.Type == tracedb.RefCommit && !strictly(info) && slices.Contains(declared, asRevision) {
			continue
		}
		out = append(out, r)
	}
	out = tracedb.SortRefs(out)
	if len(out) > tracedb.MaxRefs {
		return nil, refuse("refs", "want at most %d together with the payload's", tracedb.MaxRefs)
	}
	return out, nil
}

// bound refuses evidence that would link an algorithm id to a repository that isn't its own. It checks
// records that name a repository in the payload: a workload may claim any id, and that it did is
// what its records say.
func (in *Ingester) bound(kind tracedb.Kind, all, derived []tracedb.Ref) error {
	repository := func(r tracedb.Ref) bool { return r.Type == tracedb.RefRepository }
	if !slices.ContainsFunc(derived, repository) {
		return nil
	}
	for _, r := range all {
		if r.Type != tracedb.RefAlgorithm {
			continue
		}
		owner, ok := in.o.Catalog.Owner(r.Value)
		if ok && !slices.Contains(derived, tracedb.Ref{Type: tracedb.RefRepository, Value: owner}) {
			return tracedb.ErrBound.Says("%s belongs to %s", r.Value, owner).At("payload.repository").
				WithHint("an algorithm id belongs to the repository that registered it first, for ever: give this one an id of its own")
		}
		if kind == tracedb.KindRegister {
			if err := in.identified(r.Value, derived); err != nil {
				return err
			}
		}
	}
	return nil
}

// actor is who did it: as the writer says, or the payload, or else the writer.
func actor(declared, derived, writer string) string {
	for _, a := range []string{declared, derived} {
		if a != "" && len(a) <= maxActor && OneLine(a) {
			a, _ = redact.Text(a)
			return a
		}
	}
	return writer
}

// name is an identity's name as a sentence can hold it.
func name(s string) string { return fmt.Sprintf("%q", tracedb.Clip(s, maxActor)) }

package why

import "github.com/druppie/druppie-up/tracedb"

// Verdict is a chain's state in one word: what the gatekeeper and the cluster said last. It decides
// nothing.
type Verdict string

// Verdicts.
const (
	Runs        Verdict = "runs"
	RunsRefused Verdict = "runs-refused" // and a later version was refused
	Refused     Verdict = "refused"
	Stopped     Verdict = "stopped"
	Admitted    Verdict = "allowed" // and no running pod is recorded
	NotAsked    Verdict = "nothing" // nothing was decided yet
)

func (h *history) verdict() Verdict {
	running, stopped, allowed, refused := int64(-1), int64(-1), int64(-1), int64(-1)
	for _, t := range h.pods("") {
		if t.Outcome == tracedb.Running {
			running = max(running, t.Seq)
		} else {
			stopped = max(stopped, t.Seq)
		}
	}
	for _, t := range h.all {
		switch {
		case t.Kind == tracedb.KindAdmission && t.Outcome == tracedb.Allowed:
			allowed = max(allowed, t.Seq)
		case t.unconfirmed:
		case t.Kind == tracedb.KindAdmission || t.Kind == tracedb.KindDeployment && t.Outcome == tracedb.Failed:
			refused = max(refused, t.Seq)
		}
	}
	switch {
	case running >= 0 && refused > running:
		return RunsRefused
	case running >= 0:
		return Runs
	case refused > max(allowed, stopped):
		return Refused
	case stopped >= 0:
		return Stopped
	case allowed >= 0:
		return Admitted
	}
	return NotAsked
}

package why

import (
	"slices"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// result is a record of how the image fared; of no kind where there is none.
type result struct {
	record
	ofCommit bool // it is of the image's commit alone, which was built and tested at other times too
}

// result is the newest record of a kind that names the image, or the run that made it. Where there is none, it
// is the newest of its commit.
func (h *history) result(kind tracedb.Kind) result {
	all := h.ofKind(kind)
	if len(all) == 0 {
		return result{}
	}
	// The runs that the image's provenance names, or else those that say that they pushed it.
	runs := h.valuesOf(tracedb.RefRun, tracedb.KindProvenance, tracedb.KindImage)
	ofRuns := func(r record) bool { return overlap(r.Values(tracedb.RefRun), runs) }
	ofImage := slices.DeleteFunc(slices.Clone(all), func(r record) bool { return !r.has(tracedb.RefImage) && !ofRuns(r) })
	ofCommit := h.image != "" && len(ofImage) == 0
	if h.image != "" && len(ofImage) > 0 {
		all = ofImage
	}
	newest := all[len(all)-1]
	for _, r := range all {
		// The same image may have come out of a later run, too.
		if kind == tracedb.KindRun && ofRuns(r) {
			newest = r
		}
	}
	return result{newest, ofCommit}
}

// ofCommitAlone is what is said of a result that is of the commit alone.
var ofCommitAlone = text.Of("of its commit alone, not of this image", "alleen van de commit, niet van dit image")

// outcome is the word for how it ended.
func (r result) outcome() text.Text {
	word := outcomes[r.Outcome]
	if r.ofCommit {
		return word.Plus(text.Same(", ")).Plus(ofCommitAlone)
	}
	return word
}

func (h *history) tested() text.Text {
	run, tests, static := h.result(tracedb.KindRun), h.result(tracedb.KindTestResult), h.result(tracedb.KindSARIF)
	if run.Kind == "" && tests.Kind == "" {
		return text.Of("No test of it is recorded.", "Er is geen test van vastgelegd.")
	}
	// Tests run in one process with what they test, which can make them say anything.
	account := text.Text{}
	if tests.Kind != "" {
		account = text.Of("by the service's own account", "volgens de service zelf")
	}
	return run.say("[Pipeline run {run}: {ended}][, failed: {failed}][; tests: {tests}][ ({summary})][, {account}][; static analysis: {static}].",
		"[Pijplijnrun {run}: {ended}][, mislukt: {failed}][; tests: {tests}][ ({summary})][, {account}][; statische analyse: {static}].",
		words{"ended": run.outcome(), "tests": tests.outcome(), "summary": tests.get("summary"), "account": account, "static": static.outcome()}).Sentence()
}

func (h *history) vulnerable() text.Text {
	r := h.result(tracedb.KindVulns)
	if r.Kind == "" {
		return text.Of("Whether it has known vulnerabilities was never looked at.", "Of het bekende kwetsbaarheden heeft is nooit bekeken.")
	}
	out := r.say("[{summary}][; critical: {critical}][; high: {high}].", "[{summary}][; kritiek: {critical}][; hoog: {high}].", nil)
	if out.EN == "." {
		out = text.Of("A scan for vulnerabilities was done; what it found is no longer kept.", "Er is op kwetsbaarheden gescand; wat daaruit kwam wordt niet meer bewaard.")
	}
	if r.ofCommit {
		out = text.Join(out, text.Of("The scan is "+ofCommitAlone.EN+".", "De scan is "+ofCommitAlone.NL+"."))
	}
	return out.Sentence()
}

package why

import (
	"slices"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// results are the records of a kind that tell how the story's image fared: those that name it, or the
// run that made it. Where there are none, those of its commit alone: that was built and tested at other
// times too, and what came of that isn't this image's.
func (s *story) results(kind tracedb.Kind) (all []told, alone bool) {
	all = s.of(kind)
	if s.image == "" {
		return all, false
	}
	made := s.made()
	own := slices.DeleteFunc(slices.Clone(all), func(t told) bool {
		return len(values(t.Refs, tracedb.RefImage)) == 0 && !overlap(values(t.Refs, tracedb.RefRun), made)
	})
	if len(own) > 0 {
		return own, false
	}
	return all, len(all) > 0
}

// made are the runs that the image's provenance names, or where there is none those that say that they
// pushed it.
func (s *story) made() []string {
	for _, kind := range []tracedb.Kind{tracedb.KindProvenance, tracedb.KindImage} {
		var runs []string
		for _, t := range s.of(kind) {
			runs = append(runs, values(t.Refs, tracedb.RefRun)...)
		}
		if len(runs) > 0 {
			return runs
		}
	}
	return nil
}

// result is the newest of the results.
func (s *story) result(kind tracedb.Kind) (t told, alone, ok bool) {
	all, alone := s.results(kind)
	if len(all) == 0 {
		return told{}, false, false
	}
	t = all[len(all)-1]
	if made := s.made(); kind == tracedb.KindRun {
		// The same image may have come out of a later run, too.
		for _, r := range all {
			if overlap(values(r.Refs, tracedb.RefRun), made) {
				t = r
			}
		}
	}
	return t, alone, true
}

// byCommit is what is said of a result that is of the commit alone.
var byCommit = text.Of("of its commit alone, not of this image", "alleen van de commit, niet van dit image")

// ended is the word for how something ended.
func ended(t told, alone bool) text.Text {
	word := outcomes[t.Outcome]
	if alone {
		return text.Of(word.EN+", "+byCommit.EN, word.NL+", "+byCommit.NL)
	}
	return word
}

func (s *story) tested() text.Text {
	run, runAlone, ran := s.result(tracedb.KindRun)
	tests, testsAlone, tested := s.result(tracedb.KindTestResult)
	static, staticAlone, analysed := s.result(tracedb.KindSARIF)
	if !ran && !tested {
		return text.Of("No test of it is recorded.", "Er is geen test van vastgelegd.")
	}
	l := lines{}
	if ran {
		l["run"], l["ended"], l["failed"] = run.get("run"), ended(run, runAlone), run.get("failed")
	}
	if tested {
		l["tests"], l["summary"] = ended(tests, testsAlone), tests.get("summary")
	}
	if analysed {
		l["static"] = ended(static, staticAlone)
	}
	return say("[Pipeline run {run}: {ended}][, failed: {failed}][; tests: {tests}][ ({summary})][; static analysis: {static}].",
		"[Pijplijnrun {run}: {ended}][, mislukt: {failed}][; tests: {tests}][ ({summary})][; statische analyse: {static}].", l).Sentence()
}

func (s *story) vulnerable() text.Text {
	t, alone, ok := s.result(tracedb.KindVulns)
	if !ok {
		return text.Of("Whether it has known vulnerabilities was never looked at.", "Of het bekende kwetsbaarheden heeft is nooit bekeken.")
	}
	l := lines{"summary": t.get("summary"), "critical": t.get("critical"), "high": t.get("high")}
	out := say("[{summary}][; critical: {critical}][; high: {high}].", "[{summary}][; kritiek: {critical}][; hoog: {high}].", l)
	if out.EN == "." {
		out = text.Of("A scan for vulnerabilities was done; what it found is no longer kept.", "Er is op kwetsbaarheden gescand; wat daaruit kwam wordt niet meer bewaard.")
	}
	if alone {
		out = text.Join(out, text.Of("The scan is "+byCommit.EN+".", "De scan is "+byCommit.NL+"."))
	}
	return out.Sentence()
}

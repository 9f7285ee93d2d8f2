package why_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// copies tells the story again and again, each time of another service: with other names and hashes,
// in the same fleet, a hundred services to a tenant.
type copies struct {
	story []whytest.Part
}

// name is a story's own form of a name or hash of the first one.
func (c copies) name(s string, n int) string {
	if n == 0 {
		return s
	}
	tag := fmt.Sprintf("%08x", n)
	switch {
	case strings.HasPrefix(s, "sha256:"):
		return "sha256:" + tag + s[len("sha256:")+8:]
	case strings.HasPrefix(s, "alg-"):
		return "alg-" + tag
	case s == whytest.Tenant:
		return fmt.Sprintf("%s-%d", s, n/100)
	case len(s) == 40 && !strings.ContainsAny(s, "/-"):
		return tag + s[8:]
	}
	return s + "-" + tag
}

func (c copies) part(t testing.TB, p whytest.Part, n int) whytest.Part {
	t.Helper()
	d := p.Drafts[0]
	d.ID = fmt.Sprintf("%d-%s", n, d.ID)
	if d.Kind == tracedb.KindKey {
		return whytest.Part{Writer: p.Writer} // there is one key for all
	}
	var swap []string
	d.Refs = slices.Clone(d.Refs)
	for i, r := range d.Refs {
		if r.Type == tracedb.RefKey || r.Value == whytest.Fleet {
			continue
		}
		d.Refs[i].Value = c.name(r.Value, n)
		swap = append(swap, strconv.Quote(r.Value), strconv.Quote(d.Refs[i].Value))
	}
	swapped := strings.NewReplacer(swap...)
	d.Payload = json.RawMessage(swapped.Replace(string(d.Payload)))
	d.Facts = slices.Clone(d.Facts)
	for i, f := range d.Facts {
		d.Facts[i].Value = json.RawMessage(swapped.Replace(string(f.Value)))
		d.Facts[i].Key = c.name(f.Key, n)
	}
	return whytest.Part{Writer: p.Writer, Drafts: []log.Prepared{d}}
}

// many is a log of that many records and the number of stories in it. With DRUPPIE_BENCH_DB it is kept
// there, since a million take minutes.
func many(b *testing.B, records int) (*log.Log, int) {
	b.Helper()
	var options []logtest.Option
	if path := os.Getenv("DRUPPIE_BENCH_DB"); path != "" {
		options = append(options, logtest.At(path))
	}
	l := logtest.New(b, options...)
	c := copies{whytest.History(b)}
	stories := records / len(c.story)
	for n := int(l.Size()) / (len(c.story) - 1); n < stories; {
		byWriter := map[string][]log.Prepared{}
		var writers []string
		for range 50 {
			for _, p := range c.story {
				p = c.part(b, p, n)
				if n == 0 && len(p.Drafts) == 0 {
					p = c.story[0]
				}
				if _, ok := byWriter[p.Writer]; !ok {
					writers = append(writers, p.Writer)
				}
				byWriter[p.Writer] = append(byWriter[p.Writer], p.Drafts...)
			}
			n++
		}
		for _, w := range writers {
			if _, err := l.Append(b.Context(), w, byWriter[w]); err != nil {
				b.Fatal(err)
			}
		}
	}
	return l, stories
}

// BenchmarkAsk asks why, of another service each time. DRUPPIE_BENCH_RECORDS says how large the log is.
func BenchmarkAsk(b *testing.B) {
	records := 20_000
	if n, err := strconv.Atoi(os.Getenv("DRUPPIE_BENCH_RECORDS")); err == nil {
		records = n
	}
	l, stories := many(b, records)
	c := copies{}
	for _, subject := range []struct{ name, value string }{
		{"image", whytest.Image}, {"commit", whytest.Commit}, {"algorithm", whytest.Algorithm}, {"repository", whytest.Repository}, {"pod", whytest.Pod},
	} {
		for _, proofs := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/proofs=%v", subject.name, proofs), func(b *testing.B) {
				var took []time.Duration
				n := 0
				for b.Loop() {
					n = (n + 7919) % stories
					ref, err := why.Subject(c.name(subject.value, n))
					if err != nil {
						b.Fatal(err)
					}
					start := time.Now()
					chain, err := why.Ask(context.Background(), l, ref, why.Options{Proofs: proofs})
					took = append(took, time.Since(start))
					if err != nil || len(chain.Links) < 15 {
						b.Fatalf("%s: %v", ref, err)
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			})
		}
	}
}

package why_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

func (s *scribe) pod(n int, outcome tracedb.Outcome) log.Prepared {
	s.t.Helper()
	return s.draft(tracedb.KindDeployment, outcome, tracedb.Deployment{Namespace: "drones", Object: fmt.Sprintf("Pod/x-%d", n), Images: []string{made}},
		"image", made, "namespace", "drones", "pod", fmt.Sprintf("drones/x-%d", n))
}

// TestGoneAmongMany has an image whose pods came and went more often than a story has room for: a pod
// whose end isn't among what was looked at first isn't told to run.
func TestGoneAmongMany(t *testing.T) {
	for _, pods := range []int{100, 700} {
		t.Run(fmt.Sprint(pods), func(t *testing.T) {
			l := logtest.New(t)
			s := &scribe{t: t, log: l}
			var many []log.Prepared
			// Each three begin before the three before them end.
			for n := range pods {
				many = append(many, s.pod(n, tracedb.Running))
				if n >= 3 {
					many = append(many, s.pod(n-3, tracedb.Gone))
				}
			}
			// What else is told of the image comes after what was told of those that run.
			for range 40 {
				many = append(many, s.draft(tracedb.KindIncident, "", tracedb.Incident{Namespace: "drones", Object: "Deployment/x", Images: []string{made}, Summary: "it coughs"}, "image", made))
			}
			if _, err := l.Append(t.Context(), "more", many); err != nil {
				t.Fatal(err)
			}
			c := ask(t, l, made)
			at := whytest.Start.Add(time.Duration(s.n-40-2-3) * time.Hour)
			if want := fmt.Sprintf("runs in drones (3 pods) since %s.", at.Format("2006-01-02 15:04:05 UTC")); !strings.Contains(c.Answer, want) {
				t.Errorf("the answer lacks %q: %s", want, c.Answer)
			}
			if !c.Truncated {
				t.Error("nobody is told that there is more")
			}
		})
	}
}

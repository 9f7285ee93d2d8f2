package pages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// evil is what somebody may put into any text: a way out of every place that a page writes text to.
const evil = `"'><script>window.owned=1;document.title="owned"</script><img src=x onerror="window.owned=1"><svg onload="window.owned=1"></textarea></title></pre>{{.}}` +
	"`${window.owned=1}`\u202e</code><a href=\"javascript:window.owned=1\">x</a>"

// evilURL is the same for what is meant to be an address.
const evilURL = `javascript:window.owned=1//https://x"><script>window.owned=1</script>`

// spoil fills every text of v with s.
func spoil(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() && v.String() == "" {
			v.SetString(s)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			spoil(v.Field(i), s)
		}
	case reflect.Slice:
		if v.CanSet() && v.Len() == 0 && v.Type() != reflect.TypeFor[json.RawMessage]() {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			spoil(v.Index(i), s)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem(), s)
		}
	}
}

// payloads has a value of the payload of every kind that isn't an attestation.
func payloads() map[tracedb.Kind]any {
	return map[tracedb.Kind]any{
		tracedb.KindSpec: &tracedb.Spec{}, tracedb.KindSession: &tracedb.Session{}, tracedb.KindCommit: &tracedb.Commit{}, tracedb.KindReview: &tracedb.Review{},
		tracedb.KindMerge: &tracedb.Merge{}, tracedb.KindRun: &tracedb.Run{}, tracedb.KindImage: &tracedb.Image{}, tracedb.KindSignature: &tracedb.Signature{},
		tracedb.KindPromotion: &tracedb.Promotion{}, tracedb.KindAdmission: &tracedb.Admission{}, tracedb.KindDeployment: &tracedb.Deployment{},
		tracedb.KindDrift: &tracedb.Drift{}, tracedb.KindRequest: &tracedb.Request{}, tracedb.KindIncident: &tracedb.Incident{}, tracedb.KindRepair: &tracedb.Repair{},
		tracedb.KindRegister: &tracedb.RegisterEntry{}, tracedb.KindException: &tracedb.Exception{}, tracedb.KindKey: &tracedb.Key{},
		tracedb.KindRefusal: &tracedb.Refusal{}, tracedb.KindRead: &tracedb.Read{}, tracedb.KindDisposal: &tracedb.Disposal{},
	}
}

// hostile tells a story in which everybody who writes is an attacker.
func hostile(t testing.TB) []whytest.Part {
	t.Helper()
	const repository, algorithm = "evil/service", "alg-evil0001"
	image, commit := "sha256:"+strings.Repeat("e", 64), strings.Repeat("e", 40)
	refs := []string{"repository", repository, "algorithm", algorithm, "image", image, "commit", commit, "namespace", "evil", "pod", "evil/pod"}
	about := attest.About{Image: evil, Digest: image, Repository: repository, Commit: commit}
	statements := map[tracedb.Kind]attest.Statement{
		tracedb.KindProvenance: attest.Provenance(about, attest.Build{Builder: "https://x/" + evil, Type: "https://x/" + evil, Started: now, Finished: now}),
		tracedb.KindTestResult: attest.TestResult(about, attest.Tests{Suite: evil, Passed: []string{evil}, Failed: []string{evil}}),
		tracedb.KindVulns: attest.Vulns(about, attest.Scan{Scanner: "https://x/" + evil, Version: evil, DBUpdated: now, Started: now, Finished: now, Result: "FAILED",
			Found: []attest.Vulnerability{{ID: evil, Severity: "HIGH", Package: evil, Fixed: evil}}}),
		tracedb.KindSARIF: attest.SARIF(about, attest.Analysis{Tool: evil, Version: evil, Result: "FAILED",
			Results: []attest.Finding{{Rule: evil, Level: "error", Message: evil, File: evil}}}),
		tracedb.KindSBOM:        attest.SBOM(about, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"<script>window.owned=1</script>"}]}`)),
		tracedb.KindConformance: attest.ConformanceReport(about, json.RawMessage(`{"schema":"druppie.io/conformance/v1","kind":"check","ended":"2026-01-31T12:00:00Z","stopped":"<script>window.owned=1</script>","controls":[{"id":"<script>window.owned=1</script>","verdict":"broken"}]}`)),
		tracedb.KindVerdict:     attest.Verdict(about, attest.Gate{Verifier: "https://x/" + evil, Created: now, Failed: []string{evil}}),
	}
	var parts []whytest.Part
	for _, info := range tracedb.Kinds() {
		outcomes := info.Outcomes
		if len(outcomes) == 0 {
			outcomes = []tracedb.Outcome{""}
		}
		for _, outcome := range outcomes {
			id := fmt.Sprintf("evil-%s-%s", info.Kind, outcome)
			if st, ok := statements[info.Kind]; ok {
				envelope, err := attest.Sign(whytest.Key(), st)
				if err != nil {
					t.Fatalf("sign %s: %v", info.Kind, err)
				}
				parts = append(parts, part(t, id, evil, info.Kind, evil, outcome, envelope, refs...))
				continue
			}
			payload := payloads()[info.Kind]
			if payload == nil {
				t.Fatalf("no payload of kind %s to spoil", info.Kind)
			}
			spoil(reflect.ValueOf(payload).Elem(), evil)
			parts = append(parts, part(t, id, evil, info.Kind, evil, outcome, payload, refs...))
		}
	}
	d := document(t)
	for i, s := range []string{evil, evilURL} {
		spoiled := d
		spoiled.Register.Name, spoiled.Register.DescriptionShort, spoiled.Register.Goal = "", "", ""
		spoiled.Register.Status = statusOf(i)
		spoil(reflect.ValueOf(&spoiled).Elem(), s)
		spoiled.ID = algorithm
		spoiled.Owners[0].Email, spoiled.Owners[0].Role, spoiled.Register.ContactEmail = s, s, s
		entry := tracedb.RegisterEntry{Repository: repository, Commit: commit, Source: s}
		parts = append(parts, entered(t, part(t, fmt.Sprintf("evil-entry-%d", i), "x", tracedb.KindRegister, "x", "", entry, refs...), spoiled, repository, commit))
	}
	return parts
}

// statusOf is a status that may run, and one that may not and says something else.
func statusOf(i int) string { return []string{"In gebruik", evil}[i] }

// hostilePaths are addresses at which the story of the attackers is shown, or that are themselves evil.
func hostilePaths(w *world) []string {
	q := url.QueryEscape(evil + "\x00")
	paths := []string{"/", "/register", "/register/alg-evil0001", "/service/evil/service", "/why?q=alg-evil0001", "/refusals", "/refusals?what=log", "/search",
		"/why?q=" + q, "/search?about=" + q + "&actor=" + q + "&from=" + q + "&until=" + q + "&kind=" + q + "&outcome=" + q, "/search?actor=" + q,
		"/verify?seq=" + q, "/verify?old=" + q, "/refusals?what=" + q, "/search?before=" + q, "/?lang=" + q + "&theme=" + q,
		"/register/" + url.PathEscape(evil), "/service/" + url.PathEscape(evil) + "/x", "/%2Fevil.example/x", "/record/" + url.PathEscape(evil), "/" + url.PathEscape(evil)}
	for seq := range w.log.Size() {
		paths = append(paths, fmt.Sprintf("/record/%d", seq), fmt.Sprintf("/verify?seq=%d", seq))
	}
	return paths
}

// infected names what of an attack became part of a page.
func infected(page string) []string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	scripts := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script":
			scripts++
			if n.FirstChild != nil {
				out = append(out, "a script in the page")
			}
		case "img", "iframe", "object", "embed", "style", "base", "textarea":
			if n.Data != "textarea" || !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "id" && a.Val == "old" }) {
				out = append(out, "an element "+n.Data)
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
				out = append(out, "an attribute "+a.Key)
			}
			switch a.Key {
			case "href", "src", "action", "formaction", "xlink:href":
				u, err := url.Parse(a.Val)
				if err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" || strings.HasPrefix(a.Val, "//") {
					out = append(out, "an address "+a.Val)
				}
			}
		}
	}
	if scripts != 1 {
		out = append(out, fmt.Sprintf("%d scripts", scripts))
	}
	return out
}

func TestHostile(t *testing.T) {
	w := newWorld(t, hostile(t)...)
	shown := 0
	for _, path := range hostilePaths(w) {
		for _, who := range []tracedb.Identity{auditor, {Name: evil}, {}} {
			got := w.get(who, path)
			if got.Code == http.StatusInternalServerError {
				t.Errorf("%s: 500", path)
			}
			for _, what := range infected(got.Body.String()) {
				t.Errorf("%.60s as %.12s: %s", path, who.Name, what)
			}
			if strings.Contains(got.Body.String(), "&lt;script&gt;window.owned") {
				shown++
			}
			if strings.ContainsAny(got.Body.String(), "\u202e\u2066") {
				t.Errorf("%.60s: a text may turn its direction", path)
			}
			for name, values := range got.Header() {
				if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00<") {
					t.Errorf("%.60s: the header %s was written by the attacker: %q", path, name, values)
				}
			}
		}
	}
	if shown < 60 {
		t.Errorf("only %d pages show the attack as text: what is tested here?", shown)
	}
}

// TestInfectedControl shows that an attack that came through would be seen.
func TestInfectedControl(t *testing.T) {
	const script = `<script src="/static/x/app.js" defer></script>`
	tests := []struct{ name, page, want string }{
		{"clean", script + `<p>&lt;script&gt;</p><a href="/x">x</a>`, ""},
		{"script", script + evil, "a script in the page"},
		{"picture", script + `<img src=x>`, "an element img"},
		{"handler", script + `<p onclick="x">`, "an attribute onclick"},
		{"address", script + `<a href="` + evilURL, "an address"},
		{"another host", script + `<a href="//evil.example/">`, "an address"},
		{"no script of ours", `<p>`, "0 scripts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(infected(tt.page), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("infected = %q, want %q", got, tt.want)
			}
		})
	}
}

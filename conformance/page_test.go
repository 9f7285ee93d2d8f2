package conformance_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/text"
)

func page(t *testing.T, rep conformance.Report, lang string) (raw string, root *html.Node) {
	t.Helper()
	var b bytes.Buffer
	if err := rep.HTML(&b, lang); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), root
}

// A page is mailed, archived and printed: it must not need, load or run anything.
func TestPageStandsAlone(t *testing.T) {
	for name, rep := range reports(t) {
		for _, lang := range []string{text.English, text.Dutch} {
			t.Run(name+" "+lang, func(t *testing.T) {
				raw, root := page(t, rep, lang)
				if !strings.Contains(raw, `<html lang="`+lang+`">`) {
					t.Error("it doesn't say its language")
				}
				if strings.Contains(raw, "ZgotmplZ") {
					t.Error("a value was taken for unsafe")
				}
				ids, targets := map[string]bool{}, []string{}
				for n := range root.Descendants() {
					if n.Data == "script" || n.Data == "img" || n.Data == "link" || n.Data == "iframe" {
						t.Errorf("it has <%s>", n.Data)
					}
					for _, a := range n.Attr {
						switch {
						case a.Key == "id" && ids[a.Val]:
							t.Errorf("id %s is there twice", a.Val)
						case a.Key == "id":
							ids[a.Val] = true
						case a.Key == "href" && strings.HasPrefix(a.Val, "#"), a.Key == "aria-labelledby":
							targets = append(targets, strings.TrimPrefix(a.Val, "#"))
						case a.Key == "href" || a.Key == "src" || strings.HasPrefix(a.Key, "on"):
							t.Errorf("%s=%q leads out of the page", a.Key, a.Val)
						}
					}
				}
				for _, target := range targets {
					if !ids[target] {
						t.Errorf("#%s isn't there", target)
					}
				}
			})
		}
	}
}

// What is said in one language isn't mixed with the other.
func TestPageSpeaksTwoLanguages(t *testing.T) {
	rep := reports(t)["check"]
	tests := []struct{ lang, want, not string }{
		{text.English, "holds: 1, broken: 1, not there: 1", "werkt"},
		{text.Dutch, "werkt: 1, werkt niet: 1, is er niet: 1", "not there"},
	}
	for _, tt := range tests {
		raw, _ := page(t, rep, tt.lang)
		if !strings.Contains(raw, tt.want) || strings.Contains(raw, tt.not) {
			t.Errorf("%s: want %q and no %q in\n%s", tt.lang, tt.want, tt.not, raw)
		}
	}
	for lang, want := range map[string]string{text.English: "1.5 s", text.Dutch: "1,5 s"} {
		if raw, _ := page(t, rep, lang); !strings.Contains(raw, want) {
			t.Errorf("%s: no %q", lang, want)
		}
	}
}

func TestPageKeepsHostileTextText(t *testing.T) {
	rep := reports(t)["check"]
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	rep.Platform, rep.Stopped, rep.Tested.Images[0].Image = evil, evil, evil
	rep.Controls[0].ID, rep.Controls[0].Why, rep.Controls[0].Statement = evil, evil, text.Same(evil)
	rep.Scenarios[0].Name, rep.Scenarios[0].Why, rep.Scenarios[0].Phases[0].Name = evil, evil, evil
	rep.Stopped += "\u202egnihton"
	raw, root := page(t, rep, text.English)
	if strings.Contains(raw, "\u202e") {
		t.Error("text runs backwards")
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "img") {
			t.Errorf("text became <%s>", n.Data)
		}
	}
}

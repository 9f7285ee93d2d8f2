package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// held is what a document names as what holds a claim of it, and looksHeld what is meant as such.
var (
	held      = regexp.MustCompile("^`(?:(scenario|mutation) ([a-z-]+)|([a-z][a-z0-9/-]*) (Test\\w+))`$")
	looksHeld = regexp.MustCompile("`(?:scenario|mutation)\\s[^`]*`|`[^`]*\\sTest[^`]*`")
)

// unheld names what is wrong with a document's claims: a paragraph that says what stops or shows something without
// naming what holds that, and names of what isn't there. exists says whether a file holds a text.
func unheld(doc string, exists func(pattern, text string) bool) (wrong []string) {
	for paragraph := range strings.SplitSeq(doc, "\n\n") {
		first, _, _ := strings.Cut(paragraph, "\n")
		names := looksHeld.FindAllString(paragraph, -1)
		if len(names) == 0 && (strings.HasPrefix(first, "*Stops it:*") || strings.HasPrefix(first, "*Shows it:*")) {
			wrong = append(wrong, "nothing holds: "+first)
		}
		for _, name := range names {
			there := false
			m := held.FindStringSubmatch(name)
			if m == nil {
				wrong = append(wrong, name+" can't be read")
				continue
			}
			switch m[1] {
			case "scenario":
				there = exists("scenarios/"+m[2]+".txtar", "")
			case "mutation":
				there = exists("scenarios/mutations/"+m[2]+".yaml", "")
			default:
				there = exists(m[3]+"/*_test.go", "\nfunc "+m[4]+"(")
			}
			if !there {
				wrong = append(wrong, name+" isn't there")
			}
		}
	}
	return wrong
}

func TestThreatModelNamesWhatHoldsIt(t *testing.T) {
	doc, err := os.ReadFile("../../docs/trace/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range unheld(string(doc), func(pattern, text string) bool {
		files, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(content), text) {
				return true
			}
		}
		return false
	}) {
		t.Error(wrong)
	}
}

func TestThreatModelNamesWhatHoldsItControl(t *testing.T) {
	for doc, want := range map[string]string{
		"*Stops it:* a lock (`a/b TestThere`).":  "",
		"*Stops it:* a lock.":                    "nothing holds: *Stops it:* a lock.",
		"*Shows it:* light.\n\n`scenario there`": "nothing holds: *Shows it:* light.",
		"*Shows it:* light (`scenario gone`).":   "`scenario gone` isn't there",
		"Text (`a/b TestGone`).":                 "`a/b TestGone` isn't there",
		"Text (`a/b\nTestThere`).":               "`a/b\nTestThere` can't be read",
		"*Nothing shows it.*":                    "",
	} {
		got := unheld(doc, func(pattern, text string) bool { return strings.Contains(fmt.Sprint(pattern, text), "here") })
		if strings.Join(got, "; ") != want {
			t.Errorf("%q: got %q, want %q", doc, got, want)
		}
	}
}

package text

import "testing"

func TestFillLeavesOutWhatHasNoValue(t *testing.T) {
	got := Of("[Run {run}][; tests: {tests}][; {why}].", "[Run {run}][; tests: {tests}][; {why}].").Fill(func(name string) Text {
		return map[string]Text{"tests": Of("passed", "geslaagd")}[name]
	}).Sentence()
	if want := Of("Tests: passed.", "Tests: geslaagd."); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSentenceKeepsLettersWhole(t *testing.T) {
	if got := Same("één").Sentence().NL; got != "Één" {
		t.Errorf("%q", got)
	}
}

func TestListAndJoin(t *testing.T) {
	if got := List([]string{"a", "b", "c"}); got != Of("a, b and c", "a, b en c") {
		t.Errorf("%+v", got)
	}
	if got := Join(Same("A."), Text{}, Same("B.")); got != Same("A. B.") {
		t.Errorf("%+v", got)
	}
}

func TestAccepted(t *testing.T) {
	tests := []struct{ header, want string }{
		{"", ""}, {"en-GB,en;q=0.9,nl;q=0.3", English}, {"en;q=0.4, nl-BE;q=0.8", Dutch}, {"fr, de;q=0.7", ""}, {"en;q=0", ""}, {"en;q=much", ""}, {"fr, en;q=0.1", English},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			if got, ok := Accepted(tt.header); ok != (tt.want != "") || ok && got != tt.want {
				t.Errorf("%q, %v; want %q", got, ok, tt.want)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for lang, want := range map[string]string{Dutch: "1.234.567", English: "1,234,567"} {
		if got := Number(lang, 1234567); got != want {
			t.Errorf("%s: %s, want %s", lang, got, want)
		}
	}
}

func TestLocale(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing is set", nil, English},
		{"the language", map[string]string{"LANG": "nl_BE.UTF-8"}, Dutch},
		{"another", map[string]string{"LANG": "de_DE.UTF-8"}, English},
		{"none", map[string]string{"LANG": "C.UTF-8"}, English},
		{"of messages", map[string]string{"LANG": "en_GB.UTF-8", "LC_MESSAGES": "nl_NL"}, Dutch},
		{"all goes first", map[string]string{"LC_ALL": "C", "LANG": "nl_NL.UTF-8"}, English},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Locale(func(name string) string { return tt.env[name] }); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

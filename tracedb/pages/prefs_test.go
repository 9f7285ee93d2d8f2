package pages

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/text"
)

func TestReadPrefs(t *testing.T) {
	tests := []struct {
		name, url, accept, cookies string
		want                       prefs
	}{
		{"nothing said", "/", "", "", prefs{Lang: text.Dutch}},
		{"English browser", "/", "en-GB,en;q=0.9,nl;q=0.3", "", prefs{Lang: text.English}},
		{"Dutch liked best", "/", "en;q=0.4, nl-BE;q=0.8", "", prefs{Lang: text.Dutch}},
		{"a language of neither", "/", "fr, de;q=0.7", "", prefs{Lang: text.Dutch}},
		{"refused", "/", "en;q=0", "", prefs{Lang: text.Dutch}},
		{"not a number", "/", "en;q=much", "", prefs{Lang: text.Dutch}},
		{"cookie over browser", "/", "en", "lang=nl", prefs{Lang: text.Dutch}},
		{"address over cookie", "/?lang=en", "nl", "lang=nl", prefs{Lang: text.English}},
		{"a cookie that says nothing", "/", "en", "lang=xx; theme=pink", prefs{Lang: text.English}},
		{"dark", "/?theme=dark", "", "theme=light", prefs{Lang: text.Dutch, Theme: "dark"}},
		{"as the machine is set", "/?theme=auto", "", "theme=light", prefs{Lang: text.Dutch}},
		{"not a theme", "/?theme=%22%3E", "", "theme=light", prefs{Lang: text.Dutch, Theme: "light"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.url, nil)
			r.Header.Set("Accept-Language", tt.accept)
			r.Header.Set("Cookie", tt.cookies)
			if diff := cmp.Diff(tt.want, readPrefs(r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHere(t *testing.T) {
	tests := []struct {
		name, url string
		pairs     []string
		want      string
	}{
		{"choices are dropped", "/search?lang=nl&theme=dark&kind=run", nil, "/search?kind=run"},
		{"one is added", "/search?kind=run", []string{"before", "7"}, "/search?before=7&kind=run"},
		{"one is taken away", "/search?before=7&kind=run", []string{"before", ""}, "/search?kind=run"},
		{"no other host", "//evil.example/x", nil, "/evil.example/x"},
		{"what is odd stays escaped", "/why?q=%22%3E%3Cscript%3E", nil, "/why?q=%22%3E%3Cscript%3E"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			var err error
			if r.URL, err = r.URL.Parse("http://trace.example" + tt.url); err != nil {
				t.Fatal(err)
			}
			if got := here(r, tt.pairs...); got != tt.want {
				t.Errorf("here = %q, want %q", got, tt.want)
			}
		})
	}
}

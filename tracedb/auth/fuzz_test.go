package auth

import (
	"net/url"
	"testing"
)

// FuzzLocal looks for a place to go on with after a login that a browser would find on another host.
func FuzzLocal(f *testing.F) {
	for _, seed := range []string{"/", "", "/register?a=b#c", "//evil", `/\evil`, "/%2f%2fevil", "/a//b", "/..//evil", "https://evil", "/\tevil", "/@evil", "/:80", "/?next=//evil"} {
		f.Add(seed)
	}
	base := &url.URL{Scheme: "https", Host: "trace.test", Path: "/login/callback"}
	f.Fuzz(func(t *testing.T, next string) {
		got, err := local(next)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q was taken and can't be read: %v", next, err)
		}
		to := base.ResolveReference(u)
		if to.Scheme != base.Scheme || to.Host != base.Host || to.User != nil {
			t.Fatalf("%q leads to %s", next, to)
		}
		// What browsers do before they read an address (WHATWG URL, section 4.4): backslashes are slashes,
		// and tabs and line ends aren't there.
		for i, c := range got {
			if c == '\\' || c < ' ' || i == 1 && c == '/' {
				t.Fatalf("%q holds what browsers read as another host", got)
			}
		}
	})
}

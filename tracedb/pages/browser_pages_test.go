package pages

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

func TestScreens(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	url := w.serve(auditor)
	pages := map[string]string{
		"home": "/", "service": "/service/" + whytest.Repository, "refused": "/why?q=" + whytest.Refused, "entry": "/register/" + whytest.Algorithm,
		"refusals": "/refusals", "search": "/search", "verify": "/verify?seq=7", "record": "/record/9", "why": "/why", "error": "/nothing", "register": "/register",
	}
	for _, l := range []look{
		{"desktop-light-nl", 1280, false, dutch, true},
		{"desktop-dark-en", 1280, true, english, true},
		{"narrow-light-en", 320, false, english, true},
		{"narrow-dark-nl", 320, true, dutch, true},
	} {
		for name, path := range pages {
			if err := chromedp.Run(ctx, l.set(), chromedp.Navigate(url+"/register?lang="+l.lang), chromedp.Navigate(url+path)); err != nil {
				t.Fatal(err)
			}
			screenshot(t, ctx, name+"-"+l.name)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/names"
)

// page is what a reader sees at an address.
type page struct{ name, address string }

// axe runs axe-core in a browser on every page of the platform: our own as everybody and as auditor, in both
// languages, and those of Gitea that a reader of ours gets to see. Each rule that applies to a page is a test.
func axe(ctx context.Context, w *world) ([]result, error) {
	modules, err := npm(ctx)
	if err != nil {
		return nil, err
	}
	script, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	if err != nil {
		return nil, err
	}
	tab, stop, err := browser(ctx, w.temp)
	if err != nil {
		return nil, err
	}
	defer stop()
	var all []result
	look := func(pages []page) error {
		for _, p := range pages {
			results, err := axePage(tab, string(script), p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			all = append(all, results...)
		}
		return nil
	}
	gitea, trace := w.door.URL("gitea"), w.door.URL("trace")
	if err := look([]page{
		{"start page", fmt.Sprintf("https://%s:%d/", names.Domain, w.door.Port)},
		{"trace, no such page", trace + "/none"},
		{"gitea, log in", gitea + "/user/login"},
		{"gitea, home", gitea + "/"},
	}); err != nil {
		return nil, err
	}
	public := []string{"/", "/register"}
	if err := look(w.inBoth(trace, "everybody", public)); err != nil {
		return nil, err
	}
	if err := w.logIn(ctx, tab, trace); err != nil {
		return nil, fmt.Errorf("log in as %s: %w", names.UserAuditor, err)
	}
	service := names.Organisation + "/" + names.RepoDroneService
	return all, look(w.inBoth(trace, names.UserAuditor, []string{
		"/", "/register", "/service/" + service, "/why?subject=" + service, "/record/1", "/refusals", "/search", "/verify?seq=1",
	}))
}

// inBoth names pages of the trace in Dutch and in English.
func (w *world) inBoth(base, who string, paths []string) (pages []page) {
	for _, path := range paths {
		for _, lang := range []string{"nl", "en"} {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			pages = append(pages, page{fmt.Sprintf("trace %s as %s in %s", path, who, lang), base + path + sep + "lang=" + lang})
		}
	}
	return pages
}

// browser starts Chromium and gives a tab of it.
func browser(ctx context.Context, dir string) (context.Context, func(), error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, nil, notRun("no Chromium here (Debian: chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(dir, "browser")), chromedp.DisableGPU,
		// Longer than chromedp's 20 seconds, for machines with other work.
		chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-pings", true),
		// The platform's CA is no browser's; testssl looks at certificates.
		chromedp.IgnoreCertErrors,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"),
	)
	if os.Geteuid() == 0 {
		// Chromium's sandbox refuses to run as root; the pages are our own.
		options = append(options, chromedp.NoSandbox)
	}
	ctx, stopBrowser := chromedp.NewExecAllocator(ctx, options...)
	ctx, stopTab := chromedp.NewContext(ctx)
	stop := func() { stopTab(); stopBrowser() }
	if err := chromedp.Run(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start the browser: %w", err)
	}
	return ctx, stop, nil
}

// logIn goes through Gitea's own form, as a person would.
func (w *world) logIn(ctx context.Context, tab context.Context, trace string) error {
	all, err := bootstrap.Credentials(ctx, w.which)
	if err != nil {
		return err
	}
	password := ""
	for _, c := range all {
		if c.Username == names.UserAuditor {
			password = c.Password
		}
	}
	tab, stop := context.WithTimeout(tab, 2*time.Minute)
	defer stop()
	if err := chromedp.Run(tab,
		chromedp.Navigate(trace+"/login"),
		chromedp.SendKeys(`input[name=user_name]`, names.UserAuditor, chromedp.ByQuery),
		chromedp.SendKeys(`input[name=password]`, password+"\r", chromedp.ByQuery)); err != nil {
		return err
	}
	// Gitea leads on at once, or first asks whether the trace may know who logs in. A page that is being left answers
	// nothing, so it is asked again.
	for {
		var at string
		var asked bool
		err := chromedp.Run(tab, chromedp.Location(&at), chromedp.Evaluate(`!!document.querySelector("#authorize-app")`, &asked))
		switch {
		case tab.Err() != nil:
			return fmt.Errorf("still at %s: %w", at, tab.Err())
		case err == nil && strings.HasPrefix(at, trace) && !strings.Contains(at, "/login"):
			return nil
		case err == nil && asked:
			if err := chromedp.Run(tab, chromedp.Click(`#authorize-app`, chromedp.ByQuery)); err != nil {
				return err
			}
		}
		if err := chromedp.Run(tab, chromedp.Sleep(time.Second)); err != nil {
			return err
		}
	}
}

func axePage(tab context.Context, script string, p page) ([]result, error) {
	tab, stop := context.WithTimeout(tab, 2*time.Minute)
	defer stop()
	type rule struct {
		ID, Help string
		Nodes    []struct{ Target []any }
	}
	var said struct {
		URL                string
		Passes, Violations []rule
	}
	var raw string
	if err := chromedp.Run(tab, chromedp.Navigate(p.address), chromedp.Evaluate(script, nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify({url: r.url, passes: r.passes, violations: r.violations}))`,
			&raw, awaitPromise)); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(raw), &said); err != nil {
		return nil, fmt.Errorf("read what axe said: %w", err)
	}
	if !strings.HasPrefix(said.URL, strings.SplitN(p.address, "?", 2)[0]) {
		return nil, fmt.Errorf("the browser was led to %s", said.URL)
	}
	var all []result
	for _, r := range said.Passes {
		all = append(all, result{test: p.name + ": " + r.ID})
	}
	for _, r := range said.Violations {
		var where []string
		for _, n := range r.Nodes {
			where = append(where, fmt.Sprint(n.Target...))
		}
		all = append(all, result{test: p.name + ": " + r.ID, state: failed, message: r.Help + ": " + strings.Join(where, ", ")})
	}
	return all, nil
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

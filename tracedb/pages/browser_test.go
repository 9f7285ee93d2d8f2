package pages

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api"
	"github.com/druppie/druppie-up/tracedb/auth"
)

// chromium is the browser's program; without one the tests of this file are left out, and say so.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("LEFT OUT: no Chromium here; apt-get install chromium, and the pages are tested in it")
	return ""
}

// browse starts a browser that fetches nothing by itself, and gives a context for a tab of it.
func browse(t testing.TB) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("force-color-profile", "srgb"),
	)
	if os.Geteuid() == 0 {
		// Chromium's sandbox refuses to run as root; the pages are our own.
		options = append(options, chromedp.NoSandbox)
	}
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(stop)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	t.Cleanup(func() {
		// The browser must be gone before its folder is.
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end the browser: %v", err)
		}
	})
	return ctx
}

// reader records reads alone; nothing else is asked of it.
type reader struct{ *reads }

func (reader) Append(context.Context, tracedb.Identity, []tracedb.Draft) ([]tracedb.Receipt, error) {
	return nil, tracedb.ErrUnavailable
}

// serve serves the pages behind the real API, to whoever who is.
func (w *world) serve(who tracedb.Identity) string {
	w.t.Helper()
	done := make(chan struct{})
	handler := api.New(api.Options{Log: w.log, Ingester: reader{w.reads}, Register: w.catalog, VerifierKey: w.site.o.VerifierKey, Pages: w.site, Done: done})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(rw, r.WithContext(auth.With(r.Context(), who)))
	}))
	w.t.Cleanup(func() {
		close(done)
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// look is how a reader looks at a page.
type look struct {
	name   string
	width  int64
	dark   bool
	lang   string
	script bool
}

// set makes the tab look that way.
func (l look) set() chromedp.Action {
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	return chromedp.Tasks{
		emulation.SetDeviceMetricsOverride(l.width, 900, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}),
		emulation.SetFocusEmulationEnabled(true),
		emulation.SetScriptExecutionDisabled(!l.script),
	}
}

// screenshot keeps the whole page as a picture in the folder that TRACEDB_SCREENSHOTS names; without
// it no pictures are taken.
func screenshot(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("TRACEDB_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var png []byte
	if err := chromedp.Run(ctx, chromedp.FullScreenshot(&png, 100)); err != nil {
		t.Fatalf("picture of %s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

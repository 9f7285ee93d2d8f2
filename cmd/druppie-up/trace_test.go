package main

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// newTrace is a trace with a story in it, served as the real one is.
func newTrace(t *testing.T) *httptest.Server {
	t.Helper()
	l := logtest.New(t, logtest.Now(whytest.Clock()))
	whytest.Fill(t, l)
	sums, err := catalog.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	const auditor, ciso = "system:serviceaccount:druppie-system:auditor", "system:serviceaccount:druppie-system:ciso"
	cluster := authtest.NewCluster(t, map[string]authtest.Token{
		"an-auditors-token": {User: auditor, Audiences: []string{"tracedb"}}, "a-cisos-token": {User: ciso, Audiences: []string{"tracedb"}},
	})
	client, err := dynamic.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	reviewer, err := auth.NewReviewer(client, "tracedb", []auth.Grant{
		{Subject: auditor, Roles: []tracedb.Role{tracedb.RoleAuditor}},
		{Subject: ciso, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindException}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(api.New(api.Options{
		Log: l, Ingester: ingest.New(ingest.Options{Log: l, Catalog: sums}), Register: sums,
		Auth: auth.New(auth.Options{Tokens: reviewer}), VerifierKey: logtest.VerifierKey(),
	}))
	t.Cleanup(server.Close)
	return server
}

// TestTraceScripts runs the trace's commands as users do, against a trace that is served.
func TestTraceScripts(t *testing.T) {
	server := newTrace(t)
	_, other, err := note.GenerateKey(rand.Reader, logtest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "trace"),
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			for name, value := range map[string]string{
				"HOME": home, "NO_COLOR": "1", "XDG_CACHE_HOME": "", "XDG_STATE_HOME": "",
				"DOCKER_HOST": "unix://" + filepath.Join(e.WorkDir, "no-engine.sock"),
				"URL":         server.URL, "IMAGE": whytest.Image, "REFUSED": whytest.Refused, "POD": whytest.Pod,
				"TOMORROW": time.Now().AddDate(0, 0, 1).Format(time.DateOnly),
			} {
				e.Setenv(name, value)
			}
			for name, text := range map[string][]byte{
				"ca.crt":         pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
				"token":          []byte("an-auditors-token\n"),
				"ciso-token":     []byte("a-cisos-token\n"),
				"bad-token":      []byte("not-a-token\n"),
				"checkpoint.pub": []byte(logtest.VerifierKey() + "\n"),
				"other.pub":      []byte(other + "\n"),
			} {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), text, 0o600); err != nil {
					return err
				}
			}
			return os.Mkdir(home, 0o755)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// TestWriteChain pins how a chain looks to people.
func TestWriteChain(t *testing.T) {
	l := logtest.New(t, logtest.Now(whytest.Clock()))
	whytest.Fill(t, l)
	tests := []struct{ name, subject, lang string }{
		{"why-image.en", whytest.Image, text.English},
		{"why-image.nl", whytest.Image, text.Dutch},
		{"why-refused.en", whytest.Refused, text.English},
		{"why-refused.nl", whytest.Refused, text.Dutch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref, err := why.Subject(tt.subject)
			if err != nil {
				t.Fatal(err)
			}
			c, err := why.Ask(t.Context(), l, ref, why.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c.Checkpoint = "druppie.io/trace/test\n41\nAAAA=\n\n— druppie.io/trace/test BBBB=\n"
			var out bytes.Buffer
			if err := writeChain(&out, c, tt.lang, true); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", tt.name+".golden")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// TestWriteChainHostile feeds what a trace that isn't ours could send to a terminal.
func TestWriteChainHostile(t *testing.T) {
	evil := "\x1b]0;owned\x07\x1b[2Kfine\r\n\u202etxt.exe"
	c := &why.Chain{Answer: evil, Checkpoint: evil, Links: []why.Link{{Step: evil, Title: evil, Entry: tracedb.Entry{Actor: evil}}}, Gaps: []why.Gap{{Step: evil, What: evil}}}
	var out bytes.Buffer
	if err := writeChain(&out, c, text.English, false); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.ContainsAny(got, "\x1b\x07\r\u202e") {
		t.Errorf("control characters come through: %q", got)
	}
}

// TestDocumentedCommands runs every command of the trace's documents as far as flags and arguments go.
func TestDocumentedCommands(t *testing.T) {
	files, err := filepath.Glob("../../docs/trace/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	command := regexp.MustCompile("(?m)(?:^|`)druppie-up (trace [^`|\n]+)")
	found := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range command.FindAllStringSubmatch(string(raw), -1) {
			found++
			args := strings.Fields(m[1])
			cmd, rest, err := newRootCmd(&app{}).Find(args)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil || !cmd.Runnable() || cmd.HasSubCommands() {
				t.Errorf("%s: druppie-up %s: %v", filepath.Base(file), m[1], err)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands found", found)
	}
}

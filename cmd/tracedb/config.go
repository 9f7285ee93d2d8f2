package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// config is the service's configuration, config.yaml. It holds no secret: those are in files that it
// names. Keys that are left out switch their part off, but for those that check says are needed.
type config struct {
	Name       string           `json:"name"`    // of the platform
	Store      string           `json:"store"`   // sqlite:<path>, or postgres with dsnFile
	DSNFile    string           `json:"dsnFile"` // holds postgres://…
	Listen     string           `json:"listen"`  // https
	Health     string           `json:"health"`  // plain http: /healthz, /readyz, /metrics
	TLS        tlsConfig        `json:"tls"`
	CA         string           `json:"ca"`         // the platform's, for Gitea
	SigningKey string           `json:"signingKey"` // of checkpoints, as keygen writes it
	Keyring    []attest.KeyFile `json:"keyring"`    // that attestations are signed with
	Audience   string           `json:"audience"`   // of ServiceAccount tokens
	Kubeconfig string           `json:"kubeconfig"` // of the cluster; empty: the one that the service runs in

	AdmissionTokenFile     string `json:"admissionTokenFile"`
	GiteaWebhookSecretFile string `json:"giteaWebhookSecretFile"`
	SessionKeyFile         string `json:"sessionKeyFile"`

	Gitea struct {
		URL                  string `json:"url"`       // as the service reaches it
		PublicURL            string `json:"publicURL"` // as browsers reach it
		Owner                string `json:"owner"`     // the organisation
		CheckpointRepository string `json:"checkpointRepository"`
		TokenFile            string `json:"tokenFile"`
	} `json:"gitea"`
	OAuth struct {
		ClientIDFile     string   `json:"clientIDFile"`
		ClientSecretFile string   `json:"clientSecretFile"`
		RedirectURL      string   `json:"redirectURL"`
		Auditors         []string `json:"auditors"` // users of Gitea
	} `json:"oauth"`
	Tekton struct {
		Namespace string   `json:"namespace"`
		Pipelines []string `json:"pipelines"` // whose runs are recorded; empty: release
	} `json:"tekton"`
	Flux struct {
		Namespace string `json:"namespace"`
	} `json:"flux"`
	Tenants struct {
		Selector string `json:"selector"`
	} `json:"tenants"` // of namespaces
	Roles []auth.Grant `json:"roles"`
}

type tlsConfig struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// loadConfig reads and checks a configuration. Errors name the key and what to do.
func loadConfig(file string) (*config, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, ui.WithHint(ui.Usage(fmt.Errorf("read the configuration: %w", err)), "--config names the service's config.yaml")
	}
	var c config
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return nil, ui.WithHint(ui.Usage(fmt.Errorf("%s: %w", file, err)), "docs/trace/operating.md lists the keys; one that is misspelled would be missed in silence, so unknown ones are refused")
	}
	if err := c.check(); err != nil {
		return nil, ui.WithHint(ui.Usage(fmt.Errorf("%s: %w", file, err)), "each line names the key and what is wrong with it")
	}
	return &c, nil
}

// check names everything that is wrong, not only the first.
func (c *config) check() error {
	var errs []error
	say := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	if !names.IsPlatform(c.Name) {
		say("name", "%q isn't the name of a platform: %s", c.Name, names.PlatformRule)
	}
	switch path, sqlite := strings.CutPrefix(c.Store, "sqlite:"); {
	case sqlite && path == "":
		say("store", "sqlite: wants a path behind it")
	case sqlite && c.DSNFile != "":
		say("dsnFile", "is for store: postgres")
	case c.Store == "postgres" && c.DSNFile == "":
		say("dsnFile", "must name the file that holds postgres://…")
	case !sqlite && c.Store != "postgres":
		say("store", "must be sqlite:<path> or postgres")
	}
	for key, addr := range map[string]string{"listen": c.Listen, "health": c.Health} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			say(key, "%q is no address to listen on, such as :8443", addr)
		}
	}
	for key, file := range map[string]string{"tls.cert": c.TLS.Cert, "tls.key": c.TLS.Key, "signingKey": c.SigningKey} {
		if file == "" {
			say(key, "must name a file")
		}
	}
	if c.Audience == "" {
		say("audience", "must name the audience of tokens, such as tracedb: without it every token of the cluster would count")
	}
	seen := map[string]bool{}
	for i, g := range c.Roles {
		if err := g.Check(); err != nil {
			errs = append(errs, fmt.Errorf("roles[%d].%w", i, err))
		}
		if seen[g.Subject] {
			say(fmt.Sprintf("roles[%d].subject", i), "%s has an entry already: one names all of its roles", g.Subject)
		}
		seen[g.Subject] = true
	}
	for key, value := range map[string]string{"gitea.url": c.Gitea.URL, "gitea.publicURL": c.Gitea.PublicURL, "oauth.redirectURL": c.OAuth.RedirectURL} {
		if value == "" {
			continue
		}
		if u, err := url.Parse(value); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			say(key, "%q is no https address without a user", redact.Value(value))
		}
	}
	if owner, name, ok := strings.Cut(c.Gitea.CheckpointRepository, "/"); c.Gitea.CheckpointRepository != "" && (!ok || owner == "" || name == "" || strings.Contains(name, "/")) {
		say("gitea.checkpointRepository", "%q isn't owner/name", c.Gitea.CheckpointRepository)
	}
	for i, k := range c.Keyring {
		if k.Name == "" || k.File == "" {
			say(fmt.Sprintf("keyring[%d]", i), "wants a name and a file")
		}
	}
	return errors.Join(errs...)
}

// dsn is the database's address. It may hold a password, so it isn't shown.
func (c *config) dsn() (string, error) {
	if c.Store != "postgres" {
		return c.Store, nil
	}
	raw, err := os.ReadFile(c.DSNFile)
	if err != nil {
		return "", fmt.Errorf("dsnFile: %w", err)
	}
	dsn := strings.TrimSpace(string(raw))
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return "", errors.New("dsnFile: the file doesn't hold postgres://…")
	}
	return dsn, nil
}

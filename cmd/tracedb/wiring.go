package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/ingest"
)

// wiring gives each part what it needs. A part whose files or cluster aren't there is off: the log and
// /readyz say so, since a platform may do without it, but nobody should have to guess. What can't be wired is
// nil, and err is the first reason that isn't that it is off.
type wiring struct {
	config   *config
	server   *server
	ingester *ingest.Ingester
	logger   *slog.Logger
	kube     dynamic.Interface // nil: there is no cluster
	err      error
}

func newWiring(c *config, s *server, in *ingest.Ingester, o environment) *wiring {
	w := &wiring{config: c, server: s, ingester: in, logger: o.logger}
	if kube, err := clusterConfig(c, o.kube); err != nil {
		w.fail("find the cluster", err)
	} else if kube != nil {
		w.kube, err = dynamic.NewForConfig(kube)
		w.fail("talk to the cluster", err)
	}
	return w
}

// fail keeps the first error, and says whether there is one.
func (w *wiring) fail(what string, err error) bool {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", what, err)
	}
	return err != nil
}

// off records that a part isn't there.
func (w *wiring) off(name, why string) {
	w.logger.Warn("this part is off", "part", name, "why", why)
	w.server.health.off = append(w.server.health.off, part{Name: name, Detail: why})
}

// noCluster is why parts are off that need the cluster.
const noCluster = "there is no cluster: no kubeconfig is named, and this is no pod"

// secret opens a secret's file. One that isn't named or isn't there leaves its part off; one that is
// there and can't be used is an error.
func (w *wiring) secret(part, key, name string) *auth.File {
	if name == "" {
		w.off(part, "the configuration has no "+key)
		return nil
	}
	f, err := auth.NewFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		w.off(part, key+": "+name+" isn't there")
		return nil
	}
	if w.fail(key, err) {
		return nil
	}
	return f
}

// secretValue is what a secret's file holds.
func (w *wiring) secretValue(part, key, name string) []byte {
	f := w.secret(part, key, name)
	if f == nil {
		return nil
	}
	value, err := f.Value()
	if w.fail(key, err) {
		return nil
	}
	return []byte(value)
}

// clusterConfig finds the Kubernetes API; nil if there is none.
func clusterConfig(c *config, kube *rest.Config) (*rest.Config, error) {
	var err error
	switch {
	case kube != nil:
	case c.Kubeconfig != "":
		kube, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	default:
		if kube, err = rest.InClusterConfig(); errors.Is(err, rest.ErrNotInCluster) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	kube = rest.CopyConfig(kube)
	kube.UserAgent = "tracedb"
	// Token reviews come with the requests of others: the client's default of 5 a second is for one user.
	kube.QPS, kube.Burst = 50, 100
	return kube, nil
}

// errorPage answers an error with a page.
type errorPage func(w http.ResponseWriter, r *http.Request, err error)

// authentication wires who may ask. What goes wrong with a login is answered by fail.
func (w *wiring) authentication(fail errorPage) (*auth.Authenticator, *auth.Login) {
	o := auth.Options{Logger: w.logger, AdmissionToken: w.secret("admission token", "admissionTokenFile", w.config.AdmissionTokenFile)}
	if w.kube == nil {
		w.off("service accounts", noCluster)
	} else {
		var err error
		o.Tokens, err = auth.NewReviewer(w.kube, w.config.Audience, w.config.Roles, nil)
		w.fail("service accounts", err)
	}
	login := w.login(&o, fail)
	return auth.New(o), login
}

func (w *wiring) login(o *auth.Options, fail errorPage) *auth.Login {
	const name = "login"
	c := w.config
	if c.Gitea.URL == "" || c.Gitea.PublicURL == "" || c.OAuth.RedirectURL == "" {
		w.off(name, "the configuration lacks one of gitea.url, gitea.publicURL and oauth.redirectURL")
		return nil
	}
	var files [3]*auth.File
	for i, f := range []struct{ key, file string }{
		{"sessionKeyFile", c.SessionKeyFile}, {"oauth.clientIDFile", c.OAuth.ClientIDFile}, {"oauth.clientSecretFile", c.OAuth.ClientSecretFile},
	} {
		if files[i] = w.secret(name, f.key, f.file); files[i] == nil {
			return nil
		}
	}
	sessions, err := auth.NewSessions(files[0], c.OAuth.Auditors, nil)
	if w.fail("sessionKeyFile", err) {
		return nil
	}
	login, err := auth.NewLogin(auth.LoginOptions{
		PublicURL: c.Gitea.PublicURL, URL: c.Gitea.URL, RedirectURL: c.OAuth.RedirectURL,
		ClientID: files[1], ClientSecret: files[2], HTTP: w.http(), Sessions: sessions, Fail: fail,
	})
	w.fail("oauth", err)
	o.Sessions = sessions
	return login
}

// http is newHTTPClient's client; after an error one that nobody will use.
func (w *wiring) http() *http.Client {
	c, err := newHTTPClient(w.config.CA)
	if w.fail("ca", err) {
		return &http.Client{}
	}
	return c
}

// newHTTPClient is a client that trusts the CA of that file, and nobody else if there is one.
func newHTTPClient(ca string) (*http.Client, error) {
	o := httpclient.Options{SystemCAs: ca == "", Proxy: true, Timeout: 30 * time.Second}
	if ca != "" {
		var err error
		if o.CA, err = httpclient.ReadCA(ca); err != nil {
			return nil, err
		}
	}
	return httpclient.New(o)
}

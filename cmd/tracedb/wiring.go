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
// /readyz say so, since a platform may do without it, but nobody should have to guess.
type wiring struct {
	config   *config
	server   *server
	ingester *ingest.Ingester
	logger   *slog.Logger

	kube *rest.Config // nil: there is no cluster
}

// off notes that a part isn't there.
func (w *wiring) off(name, why string) {
	w.logger.Warn("this part is off", "part", name, "why", why)
	w.server.health.off = append(w.server.health.off, part{Name: name, Detail: why})
}

// secret opens a secret's file. One that isn't named or isn't there leaves its part off; one that is
// there and can't be used is an error.
func (w *wiring) secret(part, key, name string) (*auth.File, error) {
	if name == "" {
		w.off(part, "the configuration has no "+key)
		return nil, nil
	}
	f, err := auth.NewFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		w.off(part, key+": "+name+" isn't there")
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return f, nil
}

// secretValue is what a secret's file holds; nil if its part is off.
func (w *wiring) secretValue(part, key, name string) ([]byte, error) {
	f, err := w.secret(part, key, name)
	if err != nil || f == nil {
		return nil, err
	}
	value, err := f.Value()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return []byte(value), nil
}

// cluster finds the Kubernetes API.
func (w *wiring) cluster(given *rest.Config) (err error) {
	switch {
	case given != nil:
		w.kube = given
	case w.config.Kubeconfig != "":
		if w.kube, err = clientcmd.BuildConfigFromFlags("", w.config.Kubeconfig); err != nil {
			return fmt.Errorf("kubeconfig: %w", err)
		}
	default:
		if w.kube, err = rest.InClusterConfig(); errors.Is(err, rest.ErrNotInCluster) {
			return nil
		} else if err != nil {
			return fmt.Errorf("find the cluster: %w", err)
		}
	}
	w.kube = rest.CopyConfig(w.kube)
	w.kube.UserAgent = "tracedb"
	// Token reviews come with the requests of others: the client's default of 5 a second is for one user.
	w.kube.QPS, w.kube.Burst = 50, 100
	return nil
}

// errorPage answers an error with a page.
type errorPage func(w http.ResponseWriter, r *http.Request, err error)

// authentication wires who may ask. What goes wrong with a login is answered by fail.
func (w *wiring) authentication(fail errorPage) (*auth.Authenticator, *auth.Login, error) {
	o := auth.Options{Logger: w.logger}
	var err error
	if o.AdmissionToken, err = w.secret("admission token", "admissionTokenFile", w.config.AdmissionTokenFile); err != nil {
		return nil, nil, err
	}
	if w.kube == nil {
		w.off("service accounts", "there is no cluster: no kubeconfig is named, and this is no pod")
	} else {
		client, err := dynamic.NewForConfig(w.kube)
		if err != nil {
			return nil, nil, fmt.Errorf("talk to the cluster: %w", err)
		}
		if o.Tokens, err = auth.NewReviewer(client, w.config.Audience, w.config.Roles, nil); err != nil {
			return nil, nil, err
		}
	}
	login, err := w.login(&o, fail)
	if err != nil {
		return nil, nil, err
	}
	return auth.New(o), login, nil
}

func (w *wiring) login(o *auth.Options, fail errorPage) (*auth.Login, error) {
	const name = "login"
	c := w.config
	if c.Gitea.URL == "" || c.Gitea.PublicURL == "" || c.OAuth.RedirectURL == "" {
		w.off(name, "the configuration lacks one of gitea.url, gitea.publicURL and oauth.redirectURL")
		return nil, nil
	}
	var files [3]*auth.File
	for i, f := range []struct{ key, file string }{
		{"sessionKeyFile", c.SessionKeyFile}, {"oauth.clientIDFile", c.OAuth.ClientIDFile}, {"oauth.clientSecretFile", c.OAuth.ClientSecretFile},
	} {
		var err error
		if files[i], err = w.secret(name, f.key, f.file); err != nil || files[i] == nil {
			return nil, err
		}
	}
	sessions, err := auth.NewSessions(files[0], c.OAuth.Auditors, nil)
	if err != nil {
		return nil, fmt.Errorf("sessionKeyFile: %w", err)
	}
	client, err := w.http()
	if err != nil {
		return nil, err
	}
	login, err := auth.NewLogin(auth.LoginOptions{
		PublicURL: c.Gitea.PublicURL, URL: c.Gitea.URL, RedirectURL: c.OAuth.RedirectURL,
		ClientID: files[1], ClientSecret: files[2], HTTP: client, Sessions: sessions, Fail: fail,
	})
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	o.Sessions = sessions
	return login, nil
}

// http is a client that trusts the platform's CA, and nobody else if there is one.
func (w *wiring) http() (*http.Client, error) {
	o := httpclient.Options{SystemCAs: w.config.CA == "", Proxy: true, Timeout: 30 * time.Second}
	var err error
	if w.config.CA != "" {
		if o.CA, err = httpclient.ReadCA(w.config.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	return httpclient.New(o)
}

// Package trust has what the pipeline's steps are given to connect with: the
// platform's CA and credentials, from files. It refuses empty ones. How a
// connection is made is httpclient's matter.
package trust

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/druppie/druppie-up/internal/httpclient"
)

// CA is the platform's certificate authority, as PEM.
type CA []byte

// ReadCA reads a CA from a file and checks that there is a certificate in it.
func ReadCA(path string) (CA, error) { return httpclient.ReadCA(path) }

// Transport gives an http transport that trusts this CA alone. It takes no proxy:
// everything that a step talks to is inside the cluster.
func (ca CA) Transport() (http.RoundTripper, error) {
	return httpclient.Transport(httpclient.Options{CA: ca})
}

// Credentials are a name and a secret, from a folder that a Kubernetes Secret
// is mounted at.
type Credentials struct{ Username, Secret string }

// ReadCredentials reads the files username and key (password, token) in dir.
func ReadCredentials(dir, key string) (Credentials, error) {
	user, err := os.ReadFile(dir + "/username")
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	secret, err := os.ReadFile(dir + "/" + key)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	c := Credentials{strings.TrimSpace(string(user)), strings.TrimSpace(string(secret))}
	if c.Username == "" || c.Secret == "" {
		return Credentials{}, fmt.Errorf("credentials in %s are empty", dir)
	}
	return c, nil
}

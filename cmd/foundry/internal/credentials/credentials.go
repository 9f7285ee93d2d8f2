// Package credentials has what the pipeline's steps are given to connect with: the platform's CA and the files
// of a Secret. It refuses empty ones. How a connection is made is httpclient's matter.
package credentials

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/druppie/druppie-up/internal/httpclient"
)

// CA is the platform's certificate authority, as PEM.
type CA []byte

// Transport gives an http transport that trusts this CA alone. It takes no proxy:
// everything that a step talks to is inside the cluster.
func (ca CA) Transport() (http.RoundTripper, error) {
	return httpclient.Transport(httpclient.Options{CA: ca})
}

// Basic are a user name and a password or token.
type Basic struct{ Username, Password string }

// ReadBasic reads the files username and key (password, token) in the folder that a Secret is mounted at.
func ReadBasic(dir, key string) (Basic, error) {
	var values [2]string
	for i, name := range []string{"username", key} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return Basic{}, fmt.Errorf("read credentials: %w", err)
		}
		if values[i] = strings.TrimSpace(string(data)); values[i] == "" {
			return Basic{}, fmt.Errorf("credentials in %s are empty", dir)
		}
	}
	return Basic{values[0], values[1]}, nil
}

package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the service's TLS certificate. It is read again when its files change, so that a
// renewed one counts without a restart; one that can't be read leaves the old one in use.
type certificate struct {
	files  tlsConfig
	logger *slog.Logger

	mu      sync.Mutex
	checked time.Time
	state   [2]time.Time
	cert    *tls.Certificate
}

// checkEvery bounds how often the files are checked for a change.
const checkEvery = time.Second

func loadCertificate(files tlsConfig, logger *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, logger: logger}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) load() error {
	state, err := c.stat()
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.cert, c.state = &cert, state
	return nil
}

func (c *certificate) stat() (state [2]time.Time, err error) {
	for i, name := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return state, err
		}
		state[i] = info.ModTime()
	}
	return state, nil
}

// get is tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= checkEvery {
		c.checked = now
		if state, err := c.stat(); err != nil || state != c.state {
			if err := c.load(); err != nil {
				c.logger.Error("the certificate changed and can't be read; the old one stays in use", "error", err)
			}
		}
	}
	return c.cert, nil
}

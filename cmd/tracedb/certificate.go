package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// certificate is the service's TLS certificate. Its files are read again from time to time, so that a
// renewed one counts without a restart; one that can't be read leaves the old one in use.
type certificate struct {
	files  tlsConfig
	logger *slog.Logger

	mu     sync.Mutex
	loaded time.Time
	cert   tls.Certificate
}

const reloadInterval = time.Second

func loadCertificate(files tlsConfig, logger *slog.Logger) (*certificate, error) {
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &certificate{files: files, logger: logger, loaded: time.Now(), cert: cert}, nil
}

// get is tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.loaded) >= reloadInterval {
		c.loaded = now
		cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
		if err != nil {
			c.logger.Error("the certificate changed and can't be read; the old one stays in use", "error", err)
		} else {
			c.cert = cert
		}
	}
	cert := c.cert
	return &cert, nil
}

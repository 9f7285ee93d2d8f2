package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb/admission"
	"github.com/druppie/druppie-up/tracedb/api"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/pages"
)

const (
	// drainIn is how long requests that began may take to end when the service stops. With what
	// admission takes to record what waits, and lastIn, it stays below the 30 seconds that Kubernetes gives a pod.
	drainIn = 10 * time.Second
	// lastIn is how long the last checkpoint may take to be published.
	lastIn = 8 * time.Second
)

// environment is what the service finds around it; tests give it their own.
type environment struct {
	logger *slog.Logger
	kube   *rest.Config // nil: what the configuration or the pod says
}

// server is the running service.
type server struct {
	logger         *slog.Logger
	log            *log.Log
	health         *health
	https          *http.Server
	plain          *http.Server
	listener       net.Listener // of https
	healthListener net.Listener
	done           chan struct{} // closed: streams end
	// loops run until their context ends, and end the service if they fail.
	loops []loop
	// last runs when all loops have ended.
	last func(context.Context) error
}

type loop struct {
	name string
	run  func(context.Context) error
}

// start opens the log, wires all parts and listens. Nothing is answered before run.
func start(ctx context.Context, c *config, o environment) (_ *server, err error) {
	signer, verifier, err := readSigner(c.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("signingKey: %w", err)
	}
	if want := names.TraceOrigin(c.Name); signer.Name() != want {
		return nil, fmt.Errorf("signingKey: the key is that of %s, and the log is %s", signer.Name(), want)
	}
	keyring, err := attest.LoadKeyring(c.Keyring)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	cert, err := loadCertificate(c.TLS, o.logger)
	if err != nil {
		return nil, err
	}
	dsn, err := c.dsn()
	if err != nil {
		return nil, err
	}
	l, err := log.Open(ctx, log.Options{DSN: dsn, Origin: signer.Name(), Signer: signer})
	if err != nil {
		return nil, err
	}
	if ahead := l.Ahead(); ahead > time.Minute {
		o.logger.Warn("the log's time is ahead of the clock, and stands still until that has caught up", "by", ahead.String())
	}
	s := &server{logger: o.logger, log: l, health: newHealth(l), done: make(chan struct{}), last: func(context.Context) error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// Loading the catalog reads every image's facts, of which little is kept: until it is loaded the heap
	// is kept close to what is in use, and then given back. Later there may be more garbage than Go allows by
	// itself: a heap this small would be collected several times a second, and whoever asks for admission waits
	// for that. GOGC in the environment still says otherwise.
	share := debug.SetGCPercent(25)
	if _, ok := os.LookupEnv("GOGC"); !ok {
		share = 150
	}
	defer func() { debug.SetGCPercent(share) }()
	cat, err := catalog.Open(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("load the catalog: %w", err)
	}
	cat.SetLogger(o.logger)
	ingester := ingest.New(ingest.Options{Log: l, Keyring: keyring, Catalog: cat, Logger: o.logger})
	if err := ingester.RecordKeyring(ctx); err != nil {
		return nil, err
	}
	decides := admission.New(admission.Options{Catalog: cat, Records: ingester, Logger: o.logger})
	w := newWiring(c, s, ingester, o)
	site := pages.New(pages.Options{Reader: l, Catalog: cat, Ingester: ingester, VerifierKey: verifier, Name: c.Name, Logger: o.logger})
	authenticator, login := w.authentication(site.Fail)
	hook := w.collectors()
	w.publisher(verifier)
	if w.err != nil {
		return nil, w.err
	}
	s.health.records(ingester, decides)
	s.loops = append(s.loops, loop{"catalog", cat.Run}, loop{"admission", decides.Run}, loop{"retention", s.retain})
	handler := api.New(api.Options{
		Log: l, Ingester: ingester, Admission: decides, Register: cat, Auth: authenticator, Login: login,
		VerifierKey: verifier, Keys: keyring.Keys,
		Gitea: hook, Pages: site,
		Logger: o.logger, Metrics: s.health.registry, Done: s.done,
	})
	debug.FreeOSMemory()
	return s, s.listen(ctx, c, cert, handler)
}

func (s *server) listen(ctx context.Context, c *config, cert *certificate, handler http.Handler) error {
	var lc net.ListenConfig
	var err error
	if s.listener, err = lc.Listen(ctx, "tcp", c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if s.healthListener, err = lc.Listen(ctx, "tcp", c.Health); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	errorLog := slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug)
	s.https = &http.Server{
		Handler: handler, ErrorLog: errorLog,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	s.plain = &http.Server{
		Handler: s.health.handler(), ErrorLog: errorLog,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	return nil
}

// run answers until ctx ends or something fails, and then ends everything in order.
func (s *server) run(ctx context.Context) error {
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	group, failed := errgroup.WithContext(loops)
	for _, l := range s.loops {
		group.Go(func() error {
			err := l.run(failed)
			if err != nil && failed.Err() == nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			return nil
		})
	}
	serve := func(run func() error) {
		group.Go(func() error {
			if err := run(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	serve(func() error { return s.https.ServeTLS(s.listener, "", "") })
	serve(func() error { return s.plain.Serve(s.healthListener) })
	s.health.ready.Store(true)
	s.logger.Info("serving", "address", s.listener.Addr().String(), "records", s.log.Size())
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	err := s.drain()
	// Whatever the requests left to be recorded is recorded now.
	stopLoops()
	err = errors.Join(group.Wait(), err)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastIn)
	defer cancel()
	if e := s.last(last); e != nil {
		s.logger.Error("the last checkpoint was not published; the next start does it", "error", e)
	}
	err = errors.Join(err, s.close())
	s.logger.Info("stopped", "records", s.log.Size())
	return err
}

// drain takes no new requests and waits for those that began. Health is answered until the end.
func (s *server) drain() error {
	s.health.ready.Store(false)
	close(s.done)
	ctx, cancel := context.WithTimeout(context.Background(), drainIn)
	defer cancel()
	err := s.https.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), s.https.Close())
	}
	return errors.Join(err, s.plain.Close())
}

// close gives back what start took.
func (s *server) close() error {
	var errs []error
	for _, l := range []net.Listener{s.listener, s.healthListener} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, s.log.Close())...)
}

// retain disposes of payloads whose term is over, once a day.
func (s *server) retain(ctx context.Context) error {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-timer.C:
			receipts, err := s.log.Dispose(ctx, now)
			if err != nil && ctx.Err() == nil {
				s.logger.Error("dispose of payloads whose term was over", "error", err)
			}
			for _, r := range receipts {
				s.logger.Info("payloads were disposed of after their term", "record", r.Seq)
			}
			timer.Reset(24 * time.Hour)
		}
	}
}

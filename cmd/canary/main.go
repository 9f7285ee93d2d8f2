// Command canary shows whether a cluster enforces its network policies. One of it serves at several ports; another,
// on each node, says that it is ready only while it reaches the one that the policies allow and none of those that
// they don't. It owns that judgement; it refuses to know who enforces, and changes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	period   = 5 * time.Second
	patience = 2 * time.Second // for a connection; refused ones mostly fail at once
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Args[1:]); err != nil {
		log.Error("canary ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, args []string) error {
	flags := flag.NewFlagSet("canary", flag.ContinueOnError)
	serve := flags.String("serve", "", "addresses to answer at, with commas between")
	allowed := flags.String("allowed", "", "address that must be reached")
	refused := flags.String("refused", "", "addresses that must not be, with commas between")
	ready := flags.String("ready", "", "address that tells readiness")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *serve != "" {
		return listen(ctx, strings.Split(*serve, ","), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	if *allowed == "" || *refused == "" || *ready == "" {
		return errors.New("say either --serve, or --allowed, --refused and --ready")
	}
	j := &judge{allowed: *allowed, refused: strings.Split(*refused, ","), why: errors.New("nothing was tried yet")}
	go j.keep(ctx, log)
	return listen(ctx, []string{*ready}, j)
}

// listen answers at each address until ctx ends; all of them, or it is an error.
func listen(ctx context.Context, addresses []string, h http.Handler) error {
	failed := make(chan error, len(addresses))
	for _, a := range addresses {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
		context.AfterFunc(ctx, func() { _ = server.Close() }) // it ends in any case
		go func() { failed <- server.Serve(l) }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// judge tells over HTTP what came of the last try: 200, or 503 with why not.
type judge struct {
	allowed string
	refused []string

	mu  sync.Mutex
	why error
}

func (j *judge) keep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		why := j.try(ctx)
		j.mu.Lock()
		changed := fmt.Sprint(why) != fmt.Sprint(j.why)
		j.why = why
		j.mu.Unlock()
		if changed {
			log.Info("tried", "enforced", why == nil, "why", why)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// try is nil if exactly what the policies allow passes. What can't be reached at all shows nothing, so what is
// allowed is tried before and after.
func (j *judge) try(ctx context.Context) error {
	if err := dial(ctx, j.allowed); err != nil {
		return fmt.Errorf("the connection that the policies allow doesn't pass: %w", err)
	}
	for _, a := range j.refused {
		if dial(ctx, a) == nil {
			return fmt.Errorf("NetworkPolicies are NOT enforced: a connection to %s passed, which they don't allow", a)
		}
	}
	if err := dial(ctx, j.allowed); err != nil {
		return fmt.Errorf("the connection that the policies allow doesn't pass: %w", err)
	}
	return nil
}

func dial(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (j *judge) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.why != nil {
		http.Error(w, j.why.Error(), http.StatusServiceUnavailable)
	}
}

// Package server starts a private PostgreSQL server from the distribution's package, for tests and
// benchmarks: in a folder of its own, on a Unix socket in it. It owns that folder and that process; it
// refuses to listen on a network, to use a server that is there, and to run as root.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrAbsent says that this machine has no PostgreSQL server program.
var ErrAbsent = errors.New("no PostgreSQL server program is installed (/usr/lib/postgresql/*/bin)")

// superuser is the database role that everything runs as.
const superuser = "tracedb"

// Server is a running server.
type Server struct {
	dir, bin  string
	as        *syscall.Credential
	process   *exec.Cmd
	ended     chan struct{}
	log       bytes.Buffer
	databases int
}

// Start makes and starts a server in a temporary folder. Settings are lines for postgresql.conf. Close
// ends it.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	return StartIn(ctx, "", settings...)
}

// StartIn starts a server in a folder of its own below dir, for those who care which disk it is on.
// Everybody must be able to pass through dir, since the server isn't run as root.
func StartIn(ctx context.Context, dir string, settings ...string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	// Not below a test's folder: those can't be entered by the user that the server runs as, and a
	// socket's path must be short.
	if s.dir, err = os.MkdirTemp(dir, "tracedb-pg"); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if err := s.prepare(ctx, settings); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), os.RemoveAll(s.dir))
	}
	if err := s.Run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// find returns the folder with the newest server's programs.
func find() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", ErrAbsent
	}
	version := func(path string) int {
		v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return v
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func (s *Server) prepare(ctx context.Context, settings []string) error {
	if os.Geteuid() == 0 {
		as, err := unprivileged()
		if err != nil {
			return err
		}
		s.as = as
		if err := os.Chown(s.dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	// The folder is the server user's alone, so any client of the socket may be trusted.
	if out, err := s.command(ctx, "initdb", "--auth=trust", "--username="+superuser, "--encoding=UTF8", "--locale=C", "--no-sync", s.data()).CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, line := range append([]string{"listen_addresses = ''", "unix_socket_directories = '" + s.dir + "'"}, settings...) {
		fmt.Fprintln(conf, line)
	}
	return conf.Close()
}

// unprivileged is the user that a server of root's runs as.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err, err2)
	}
	return nil, errors.New("there is neither a user postgres nor nobody to run it as")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// Run starts the server that was stopped or killed, and waits until it answers.
func (s *Server) Run(ctx context.Context) error {
	s.log.Reset()
	s.process = s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data())
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	// A test that is killed takes its server along.
	s.process.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	started, ended := make(chan error, 1), make(chan struct{})
	go func(p *exec.Cmd) {
		// The kernel takes the end of the thread that started it for the end of the test, and a log's
		// threads end: this one stays as long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := p.Start()
		started <- err
		if err == nil {
			_ = p.Wait()
		}
	}(s.process)
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.ended = ended
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ended:
			return fmt.Errorf("start postgres: it ended: %s", s.log.String())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start postgres: %w", err), s.Stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// DSN names one of the server's databases.
func (s *Server) DSN(database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}}.Encode()}).String()
}

// Folder makes a folder that the server can use, for a tablespace.
func (s *Server) Folder(name string) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if s.as == nil {
		return dir, nil
	}
	return dir, os.Chown(dir, int(s.as.Uid), int(s.as.Gid))
}

// Database makes an empty database and returns its DSN.
func (s *Server) Database(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	s.databases++
	name := fmt.Sprintf("trace%d", s.databases)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	return s.DSN(name), err
}

// Kill ends the server at once, as a power cut would: what it had not written to the disk is lost.
// The processes it forked notice, and go too.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop ends the server without waiting for its clients.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

func (s *Server) end(signal syscall.Signal) error {
	select {
	case <-s.ended:
		return nil
	default:
	}
	if err := s.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended
	return nil
}

// Close stops the server and removes everything that was its.
func (s *Server) Close() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// Package publish commits the log's checkpoints to a repository that only the trace may push to, so
// that who holds the database can't rewrite history unseen: a head that was published stays in Git,
// and in every clone of it. It refuses to publish a head that what is there isn't a beginning of, and
// reports it until it is resolved; it never lets the log wait for Git.
package publish

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"code.gitea.io/sdk/gitea"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// File is where the newest checkpoint is in the repository; its history is Git's.
const File = "checkpoint"

// Every is how often a checkpoint is published at most.
const Every = time.Minute

// A failing publisher tries again after initialBackoff, then less and less often, but at least every
// maxBackoff; one try takes tryFor at most.
const (
	initialBackoff = 5 * time.Second
	maxBackoff     = 10 * time.Minute
	tryFor         = 30 * time.Second
)

// ErrRewritten says that the log isn't a continuation of what was published: one of the two was
// changed. Nothing is published any more until that is understood.
var ErrRewritten = errors.New("the log doesn't continue the checkpoint that was published")

// errConflict says that somebody else committed between looking and committing.
var errConflict = errors.New("another commit came first")

// Log is what is published.
type Log interface {
	Checkpoint(ctx context.Context) (tracedb.Checkpoint, error)
	Consistency(ctx context.Context, from, to int64) ([]string, error)
}

// Publisher commits checkpoints to main. Its fields are set before its first use.
type Publisher struct {
	Log      Log
	Verifier note.Verifier
	// Gitea's address and how to reach it.
	URL        string
	HTTP       *http.Client
	Token      func() (string, error)
	Repository string // owner/name
	// Key is the public key as note.NewVerifier reads it, for the README beside the checkpoint; empty:
	// no README is written.
	Key    string
	Every  time.Duration // 0: Every
	Logger *slog.Logger  // nil: silent

	mu            sync.Mutex
	status        Status
	readmeWritten bool // the README says what it should
}

// Status is how publishing goes.
type Status struct {
	Size        int64     // of the tree that was published last
	Published   int64     // commits that were made
	LastSuccess time.Time // when the published checkpoint was last known to be the newest, or young enough
	LastError   string    // what goes wrong now; empty when all is well
	Rewritten   bool      // see ErrRewritten
	// Lost counts how often the repository held less than what had been published: its history was
	// taken back or it was made anew, which only an administrator can do. Publishing goes on.
	Lost int64
}

// Status is how publishing goes.
func (p *Publisher) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Run publishes now and then, until ctx ends. Failures are tried again, less and less often.
// Of several replicas that publish the same log, each leaves out what would come sooner after another's
// than Every.
func (p *Publisher) Run(ctx context.Context) error {
	every := cmp.Or(p.Every, Every)
	var pause, failing time.Duration
	for {
		// Gitea hanging mustn't keep the service from ending.
		err := p.try(ctx, every)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause, failing = every, 0
		default:
			p.logger().Error("publish a checkpoint", "error", err)
			failing = min(max(2*failing, min(initialBackoff, every)), max(every, maxBackoff))
			pause = failing
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause + rand.N(pause/10+1)):
		}
	}
}

// Once publishes the newest checkpoint if the tree grew since the last one, however long ago that was.
func (p *Publisher) Once(ctx context.Context) error { return p.try(ctx, 0) }

// try publishes, unless something younger than age is there.
func (p *Publisher) try(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	size, made, err := p.once(ctx, age)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.status.LastError, p.status.Rewritten = err.Error(), errors.Is(err, ErrRewritten)
		return err
	}
	p.status.Size, p.status.LastSuccess, p.status.LastError, p.status.Rewritten = size, time.Now().UTC(), "", false
	if made {
		p.status.Published++
	}
	return nil
}

func (p *Publisher) once(ctx context.Context, age time.Duration) (size int64, made bool, err error) {
	owner, name, ok := strings.Cut(p.Repository, "/")
	if !ok {
		return 0, false, fmt.Errorf("repository %q isn't owner/name", p.Repository)
	}
	client, err := giteaclient.New(ctx, giteaclient.Options{URL: p.URL, HTTP: p.HTTP, Token: p.Token})
	if err != nil {
		return 0, false, err
	}
	r := &repository{client.Client, owner, name}
	size, made, err = p.reconcile(ctx, r, age)
	if errors.Is(err, errConflict) {
		// What is there now may be all that there is to publish.
		size, made, err = p.reconcile(ctx, r, age)
	}
	return size, made, err
}

// reconcile reads what is published, and publishes what it lacks.
func (p *Publisher) reconcile(ctx context.Context, r *repository, age time.Duration) (size int64, made bool, err error) {
	there, err := p.published(r)
	if err != nil {
		return 0, false, err
	}
	// Only now: what another replica published meanwhile is in the log by then.
	newest, err := p.Log.Checkpoint(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("sign a checkpoint: %w", err)
	}
	if there == nil && newest.Size == 0 {
		return 0, false, nil
	}
	if err := p.checkConsistent(ctx, there, newest); err != nil {
		return 0, false, err
	}
	p.countLost(there)
	if err := p.writeReadme(r); err != nil {
		return 0, false, err
	}
	if there != nil && there.size == newest.Size {
		return newest.Size, false, nil
	}
	if there != nil && age > 0 {
		recent, err := p.recent(r, age)
		if err != nil || recent {
			return there.size, false, err
		}
	}
	return newest.Size, true, p.commit(r, there, newest)
}

// recent says whether the checkpoint that is there was committed less than age ago.
func (p *Publisher) recent(r *repository, age time.Duration) (bool, error) {
	commits, _, err := r.ListRepoCommits(r.owner, r.name, gitea.ListCommitOptions{ListOptions: gitea.ListOptions{PageSize: 1}, SHA: names.MainBranch, Path: File})
	if err != nil {
		return false, fmt.Errorf("find when %s of %s was committed: %w", File, p.Repository, err)
	}
	if len(commits) == 0 || commits[0].CommitMeta == nil {
		return false, nil
	}
	// Gitea's clock may be a little ahead. A time that is yet to come, by a clock that was put right, keeps
	// nobody waiting.
	return time.Since(commits[0].Created).Abs() < age, nil
}

// countLost says so if what this program published isn't there any more.
func (p *Publisher) countLost(there *head) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var size int64
	if there != nil {
		size = there.size
	}
	if size >= p.status.Size {
		return
	}
	p.logger().Error("published checkpoints were taken out of their repository", "repository", p.Repository, "published", p.status.Size, "there", size)
	p.status.Lost++
	p.status.Size = size
	p.readmeWritten = false
}

// head is a published checkpoint.
type head struct {
	size int64
	root tlog.Hash
	sha  string // of the file in Git
}

// repository is the one that checkpoints are committed to.
type repository struct {
	*gitea.Client
	owner, name string
}

// write commits a file of that content; sha is that of the version that it replaces, empty for a new file.
func (r *repository) write(file, sha, message string, content []byte) (*gitea.Response, error) {
	opts := gitea.FileOptions{Message: message, BranchName: names.MainBranch}
	encoded := base64.StdEncoding.EncodeToString(content)
	if sha == "" {
		_, resp, err := r.CreateFile(r.owner, r.name, file, gitea.CreateFileOptions{FileOptions: opts, Content: encoded})
		return resp, err
	}
	// Git refuses if somebody else wrote since.
	_, resp, err := r.UpdateFile(r.owner, r.name, file, gitea.UpdateFileOptions{FileOptions: opts, SHA: sha, Content: encoded})
	return resp, err
}

// published reads the checkpoint that is there; nil if there is none yet.
func (p *Publisher) published(r *repository) (*head, error) {
	file, resp, err := r.GetContents(r.owner, r.name, names.MainBranch, File)
	if resp != nil && resp.StatusCode == http.StatusNotFound {
		// A repository that can't be seen answers the same, and must not look like an empty one.
		if _, _, err := r.GetRepo(r.owner, r.name); err != nil {
			return nil, fmt.Errorf("find the repository %s: %w", p.Repository, err)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", File, p.Repository, err)
	}
	if file.Content == nil {
		return nil, fmt.Errorf("read %s of %s: it is no file", File, p.Repository)
	}
	raw, err := base64.StdEncoding.DecodeString(*file.Content)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", File, p.Repository, err)
	}
	cp, err := tracedb.ParseCheckpoint(raw, p.Verifier)
	if err != nil {
		return nil, fmt.Errorf("%w: what %s holds isn't signed by this log: %w", ErrRewritten, p.Repository, err)
	}
	return &head{size: cp.Size, root: cp.Root, sha: file.SHA}, nil
}

// checkConsistent checks that the published tree is a beginning of the newest (RFC 6962, section 2.1.2).
func (p *Publisher) checkConsistent(ctx context.Context, there *head, newest tracedb.Checkpoint) error {
	switch {
	case there == nil:
		return nil
	case there.size > newest.Size:
		return fmt.Errorf("%w: %d records were published and the log has %d", ErrRewritten, there.size, newest.Size)
	case there.size == newest.Size:
		if there.root != newest.Root {
			return fmt.Errorf("%w: both have %d records, with different roots", ErrRewritten, newest.Size)
		}
		return nil
	}
	hashes, err := p.Log.Consistency(ctx, there.size, newest.Size)
	if err != nil {
		return fmt.Errorf("prove that %d records follow %d: %w", newest.Size, there.size, err)
	}
	proof := make(tlog.TreeProof, len(hashes))
	for i, h := range hashes {
		if proof[i], err = tlog.ParseHash(h); err != nil {
			return fmt.Errorf("prove that %d records follow %d: hash %d is damaged", newest.Size, there.size, i)
		}
	}
	if err := tlog.CheckTree(proof, newest.Size, newest.Root, there.size, there.root); err != nil {
		return fmt.Errorf("%w: the first %d records aren't those that were published: %w", ErrRewritten, there.size, err)
	}
	return nil
}

func (p *Publisher) commit(r *repository, there *head, newest tracedb.Checkpoint) error {
	sha := ""
	if there != nil {
		sha = there.sha
	}
	resp, err := r.write(File, sha, fmt.Sprintf("Checkpoint at %d records", newest.Size), newest.Note)
	if err != nil && resp != nil && (resp.StatusCode == http.StatusUnprocessableEntity || resp.StatusCode == http.StatusConflict) {
		err = fmt.Errorf("%w: %w", errConflict, err)
	}
	if err != nil {
		return fmt.Errorf("commit %s to %s: %w", File, p.Repository, err)
	}
	return nil
}

func (p *Publisher) logger() *slog.Logger { return cmp.Or(p.Logger, slog.New(slog.DiscardHandler)) }

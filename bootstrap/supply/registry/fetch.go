package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// manifestLimit bounds what is read as a manifest.
const manifestLimit = 8 << 20

// manifestTypes is what we can read.
var manifestTypes = []string{
	string(types.OCIImageIndex), string(types.DockerManifestList),
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
}

// fetcher gets manifests and blobs from registries, one attempt at a time.
type fetcher struct {
	base  http.RoundTripper
	stall time.Duration // a transfer in which no byte came for so long is cut off

	sessions sync.Map // http.RoundTripper by repository: tokens are for one
}

func (f *fetcher) session(ctx context.Context, repo name.Repository) (http.RoundTripper, error) {
	if rt, ok := f.sessions.Load(repo.Name()); ok {
		return rt.(http.RoundTripper), nil
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, err
	}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, f.base, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	f.sessions.Store(repo.Name(), rt)
	return rt, nil
}

// get asks for one thing of a repository, from an offset on.
func (f *fetcher) get(ctx context.Context, repo name.Repository, kind, what string, offset int64) (*http.Response, error) {
	rt, err := f.session(ctx, repo)
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("%s://%s/v2/%s/%s/%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), kind, what)
	ctx, cancel := context.WithCancelCause(ctx)
	watch := &watchdog{cancel: cancel, after: f.stall}
	watch.timer = time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("no byte came for %s", f.stall)) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		watch.stop()
		return nil, err
	}
	if kind == "manifests" {
		req.Header.Set("Accept", strings.Join(manifestTypes, ","))
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		watch.stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	watch.body = resp.Body
	watch.ctx = ctx
	resp.Body = watch
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		if wait := retryAfter(resp.Header, time.Now()); wait > 0 {
			err = &retryAfterError{err, wait}
		}
		return nil, err
	}
	return resp, nil
}

// manifest gets a manifest by tag or digest and checks it where it can.
func (f *fetcher) manifest(ctx context.Context, repo name.Repository, what string) (store.Manifest, error) {
	resp, err := f.get(ctx, repo, "manifests", what, 0)
	if err != nil {
		return store.Manifest{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, manifestLimit))
	if err != nil {
		return store.Manifest{}, err
	}
	got, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return store.Manifest{}, err
	}
	promised := what
	if !strings.HasPrefix(what, "sha256:") {
		promised = resp.Header.Get("Docker-Content-Digest")
	}
	if want, err := v1.NewHash(promised); err == nil && want != got {
		return store.Manifest{}, &store.DigestError{Want: want, Got: got, WantSize: size, GotSize: size}
	}
	d := v1.Descriptor{MediaType: types.MediaType(resp.Header.Get("Content-Type")), Digest: got, Size: size}
	return store.Manifest{Descriptor: d, Raw: raw}, nil
}

// blob brings one blob into the store. What an earlier attempt, of this or of
// another process, left is not fetched again. moved counts each new byte.
func (f *fetcher) blob(ctx context.Context, s *store.Store, repo name.Repository, d v1.Descriptor, moved func(n int64)) error {
	w, err := s.BlobWriter(ctx, d)
	if err != nil || w == nil {
		return err
	}
	defer w.Close()
	if w.Remaining() > 0 || d.Size == 0 {
		resp, err := f.get(ctx, repo, "blobs", d.Digest.String(), w.Offset())
		if t := (*transport.Error)(nil); w.Offset() > 0 && errors.As(err, &t) && t.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			// Not every registry knows of ranges.
			if err := w.Reset(); err != nil {
				return err
			}
			resp, err = f.get(ctx, repo, "blobs", d.Digest.String(), 0)
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if w.Offset() > 0 && resp.StatusCode != http.StatusPartialContent {
			if err := w.Reset(); err != nil {
				return err
			}
		}
		// One byte more than is wanted, so that a longer body is seen.
		if _, err := io.Copy(counted{w, moved}, io.LimitReader(resp.Body, w.Remaining()+1)); err != nil {
			return err // what is written stays for the next attempt
		}
		if w.Remaining() > 0 {
			return io.ErrUnexpectedEOF
		}
	}
	return w.Commit()
}

// counted reports how many bytes are written.
type counted struct {
	io.Writer
	moved func(int64)
}

func (w counted) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.moved(int64(n))
	return n, err
}

// watchdog cuts a transfer off that has stopped moving.
type watchdog struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	after  time.Duration
	timer  *time.Timer
	body   io.ReadCloser
}

func (w *watchdog) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	if n > 0 {
		w.timer.Reset(w.after)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(w.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (w *watchdog) Close() error {
	err := w.body.Close()
	w.stop()
	return err
}

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

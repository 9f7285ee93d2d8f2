package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	"github.com/go-git/go-git/v5/storage/memory"
)

// How much a repository may hold; steps run in pods with little memory, and every push is built. None is a setting.
const (
	MaxFiles  = 50_000    // files and folders of a commit
	maxFile   = 32 << 20  // bytes of a file that is built
	maxCommit = 200 << 20 // bytes of all files that are built together
	maxPacked = 100 << 20 // bytes of these as they travel
	maxRead   = 1 << 20   // bytes of a file that is read in memory
	maxMemory = 64 << 20  // bytes of all that is in memory
	// objectCost is what an object takes in memory besides its content.
	objectCost = 512
)

// partial is a request for a commit without some of the files, in Git's word a partial clone. go-git's own fetch
// can't make one, nor stop at a size.
type partial struct {
	revision string
	filter   packp.Filter
	shallow  bool            // without what came before the commit
	have     []plumbing.Hash // commits of which all is there
}

// fetch writes a pack of what was asked for, of no more than so many bytes.
func (p partial) fetch(ctx context.Context, from Remote, into io.Writer, most int64) (err error) {
	defer func() {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			err = errSize(most)
		}
		if err != nil {
			err = fmt.Errorf("fetch %s from %s: %w", p.revision, from.URL, err)
		}
	}()
	if err := checkAddress(from.URL); err != nil {
		return err
	}
	endpoint, err := transport.NewEndpoint(from.URL)
	if err != nil {
		return err
	}
	endpoint.CaBundle = from.CA
	protocol, err := client.NewClient(endpoint)
	if err != nil {
		return err
	}
	session, err := protocol.NewUploadPackSession(endpoint, from.auth())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	offered, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return err
	}
	req, err := p.request(offered.Capabilities)
	if err != nil {
		return err
	}
	answer, err := session.UploadPack(ctx, req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answer.Close()) }()
	var pack io.Reader = http.MaxBytesReader(nil, answer, most)
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, pack)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, pack)
	}
	_, err = io.Copy(into, pack)
	return err
}

func (p partial) request(offered *capability.List) (*packp.UploadPackRequest, error) {
	// A server that doesn't know it would send everything.
	if !offered.Supports(capability.Filter) {
		return nil, errors.New("the server makes no partial clones (uploadpack.allowFilter)")
	}
	req := packp.NewUploadPackRequestFromCapabilities(offered)
	req.Filter, req.Wants, req.Haves = p.filter, []plumbing.Hash{plumbing.NewHash(p.revision)}, p.have
	err := req.Capabilities.Set(capability.Filter)
	if p.shallow {
		req.Depth = packp.DepthCommits(1)
		err = errors.Join(err, req.Capabilities.Set(capability.Shallow))
	}
	return req, err
}

func errSize(most int64) error { return fmt.Errorf("it has more than %d MiB", most>>20) }

// unpack stores the objects of a pack, if they take no more than so many bytes, and gives how many. What one inflates to
// may be a thousand times what it has in the pack; it says so itself, and a delta says what it makes.
func unpack(pack io.ReadSeeker, into storer.Storer, most int64) (total int64, err error) {
	s := packfile.NewScanner(pack)
	_, n, err := s.Header()
	if err != nil {
		return 0, err
	}
	for range n {
		h, err := s.NextObjectHeader()
		if err != nil {
			return 0, err
		}
		start := &beginning{}
		if _, _, err := s.NextObject(start); err != nil {
			return 0, err
		}
		made := h.Length
		if h.Type.IsDelta() {
			total += h.Length // it is kept beside what it makes
			made = start.made()
		}
		if total += objectCost + made; made > maxFile || total > most {
			return 0, errSize(min(most, maxFile))
		}
	}
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return total, packfile.UpdateObjectStorage(into, pack)
}

// beginning keeps the first bytes of what is written to it.
type beginning struct{ data []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), 2*binary.MaxVarintLen64-len(b.data))]...)
	return len(p), nil
}

// made is the size of what a delta makes: its second number, after that of what it changes.
func (b *beginning) made() int64 {
	_, n := binary.Uvarint(b.data)
	made, _ := binary.Uvarint(b.data[max(n, 0):])
	return int64(min(made, maxCommit)) // which is too much
}

// inMemory fetches into a storage in memory that may take so many bytes yet, and gives what is left of them.
func (p partial) inMemory(ctx context.Context, from Remote, store *memory.Storage, left int64) (int64, error) {
	var pack bytes.Buffer
	if err := p.fetch(ctx, from, &pack, left/2); err != nil {
		return left, err
	}
	size, err := unpack(bytes.NewReader(pack.Bytes()), store, left)
	if err != nil {
		return left, fmt.Errorf("%s of %s: %w", p.revision, from.URL, err)
	}
	return left - size, nil
}

// onDisk fetches into a storage on disk, by way of a file in dir.
func (p partial) onDisk(ctx context.Context, from Remote, store storer.Storer, dir string) (err error) {
	pack, err := os.CreateTemp(dir, ".pack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pack.Close(), os.Remove(pack.Name())) }()
	if err := p.fetch(ctx, from, pack, maxPacked); err != nil {
		return err
	}
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := unpack(pack, store, 2*maxCommit); err != nil {
		return fmt.Errorf("%s of %s: %w", p.revision, from.URL, err)
	}
	return nil
}

// Commit fetches one commit into memory, and its files but for those of a MiB or more.
func Commit(ctx context.Context, from Remote, revision string) (*object.Commit, error) {
	if err := CheckRevision(revision); err != nil {
		return nil, err
	}
	store := memory.NewStorage()
	p := partial{revision: revision, shallow: true, filter: packp.FilterBlobLimit(maxRead, packp.BlobLimitPrefixNone)}
	if _, err := p.inMemory(ctx, from, store, maxMemory); err != nil {
		return nil, err
	}
	return object.GetCommit(store, plumbing.NewHash(revision))
}

// History is commits and the names and hashes of their files, in memory. What is in the files stays away, so that
// nothing large, wherever in the past, takes any.
type History struct {
	from    Remote
	objects *memory.Storage
	left    int64           // bytes that it may still take
	whole   []plumbing.Hash // commits of which all is here
}

// NewHistory holds nothing yet.
func NewHistory(from Remote) *History {
	return &History{from: from, objects: memory.NewStorage(), left: maxMemory}
}

// Commit gives a commit with everything that came before it.
func (h *History) Commit(ctx context.Context, revision string) (*object.Commit, error) {
	if err := CheckRevision(revision); err != nil {
		return nil, err
	}
	hash := plumbing.NewHash(revision)
	if h.objects.HasEncodedObject(hash) != nil {
		p := partial{revision: revision, filter: packp.FilterBlobNone(), have: h.whole}
		left, err := p.inMemory(ctx, h.from, h.objects, h.left)
		if err != nil {
			return nil, fmt.Errorf("history, without what is in the files: %w", err)
		}
		h.left, h.whole = left, append(h.whole, hash)
	}
	return object.GetCommit(h.objects, hash)
}

// Command tlog puts a log through tessera's fsck: it fetches the checkpoint, every tile and every entry as any
// reader of C2SP tlog-tiles would, builds the tree anew and compares. It knows nothing of whose log it is.
// tessera's own command ends with 0 also when the check fails, so it can't be asked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	address := flag.String("url", "", "the log's base address")
	key := flag.String("key", "", "the log's public key, as a signed note's")
	flag.Parse()
	if err := check(ctx, *address, *key); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(ctx context.Context, address, key string) error {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" {
		return errors.New("--url is not an address")
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	fetcher, err := client.NewHTTPFetcher(base, nil)
	if err != nil {
		return err
	}
	return fsck.New(verifier.Name(), verifier, fetcher, leaves, fsck.Opts{N: 1}).Check(ctx)
}

// leaves hashes what a bundle of entries holds.
func leaves(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(b.Entries))
	for i, e := range b.Entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(e)
	}
	return hashes, nil
}

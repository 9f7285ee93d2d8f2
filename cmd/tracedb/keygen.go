package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

func newKeygenCmd() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make the key that signs a log's checkpoints",
		Long: `keygen writes a new signing key to FILE, which nobody else may read, and prints the key that verifies
what it signs. That one is public: give it to whoever should check the log without asking the service.`,
		Example: "  tracedb keygen --name druppie checkpoint.key",
		Args:    cli.Args("the FILE to write is missing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !names.IsPlatform(name) {
				return ui.WithHint(ui.Usage(fmt.Errorf("--name %q can't be a log's", name)), "use lower-case letters, digits and dashes, as for a platform")
			}
			secret, public, err := note.GenerateKey(rand.Reader, names.TraceOrigin(name))
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				if errors.Is(err, os.ErrExist) {
					return ui.WithHint(ui.Usage(err), "a key is never overwritten: what it signed couldn't be continued")
				}
				return err
			}
			_, err = f.WriteString(secret + "\n")
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), public)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", names.DefaultPlatform, "name of the platform whose log it is")
	return cmd
}

// readSigner reads a signing key as keygen writes it, and derives the key that verifies it.
func readSigner(file string) (note.Signer, string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	secret := strings.TrimSpace(string(raw))
	signer, err := note.NewSigner(secret)
	if err != nil {
		// The error doesn't quote the key, and neither does this.
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	// PRIVATE+KEY+<name>+<hash>+<data>: names and hashes have no plus, base64 may have several.
	data := strings.SplitN(strings.TrimPrefix(secret, "PRIVATE+KEY+"), "+", 3)[2]
	seed, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, "", fmt.Errorf("%s: not an Ed25519 key", file)
	}
	private := ed25519.NewKeyFromSeed(seed[1:])
	// The second half of a private key is the public one.
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), ed25519.PublicKey(private[ed25519.SeedSize:]))
	return signer, verifier, err
}

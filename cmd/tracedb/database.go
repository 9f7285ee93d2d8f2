package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
)

// database says which log a tool works on: the service's, by its configuration, or any other.
type database struct {
	config string
	store  string
	key    string
}

func (d *database) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.config, "config", "", "the service's configuration, which names store and key")
	cmd.Flags().StringVar(&d.store, "store", "", "instead of --config: sqlite:<path>, or a file that holds postgres://…")
	cmd.Flags().StringVar(&d.key, "key", "", "with --store: the log's public key, or a file with it")
}

// options finds store and keys. The signing key is read only where something will be signed.
func (d *database) options(readOnly bool) (log.Options, error) {
	o := log.Options{ReadOnly: readOnly, Derive: ingest.Facts, Unique: ingest.Unique}
	switch {
	case d.config != "" && d.store != "":
		return o, ui.Usage(errors.New("--config and --store exclude each other"))
	case d.config == "" && d.store == "":
		return o, ui.WithHint(ui.Usage(errors.New("which log?")), "name the service's --config, or a --store")
	case d.config != "":
		c, err := loadConfig(d.config)
		if err != nil {
			return o, err
		}
		if o.DSN, err = c.dsn(); err != nil {
			return o, err
		}
		signer, verifier, err := readSigner(c.SigningKey)
		if err != nil {
			return o, fmt.Errorf("signingKey: %w", err)
		}
		o.Origin = signer.Name()
		o.Verifier, err = note.NewVerifier(verifier)
		return o, err
	}
	o.DSN = d.store
	if strings.HasPrefix(d.store, "postgres") && strings.Contains(d.store, "://") {
		// An argument shows its password to whoever lists processes, so it isn't taken, nor repeated.
		return o, ui.WithHint(ui.Usage(errors.New("--store: an address of PostgreSQL is no argument")), "write it to a file that only you can read, and name that file")
	}
	if !strings.HasPrefix(d.store, "sqlite:") {
		dsn, err := (&config{Store: "postgres", DSNFile: d.store}).dsn()
		if err != nil {
			return o, ui.WithHint(ui.Usage(fmt.Errorf("--store: %w", err)), "write sqlite:<path>, or name a file that holds postgres://…")
		}
		o.DSN = dsn
	}
	if d.key != "" {
		verifier, err := cli.LogKey(d.key)
		if err != nil {
			return o, err
		}
		if o.Verifier, err = note.NewVerifier(verifier); err != nil {
			return o, err
		}
		o.Origin = o.Verifier.Name()
	}
	return o, nil
}

// open opens a log that is there and gives it to f: a tool whose path is misspelled must not make a new one.
func (d *database) open(ctx context.Context, readOnly bool, f func(*log.Log) error) error {
	o, err := d.options(readOnly)
	if err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(o.DSN, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return ui.Usage(fmt.Errorf("open log: %w", err))
		}
	}
	l, err := log.Open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(f(l), l.Close())
}

// readCheckpoints reads signed checkpoints that were kept elsewhere.
func readCheckpoints(files []string) ([][]byte, error) {
	var out [][]byte
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, ui.Usage(fmt.Errorf("--checkpoint: %w", err))
		}
		out = append(out, raw)
	}
	return out, nil
}

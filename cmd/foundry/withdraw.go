package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/register"
)

// keptEntry is printed where the register has a newer entry.
const keptEntry = "the register keeps its entry: that of commit %s is newer\n"

func newWithdrawCmd() *cobra.Command {
	var s step
	cmd := newStep(&s, "withdraw", "Tell the register that a service has ended, whatever became of its release", func(ctx context.Context, out io.Writer) error {
		entry, err := s.readEntry()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		reason := endedReason(entry)
		if reason == "" {
			fmt.Fprintln(out, "nothing to withdraw: the entry doesn't say that the service has ended")
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, traceTimeout)
		defer cancel()
		newer, err := s.newerEntry(ctx, entry)
		if err != nil {
			return err
		}
		if newer != "" {
			fmt.Fprintf(out, keptEntry, newer)
			return nil
		}
		draft, err := s.entryDraft(entry)
		if err != nil {
			return err
		}
		receipts, err := s.traceDB.Record(ctx, []tracedb.Draft{draft})
		if err != nil {
			return fmt.Errorf("the Traceability DB didn't take the entry: %w", err)
		}
		fmt.Fprintf(out, "recorded: %d %s: %s\n", receipts[0].Seq, draft.ID, reason)
		return nil
	})
	s.flags(cmd, "ca-file", "forge", "trace", "token-file", "source", "repository", "revision")
	return cmd
}

// endedReason says why an entry is registered although nothing was released: the service may not
// run any more. Empty: it may, or the entry can't be read, and a release registers the rest.
func endedReason(entry []byte) string {
	d, violations := register.Validate(entry)
	if len(violations) > 0 && !violations.Prohibited() {
		return ""
	}
	may, reason, _ := d.MayRun()
	if may {
		return ""
	}
	return reason.EN
}

// readEntry reads the register entry of the service's source, from nowhere else, whatever links are in it.
func (s *step) readEntry() ([]byte, error) {
	root, err := os.OpenRoot(s.source)
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	defer root.Close()
	entry, err := root.ReadFile(register.File)
	if err != nil {
		return nil, fmt.Errorf("read the register entry: %w", err)
	}
	return entry, nil
}

// newerEntry is the commit of the register's entry if that is newer. Runs may end in another order than they
// began, and what a newer commit took out of use mustn't come back by that.
func (s *step) newerEntry(ctx context.Context, entry []byte) (string, error) {
	d, _ := register.Validate(entry)
	if d.ID == "" {
		return "", nil // the Traceability DB says what is wrong with it
	}
	registered, err := s.traceDB.Algorithm(ctx, d.ID)
	if errors.Is(err, tracedb.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask the register for %q: %w", d.ID, err)
	}
	api, err := anonymous(ctx, s.ca, s.gitea)
	if err != nil {
		return "", err
	}
	older, err := source.IsAncestor(api, s.repository, s.revision, registered.Commit)
	if err != nil || !older {
		return "", err
	}
	return registered.Commit, nil
}

// entryDraft is the record of the commit's register entry.
func (s *step) entryDraft(entry []byte) (tracedb.Draft, error) {
	payload := tracedb.RegisterEntry{Repository: s.repository, Commit: s.revision, Source: string(entry)}
	return newDraft(tracedb.KindRegister, s.repository+"@"+s.revision, payload)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/register"
)

// ended says why the register must hear of an entry although nothing was released: the service may not
// run any more. Empty: it may, or the entry can't be read, and a release tells the register the rest.
func ended(text []byte) string {
	d, violations := register.Validate(text)
	if len(violations) > 0 && !violations.Prohibited() {
		return ""
	}
	may, reason, _ := d.MayRun()
	if may {
		return ""
	}
	return reason.EN
}

func withdrawCommand() *cobra.Command {
	var caFile, forge, address, tokenFile, dir string
	var r recorded
	cmd := &cobra.Command{
		Use:   "withdraw",
		Short: "Tell the register that a service has ended, whatever became of its release",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := source.CheckRevision(r.commit); err != nil {
				return ui.Usage(err)
			}
			url, err := source.URL(forge, r.repository)
			if err != nil {
				return ui.Usage(err)
			}
			ca, err := trust.ReadCA(caFile)
			if err != nil {
				return err
			}
			if r.source, err = readEntry(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			why := ended(r.source)
			if why == "" {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to withdraw: the entry doesn't say that the service has ended")
				return nil
			}
			trace, err := traceClient(address, tokenFile, ca)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			newer, err := r.look(ctx, trace, source.Origin{URL: url, CA: ca})
			if err != nil {
				return explain(err)
			}
			if newer != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "the register keeps its entry: that of commit %s is newer\n", newer)
				return nil
			}
			draft, err := r.entry()
			if err != nil {
				return err
			}
			receipts, err := trace.Record(ctx, []tracedb.Draft{draft})
			if err != nil {
				return fmt.Errorf("the Traceability DB didn't take the entry: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "recorded: %d %s: %s\n", receipts[0].Seq, draft.ID, why)
			return nil
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	forgeFlag(f, &forge)
	f.StringVar(&address, "trace", "", "address of the Traceability DB, https://host:port")
	f.StringVar(&tokenFile, "token-file", "", "file with a ServiceAccount token for the Traceability DB's audience")
	f.StringVar(&dir, "source", "", "folder with the service's source")
	f.StringVar(&r.repository, "repository", "", "full name of the service's repository")
	f.StringVar(&r.commit, "revision", "", "full hash of the service's commit")
	return required(cmd, "ca-file", "forge", "trace", "token-file", "source", "repository", "revision")
}

// readEntry reads the register entry of a service's source, wherever links in it lead.
func readEntry(dir string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	defer root.Close()
	text, err := root.ReadFile(register.File)
	if err != nil {
		return nil, fmt.Errorf("read the register entry: %w", err)
	}
	return text, nil
}

// entry is the record of the commit's register entry.
func (r recorded) entry() (tracedb.Draft, error) {
	payload, err := json.Marshal(tracedb.RegisterEntry{Repository: r.repository, Commit: r.commit, Source: string(r.source)})
	if err != nil {
		return tracedb.Draft{}, fmt.Errorf("write the register entry: %w", err)
	}
	return tracedb.Draft{ID: string(tracedb.KindRegister) + "/" + r.repository + "@" + r.commit, Kind: tracedb.KindRegister, Actor: "foundry", Payload: payload}, nil
}

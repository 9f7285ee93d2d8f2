package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/seal"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/ui"
)

func caFlag(f *pflag.FlagSet, v *string) {
	f.StringVar(v, "ca-file", "", "file with the platform's CA, the only one that is trusted")
}

func credentialsFlag(f *pflag.FlagSet, v *string, secret string) {
	f.StringVar(v, "credentials", "", "folder with the files username and "+secret)
}

func forgeFlag(f *pflag.FlagSet, v *string) {
	f.StringVar(v, "forge", "", "address of Gitea, https://host:port")
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return ui.Usage(fmt.Errorf("unexpected argument %q", args[0]))
	}
	return nil
}

// required refuses a call that lacks one of the flags, or gives it empty: a
// variable of the pipeline that came to nothing must not pass for a value.
func required(cmd *cobra.Command, names ...string) *cobra.Command {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		var missing []string
		for _, n := range names {
			if cmd.Flags().Lookup(n).Value.String() == "" || !cmd.Flags().Changed(n) {
				missing = append(missing, "--"+n)
			}
		}
		if len(missing) > 0 {
			return ui.Usage(fmt.Errorf("%s needs %s", cmd.Name(), strings.Join(missing, ", ")))
		}
		return nil
	}
	return cmd
}

func registryAccess(caFile, credentials string) (image.Access, error) {
	ca, err := trust.ReadCA(caFile)
	if err != nil {
		return image.Access{}, err
	}
	creds, err := trust.ReadCredentials(credentials, "password")
	if err != nil {
		return image.Access{}, err
	}
	return image.Access{CA: ca, Credentials: &creds}, nil
}

// writeResult writes one of Tekton's results, exactly: a newline would be part of it.
func writeResult(path, value string) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// explain adds a hint to errors whose cause is known and lies elsewhere.
func explain(err error) error {
	var (
		unknown  x509.UnknownAuthorityError
		registry *transport.Error
	)
	switch {
	case errors.As(err, &unknown):
		return ui.WithHint(err, "the server's certificate isn't from the platform's CA: is the ConfigMap platform-ca in this namespace the current one?")
	case errors.As(err, &registry) && registry.StatusCode == http.StatusUnauthorized:
		return ui.WithHint(err, "the registry doesn't know these credentials: does the Secret registry-writer match registry-htpasswd?")
	case errors.Is(err, seal.ErrNotSigned):
		return ui.WithHint(err, "only the pipeline's sign step has the foundry's key: let the pipeline build and sign this commit")
	}
	return err
}

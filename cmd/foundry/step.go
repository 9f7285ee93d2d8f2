package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/druppie/druppie-up/cmd/foundry/internal/cosign"
	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/client"
)

// step is what a command is given: the flags that several commands take, and what they name once read was
// called. A flag that a command doesn't take is empty.
type step struct {
	caFile, gitea, repository, revision, run, image, key, trace, tokenFile, source string
	credentials, passwordFile                                                      string

	ca       credentials.CA
	login    *credentials.Basic // nil: anonymous
	remote   source.Remote      // the service's repository, read anonymously
	digest   name.Digest
	registry []remote.Option // how the registry is reached
	traceDB  *client.Client
}

// flags defines flags, all of them required.
func (s *step) flags(cmd *cobra.Command, flags ...string) {
	all := map[string]struct {
		value *string
		usage string
	}{
		"ca-file":       {&s.caFile, "file with the platform's CA, the only one that is trusted"},
		"credentials":   {&s.credentials, "folder with the files username and password, or token for Gitea"},
		"forge":         {&s.gitea, "address of Gitea, https://host:port"},
		"repository":    {&s.repository, "full name of the service's repository, owner/name"},
		"revision":      {&s.revision, "full hash of the service's commit"},
		"run":           {&s.run, "the pipeline run, as namespace/name; for promote and approve its name alone"},
		"image":         {&s.image, "image by digest"},
		"key":           {&s.key, "file with the key: the private one in cosign's encrypted form to sign, else the public one"},
		"password-file": {&s.passwordFile, "file with the key's password"},
		"trace":         {&s.trace, "address of the Traceability DB, https://host:port"},
		"token-file":    {&s.tokenFile, "file with a ServiceAccount token for the Traceability DB's audience"},
		"source":        {&s.source, "folder with the service's source"},
	}
	for _, name := range flags {
		require(cmd, all[name].value, name, all[name].usage)
	}
}

// require defines a flag that must be given.
func require(cmd *cobra.Command, value *string, name, usage string) {
	cmd.Flags().StringVar(value, name, "", usage)
	_ = cmd.MarkFlagRequired(name)
}

// newStep makes a command that does its work after read.
func newStep(s *step, use, short string, work func(ctx context.Context, out io.Writer) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.read(cmd.Context()); err != nil {
				return err
			}
			return explain(work(cmd.Context(), cmd.OutOrStdout()))
		},
	}
	cmd.Flags().SortFlags = false
	return cmd
}

// checkRequired refuses a call that lacks a required flag, or gives it empty, which cobra takes for given: a
// variable of the pipeline that came to nothing must not pass for a value.
func checkRequired(cmd *cobra.Command, _ []string) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && (!f.Changed || f.Value.String() == "") {
			missing = append(missing, "--"+f.Name)
		}
	})
	if len(missing) > 0 {
		return ui.Usage(fmt.Errorf("%s needs %s", cmd.Name(), strings.Join(missing, ", ")))
	}
	return nil
}

// read checks the flags' values and reads what they name.
func (s *step) read(ctx context.Context) (err error) {
	if s.image != "" {
		if s.digest, err = image.Digest(s.image); err != nil {
			return ui.Usage(err)
		}
	}
	secret := "password"
	if s.gitea != "" {
		secret = "token"
		if s.remote.URL, err = source.URL(s.gitea, s.repository); err != nil {
			return ui.Usage(err)
		}
	}
	if s.revision != "" {
		if err := source.CheckRevision(s.revision); err != nil {
			return ui.Usage(err)
		}
	}
	if s.ca, err = httpclient.ReadCA(s.caFile); err != nil {
		return err
	}
	s.remote.CA = s.ca
	if s.credentials != "" {
		login, err := credentials.ReadBasic(s.credentials, secret)
		if err != nil {
			return err
		}
		s.login = &login
	}
	if s.registry, err = s.access().Options(ctx); err != nil {
		return err
	}
	s.traceDB, err = s.traceClient()
	return err
}

// access is how the registry is reached.
func (s *step) access() image.Access { return image.Access{CA: s.ca, Credentials: s.login} }

func (s *step) signingKey() (*ecdsa.PrivateKey, error) {
	key, err := os.ReadFile(s.key)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	password, err := os.ReadFile(s.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("read the signing key's password: %w", err)
	}
	return cosign.PrivateKey(key, []byte(strings.TrimRight(string(password), "\r\n")))
}

// verify checks that an image is signed with the key, and that the signature has the annotations.
func (s *step) verify(ctx context.Context, ref name.Digest, annotations map[string]string) error {
	public, err := os.ReadFile(s.key)
	if err != nil {
		return fmt.Errorf("read the public key: %w", err)
	}
	key, err := cosign.Verifier(public)
	if err != nil {
		return err
	}
	opts, err := image.Access{CA: s.ca}.Options(ctx)
	if err != nil {
		return err
	}
	return cosign.Verify(ctx, ref, key, annotations, opts...)
}

// annotations are those that the sign step makes and later steps ask for: without them a
// signature would say nothing about where the image came from.
func (s *step) annotations() map[string]string {
	return map[string]string{fleet.CommitAnnotation: s.revision, fleet.RepositoryAnnotation: s.repository}
}

// traceClient calls the Traceability DB. Its token is read for each call: the kubelet renews it.
func (s *step) traceClient() (*client.Client, error) {
	transport, err := s.ca.Transport()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		URL:  s.trace,
		HTTP: &http.Client{Transport: transport},
		Token: func(context.Context) (string, error) {
			token, err := os.ReadFile(s.tokenFile)
			return strings.TrimSpace(string(token)), err
		},
	}), nil
}

// traceTimeout is how long the Traceability DB may take to record something.
const traceTimeout = 2 * time.Minute

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
	case errors.Is(err, cosign.ErrNotSigned):
		return ui.WithHint(err, "only the pipeline's sign step has the foundry's key: let the pipeline build and sign this commit")
	}
	return err
}

// anonymous asks Gitea as nobody: anybody may read a service's repository.
func anonymous(ctx context.Context, ca credentials.CA, gitea string) (*giteaclient.Client, error) {
	transport, err := ca.Transport()
	if err != nil {
		return nil, err
	}
	return giteaclient.New(ctx, giteaclient.Options{URL: gitea, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}})
}

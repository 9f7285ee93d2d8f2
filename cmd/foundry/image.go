package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/seal"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/ui"
)

func pushCommand() *cobra.Command {
	var caFile, credentials, archive, repository, digestResult, imageResult string
	cmd := &cobra.Command{
		Use:   "push",
		Short: "Push a built image by its digest",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			access, err := registryAccess(caFile, credentials)
			if err != nil {
				return err
			}
			ref, err := image.Push(cmd.Context(), archive, repository, access)
			if err != nil {
				return explain(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), ref)
			return errors.Join(writeResult(digestResult, ref.DigestStr()), writeResult(imageResult, ref.String()))
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	credentialsFlag(f, &credentials, "password")
	f.StringVar(&archive, "tar", "", "docker archive with the image")
	f.StringVar(&repository, "repository", "", "repository to push to, without a tag")
	f.StringVar(&digestResult, "digest-result", "", "file to write the digest to")
	f.StringVar(&imageResult, "image-result", "", "file to write the image's reference to")
	return required(cmd, "ca-file", "credentials", "tar", "repository")
}

func signCommand() *cobra.Command {
	var caFile, credentials, ref, keyFile, passwordFile string
	var claims map[string]string
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Sign an image with a key, in cosign's form",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			digest, err := image.Digest(ref)
			if err != nil {
				return ui.Usage(err)
			}
			access, err := registryAccess(caFile, credentials)
			if err != nil {
				return err
			}
			key, err := os.ReadFile(keyFile)
			if err != nil {
				return fmt.Errorf("read the signing key: %w", err)
			}
			password, err := os.ReadFile(passwordFile)
			if err != nil {
				return fmt.Errorf("read the signing key's password: %w", err)
			}
			signer, err := seal.Signer(key, []byte(strings.TrimRight(string(password), "\r\n")))
			if err != nil {
				return err
			}
			opts, err := access.Options(cmd.Context())
			if err != nil {
				return err
			}
			added, err := seal.Sign(cmd.Context(), digest, signer, claims, opts...)
			if err != nil {
				return explain(err)
			}
			what := "signed"
			if !added {
				what = "was signed already:"
			}
			fmt.Fprintln(cmd.OutOrStdout(), what, digest)
			return nil
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	credentialsFlag(f, &credentials, "password")
	f.StringVar(&ref, "image", "", "image by digest")
	f.StringVar(&keyFile, "key", "", "file with the private key, in cosign's encrypted form")
	f.StringVar(&passwordFile, "password-file", "", "file with the key's password")
	f.StringToStringVar(&claims, "claim", nil, "name=value to sign together with the digest")
	return required(cmd, "ca-file", "credentials", "image", "key", "password-file")
}

func verifyCommand() *cobra.Command {
	var caFile, ref, keyFile string
	var claims map[string]string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that an image is signed by a key",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			digest, err := image.Digest(ref)
			if err != nil {
				return ui.Usage(err)
			}
			ca, err := trust.ReadCA(caFile)
			if err != nil {
				return err
			}
			if err := verify(cmd.Context(), image.Access{CA: ca}, digest, keyFile, claims); err != nil {
				return explain(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "valid signature:", digest)
			return nil
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	f.StringVar(&ref, "image", "", "image by digest")
	f.StringVar(&keyFile, "key", "", "file with the public key")
	f.StringToStringVar(&claims, "claim", nil, "name=value that the signature must say")
	return required(cmd, "ca-file", "image", "key")
}

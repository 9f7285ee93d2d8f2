package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/cosign"
)

func newSignCmd() *cobra.Command {
	var s step
	var annotations map[string]string
	cmd := newStep(&s, "sign", "Sign an image with a key, in cosign's form", func(ctx context.Context, out io.Writer) error {
		key, err := s.signingKey()
		if err != nil {
			return err
		}
		added, err := cosign.Sign(ctx, s.digest, key, annotations, s.registry...)
		if err != nil {
			return err
		}
		result := "signed"
		if !added {
			result = "was signed already:"
		}
		fmt.Fprintln(out, result, s.digest)
		return nil
	})
	s.flags(cmd, "ca-file", "credentials", "image", "key", "password-file")
	cmd.Flags().StringToStringVar(&annotations, "claim", nil, "name=value to sign together with the digest")
	return cmd
}

func newVerifyCmd() *cobra.Command {
	var s step
	var annotations map[string]string
	cmd := newStep(&s, "verify", "Check that an image is signed by a key", func(ctx context.Context, out io.Writer) error {
		if err := s.verify(ctx, s.digest, annotations); err != nil {
			return err
		}
		fmt.Fprintln(out, "valid signature:", s.digest)
		return nil
	})
	s.flags(cmd, "ca-file", "image", "key")
	cmd.Flags().StringToStringVar(&annotations, "claim", nil, "name=value that the signature must say")
	return cmd
}

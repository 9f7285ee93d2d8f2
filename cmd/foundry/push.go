package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
)

func newPushCmd() *cobra.Command {
	var s step
	var archive, repository, digestResult, imageResult string
	cmd := newStep(&s, "push", "Push a built image by its digest", func(ctx context.Context, out io.Writer) error {
		ref, err := image.Push(ctx, archive, repository, s.access())
		if err != nil {
			return err
		}
		fmt.Fprintln(out, ref)
		return errors.Join(writeResult(digestResult, ref.DigestStr()), writeResult(imageResult, ref.String()))
	})
	s.flags(cmd, "ca-file", "credentials")
	require(cmd, &archive, "tar", "docker archive with the image")
	require(cmd, &repository, "repository", "repository to push to, without a tag")
	cmd.Flags().StringVar(&digestResult, "digest-result", "", "file to write the digest to")
	cmd.Flags().StringVar(&imageResult, "image-result", "", "file to write the image's reference to")
	return cmd
}

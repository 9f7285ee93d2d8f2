package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/druppie/druppie-up/scenarios/platform"
)

func runRegistry(c *call, p *platform.Platform) error {
	arg := c.args[1]
	setenv := func(variable, ref string, err error) error {
		if err == nil {
			c.ts.Setenv(variable, ref)
		}
		return err
	}
	switch c.args[0] {
	case "has":
		digest, ok, err := p.Digest(c.ctx, arg)
		if err == nil && !ok {
			return refusal{fmt.Errorf("the registry has no %s", arg)}
		}
		fmt.Fprintln(c.ts.Stdout(), digest)
		return err
	case "signed":
		err := p.Signed(c.ctx, arg)
		if errors.Is(err, platform.ErrNotSigned) {
			return refusal{err}
		}
		return err
	case "tags":
		tags, err := p.Tags(c.ctx, arg)
		slices.Sort(tags)
		fmt.Fprint(c.ts.Stdout(), strings.Join(append(tags, ""), "\n"))
		return err
	case "variant":
		// The same label again gives the same image: running twice adds nothing.
		ref, err := p.PushVariant(c.ctx, arg, c.args[2])
		return setenv(c.args[2], ref, err)
	case "copy":
		ref, err := p.PushCopy(c.ctx, arg, c.args[2])
		return setenv(c.args[3], ref, err)
	case "tag":
		ref, err := p.Tag(c.ctx, arg, c.args[2])
		fmt.Fprintln(c.ts.Stdout(), ref)
		return err
	case "sign-foreign":
		return p.SignForeign(c.ctx, arg)
	}
	// push-as-nobody
	err := p.PushWithoutCredentials(c.ctx, arg)
	var te *transport.Error
	if errors.As(err, &te) && (te.StatusCode == 401 || te.StatusCode == 403) {
		return refusal{err}
	}
	return err
}

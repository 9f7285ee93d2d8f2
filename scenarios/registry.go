package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/druppie/druppie-up/scenarios/platform"
)

func runRegistry(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	arg := c.args[1]
	switch c.args[0] {
	case "has":
		digest, ok, err := p.Digest(c.ctx, arg)
		if err != nil {
			return err
		}
		if !ok {
			return refusal{fmt.Errorf("the registry has no %s", arg)}
		}
		fmt.Fprintln(c.ts.Stdout(), digest)
		return nil
	case "signed":
		if err := p.Signed(c.ctx, arg); errors.Is(err, platform.ErrNotSigned) {
			return refusal{err}
		} else {
			return err
		}
	case "tags":
		tags, err := p.Tags(c.ctx, arg)
		if err != nil {
			return err
		}
		slices.Sort(tags)
		fmt.Fprint(c.ts.Stdout(), strings.Join(append(tags, ""), "\n"))
		return nil
	case "variant":
		// The same label again gives the same image: running twice adds nothing.
		ref, err := p.PushVariant(c.ctx, arg, c.args[2])
		if err != nil {
			return err
		}
		c.ts.Setenv(c.args[2], ref)
		return nil
	case "copy":
		ref, err := p.PushCopy(c.ctx, arg, c.args[2])
		if err != nil {
			return err
		}
		c.ts.Setenv(c.args[3], ref)
		return nil
	case "tag":
		ref, err := p.Tag(c.ctx, arg, c.args[2])
		if err != nil {
			return err
		}
		fmt.Fprintln(c.ts.Stdout(), ref)
		return nil
	case "sign-foreign":
		return p.SignForeign(c.ctx, arg)
	}
	// push-as-nobody
	err = p.PushWithoutCredentials(c.ctx, arg)
	var te *transport.Error
	if errors.As(err, &te) && (te.StatusCode == 401 || te.StatusCode == 403) {
		return refusal{err}
	}
	return err
}

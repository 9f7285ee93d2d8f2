package bootstrap

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/supply/sources"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

// Render writes everything that Up would apply, but for what is generated
// inside the cluster (secrets, and with them the public key in the policies,
// which shows as its variable). No cluster is needed; upstream's files are
// fetched into the store if they are missing, and images that the store lacks
// are written without a digest and named in an error at the end.
func Render(ctx context.Context, o Options, w io.Writer) error {
	o, err := o.Complete()
	if err != nil {
		return err
	}
	comps, err := loadComponents()
	if err != nil {
		return err
	}
	s, err := store.Open(o.StoreDir)
	if err != nil {
		return err
	}
	if err := sources.Pack(ctx, s, o.golang(), comps); err != nil {
		return err
	}
	r := &renderer{store: s, components: comps, values: siteValues(o), unpinned: map[string]bool{}}
	if err := r.write(w); err != nil {
		return err
	}
	if len(r.unpinned) > 0 {
		return ui.WithHint(fmt.Errorf("%s not in the store, so without a digest: %s", plural(len(r.unpinned), "image"),
			strings.Join(slices.Sorted(maps.Keys(r.unpinned)), ", ")), "fill it with `druppie-up supply fill`")
	}
	return nil
}

func (r *renderer) write(w io.Writer) error {
	objs, err := r.units(append(slices.Clone(nodeUnits), "flux"))
	if err != nil {
		return err
	}
	foundation, err := r.foundation()
	if err != nil {
		return err
	}
	out, err := encode(append(objs, foundation...))
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return err
	}
	files, err := r.repository()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := fmt.Fprintf(w, "---\n# platform repository: %s\n%s", name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

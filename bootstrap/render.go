package bootstrap

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/bootstrap/flux"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/supply/sources"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/ui"
)

// Render writes everything that Up would apply to a new cluster, but for what is generated
// inside it (secrets, and with them the public key in the policies, and the nodes'
// addresses; these two show as their variables). No cluster is needed; upstream's files are
// fetched into the store if they are missing, and images that the store lacks
// are written without a digest and named in an error at the end. The options are
// as Complete returned them.
func Render(ctx context.Context, o Options, w io.Writer) error {
	in, err := openInputs(o)
	if err != nil {
		return err
	}
	if err := sources.Pack(ctx, in.store, o.golang(), in.components); err != nil {
		return err
	}
	var applied []*unstructured.Unstructured
	files := map[string][]byte{}
	var lacking []string
	for _, p := range part.All() {
		objs, missing, err := renderer{inputs: in, tenants: tenant.Sample(), vars: map[string]string{varNodes: "${" + varNodes + "}"}}.part(p)
		if err != nil {
			return err
		}
		lacking = append(lacking, missing...)
		if p.By != part.Flux {
			applied = append(applied, objs...)
		} else if files[p.RepositoryFolder()+"/all.yaml"], err = kube.Encode(objs); err != nil {
			return err
		}
	}
	entry, err := flux.Tree(part.InstalledBy(part.Flux), tenant.Sample())
	if err != nil {
		return err
	}
	maps.Copy(files, entry)
	if err := write(w, applied, files); err != nil {
		return err
	}
	if slices.Sort(lacking); len(lacking) > 0 {
		lacking = slices.Compact(lacking)
		return ui.WithHint(fmt.Errorf("%s not in the store, so without a digest: %s", plural(len(lacking), "image"),
			strings.Join(lacking, ", ")), "fill it with `druppie-up supply fill`")
	}
	return nil
}

func write(w io.Writer, applied []*unstructured.Unstructured, files map[string][]byte) error {
	out, err := kube.Encode(applied)
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := fmt.Fprintf(w, "---\n# platform repository: %s\n%s", name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

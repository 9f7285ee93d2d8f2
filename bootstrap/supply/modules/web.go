package modules

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/druppie/druppie-up/bootstrap/component"
)

// web builds a source's web assets: node and pnpm come from npm at the pinned
// versions, everything else as the project's lockfile says, which names the
// hash of each package. The result lands below "web" beside the binaries.
func (b *Builder) web(ctx context.Context, c component.Component, s component.Source, src, out string, m *progress) error {
	w := s.Build.Web
	defer m.work(c.Name, s.Name+" web")()
	toolDir := filepath.Join(src, ".webtools")
	if err := os.MkdirAll(toolDir, 0o755); err != nil {
		return err
	}
	npm := append([]string{"install", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", toolDir}, w.Tools...)
	if _, err := b.tool(ctx, toolDir, nil, "npm", npm...); err != nil {
		return err
	}
	env := []string{
		"PATH=" + filepath.Join(toolDir, "node_modules", ".bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		// The pinned pnpm is the one that runs, whatever package.json asks for.
		"npm_config_manage_package_manager_versions=false",
		"CI=true", "NODE_ENV=", "SOURCE_DATE_EPOCH=1767225600",
	}
	pnpm := filepath.Join(toolDir, "node_modules", ".bin", "pnpm")
	store, err := b.dir("tmp", "pnpm-store")
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"install", "--frozen-lockfile", "--store-dir", store},
		append([]string{"exec"}, w.Script...),
	} {
		if _, err := b.tool(ctx, src, env, pnpm, args...); err != nil {
			return err
		}
	}
	for _, o := range w.Output {
		from := os.DirFS(filepath.Join(src, filepath.FromSlash(o)))
		if err := os.CopyFS(filepath.Join(out, "web", filepath.FromSlash(o)), from); err != nil {
			return fmt.Errorf("web assets: %w", err)
		}
	}
	return nil
}

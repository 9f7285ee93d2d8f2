// Package policies holds the Kyverno policies that guard tenant namespaces,
// one folder each, and a kustomization over all. It is data: nothing here
// thinks. Tests of a policy stand beside it and are not embedded.
package policies

import "embed"

// FS holds kustomization.yaml and every <policy>/policy.yaml.
//
//go:embed kustomization.yaml */policy.yaml
var FS embed.FS

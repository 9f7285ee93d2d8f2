// Package policies holds the Kyverno policies that guard tenant namespaces,
// one folder each, and a kustomization over all. It is data: nothing here
// thinks. Tests of a policy stand beside it and are not embedded.
package policies

import "embed"

// FS holds kustomization.yaml, every <policy>/policy.yaml, and what a policy may read.
//
//go:embed kustomization.yaml */*.yaml
var FS embed.FS

// Controls is controls.yaml: what the platform promises, one entry for each step and control of the design.
//
//go:embed controls.yaml
var Controls []byte

// Haven is haven.yaml: the checks of the standard Haven, as questions to a cluster.
//
//go:embed haven.yaml
var Haven []byte

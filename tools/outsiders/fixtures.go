//go:build fixtures

// Package outsiders pins what is read of other modules rather than run: their fixtures and schemas.
package outsiders

import (
	_ "github.com/CycloneDX/cyclonedx-go"
	_ "k8s.io/pod-security-admission/test"
)

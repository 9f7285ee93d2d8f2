// Package registryworld holds the test behind `make e2e-registry`: an empty store is filled from a registry
// that has every image under upstream's name, and carries the platform to its first flight. It owns that
// registry, which serves a filled store and misbehaves on purpose, and a cluster of its own name; it drives
// the built command, and refuses to change the store that it serves.
package registryworld

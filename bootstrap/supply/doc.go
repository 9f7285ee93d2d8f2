// Package supply owns the store of images and upstream files, and what fills it.
//
// The store is an OCI image layout in the user's cache folder. Every image is
// kept under its upstream name and tag; source files of upstream projects are
// kept as OCI artifacts beside them. A blob enters the store only after its
// digest was checked, and a name only after all its blobs are there: a name
// that can be looked up is complete, however its writer ended.
//
// The package refuses to know clusters: it doesn't start the mirror, it doesn't
// render manifests, and it never writes into a container engine anything that
// the store doesn't hold.
package supply

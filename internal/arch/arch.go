// Package arch holds the rules of this module as tests: who may import whom, and what must not be in
// the tree. It owns no code that anything runs, and nothing imports it.
package arch

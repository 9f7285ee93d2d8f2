// Package chaos holds the test behind `make chaos`: the command, the engine and the node are killed, and
// the next up has to complete with everything from before still there. It owns a cluster of its own name
// and drives the built command; it refuses to kill an engine that runs anybody else's containers.
package chaos

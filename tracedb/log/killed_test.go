package log_test

import "testing"

func testKilled(t *testing.T, e engine) {}

var replicas = []struct {
	name string
	run  func(t *testing.T, e engine, s any)
}{}

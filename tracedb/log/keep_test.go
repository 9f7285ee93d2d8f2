package log_test

import (
	"testing"
)

func testAppendOnly(t *testing.T, e engine) {}
func testTampered(t *testing.T, e engine)   {}
func testRewritten(t *testing.T, e engine)  {}
func testDispose(t *testing.T, e engine)    {}
func testRebuild(t *testing.T, e engine)    {}
func testKilled(t *testing.T, e engine)     {}

var replicas = []struct {
	name string
	run  func(t *testing.T, e engine, s any)
}{}

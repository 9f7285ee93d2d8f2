package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/publish"
)

// TestOperating holds docs/trace/operating.md against the configuration and the commands: every key and
// every command is in it, and every key and metric in it exists.
func TestOperating(t *testing.T) {
	raw, err := os.ReadFile("../../docs/trace/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	keys := configKeys(reflect.TypeFor[config](), "")
	for _, key := range keys {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("the key %s isn't described", key)
		}
	}
	for row := range strings.Lines(text) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || cells[1] == " key " {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			if !slices.Contains(keys, name[1]) {
				t.Errorf("there is no key %s", name[1])
			}
		}
	}
	for _, cmd := range newRootCmd(ui.Streams{}, new(bool)).Commands() {
		if name := "tracedb " + cmd.Name(); !strings.Contains(text, name) && cmd.Name() != "version" {
			t.Errorf("%s isn't described", name)
		}
	}
	h := newFixture(t)
	h.start()
	h.server.health.publishes(func() publish.Status { return publish.Status{} }) // this fixture has no Gitea
	// Counters with labels are there when they have counted.
	h.get("https://trace.test/v1/register", "")
	_, metrics := h.get("http://"+h.server.healthListener.Addr().String()+"/metrics", "")
	for _, name := range regexp.MustCompile("`(tracedb_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		if name[1] == "tracedb_admission_decisions_total" {
			continue // nothing was asked for admission
		}
		if !strings.Contains(metrics, "\n"+name[1]) {
			t.Errorf("there is no metric %s", name[1])
		}
	}
}

// configKeys lists the keys of a configuration; lists of objects count as one.
func configKeys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + strings.Split(f.Tag.Get("json"), ",")[0]
		if f.Type.Kind() == reflect.Struct {
			out = append(out, configKeys(f.Type, key+".")...)
			continue
		}
		out = append(out, key)
	}
	return out
}

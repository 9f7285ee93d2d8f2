package strict

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

type sample struct {
	Name  string    `json:"name"`
	At    time.Time `json:"at,omitzero"`
	Size  int       `json:"size,omitempty"`
	Inner []struct {
		Value string `json:"value"`
	} `json:"inner,omitempty"`
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, give string
		fields     Fields
		field      string // where it is refused; with want
		want       string // part of the message; empty: taken
	}{
		{name: "good", give: `{"name":"x","inner":[{"value":"y"}]}` + "\n ", fields: Known},
		{name: "same name in another object", give: `{"name":"x","inner":[{"value":"y"},{"value":"z"}]}`, fields: Known},
		{name: "unknown where any may come", give: `{"name":"x","more":{"a":[1,null,true]}}`, fields: Any},
		{name: "unknown", give: `{"name":"x","more":1}`, fields: Known, field: "more", want: "no such field"},
		{name: "unknown below", give: `{"inner":[{"value":"y"},{"valeu":"z"}]}`, fields: Known, field: "inner[1].valeu", want: "no such field"},
		{name: "twice", give: `{"name":"x","name":"y"}`, fields: Any, field: "name", want: "comes twice"},
		{name: "twice in another case", give: `{"name":"x","Name":"y"}`, fields: Any, field: "Name", want: "comes twice"},
		{name: "twice by an escape", give: `{"name":"x","n\u0061me":"y"}`, fields: Any, field: "name", want: "comes twice"},
		{name: "twice below what isn't known", give: `{"name":"x","more":[{"a":1,"A":2}]}`, fields: Any, field: "more[0].A", want: "comes twice"},
		{name: "another case", give: `{"Name":"x"}`, fields: Known, field: "Name", want: "no such field"},
		{name: "trailing value", give: `{"name":"x"}{}`, fields: Known, want: "something follows"},
		{name: "trailing text", give: `{"name":"x"} x`, fields: Known, want: "something follows"},
		{name: "trailing after a scalar", give: `1 2`, fields: Known, want: "something follows"},
		{name: "wrong type", give: `{"name":7}`, fields: Known, field: "name", want: "this number is not what belongs here"},
		{name: "scalar for an object", give: `"x"`, fields: Known, want: "this text is not what belongs here"},
		{name: "time", give: `{"at":"yesterday"}`, fields: Known, field: "at", want: "RFC 3339"},
		{name: "number too large", give: `{"size":1e99}`, fields: Known, field: "size", want: "this number"},
		{name: "cut short", give: `{"name":`, fields: Known, want: "not valid JSON"},
		{name: "nothing", give: ``, fields: Known, want: "not valid JSON"},
		{name: "bad UTF-8", give: "{\"name\":\"\xff\"}", fields: Known, field: "name", want: "not valid JSON"},
		{name: "lone surrogate", give: `{"name":"\ud800"}`, fields: Known, field: "name", want: "not valid JSON"},
		{name: "too deep", give: strings.Repeat("[", 200) + strings.Repeat("]", 200), fields: Any, want: "nested deeper"},
		{name: "markup in a name", give: `{"<script>":1}`, fields: Known, field: "?script?", want: "no such field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v sample
			err := Decode([]byte(tt.give), &v, tt.fields)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Decode() = %v", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("Decode() took it as %+v, want %q", v, tt.want)
			}
			e := tracedb.AsError(err)
			if e.Code != "invalid_record" || !strings.Contains(e.Message, tt.want) || tt.name != "too deep" && tt.name != "cut short" && e.Field != tt.field {
				t.Errorf("Decode() = %s at %q: %s, want %q at %q", e.Code, e.Field, e.Message, tt.want, tt.field)
			}
		})
	}
}

// FuzzCheck holds that what passes is valid JSON for everybody else, too.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":1,"A":2}`, `[{"a":[]}]`, `"x"`, `1 2`, `{"a":{"a":{}}}`, ` null `, `{"":0}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) == nil && !json.Valid(data) {
			t.Errorf("Check took %q, which isn't JSON", data)
		}
	})
}

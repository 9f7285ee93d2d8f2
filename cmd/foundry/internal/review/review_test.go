package review_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/cmd/foundry/internal/review"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/internal/giteaclient"
)

const repository = "druppie/drone-service"

// forge is a repository whose main is changed by pull requests, and Gitea's word on them.
type forge struct {
	t       *testing.T
	git     foundrytest.Git
	main    string                       // what main is at
	first   string                       // its first commit
	pulls   map[string]int               // by the commit that was merged
	reviews map[int][]map[string]any     // by pull request
	events  map[int][]map[string]any     // before the merge, by pull request
	state   map[string]map[string]string // files by commit
}

func newForge(t *testing.T, files map[string]string) *forge {
	g := foundrytest.NewGit(t, repository, files)
	return &forge{
		t: t, git: g, main: g.Commits[0], first: g.Commits[0],
		pulls: map[string]int{}, reviews: map[int][]map[string]any{}, events: map[int][]map[string]any{}, state: map[string]map[string]string{g.Commits[0]: files},
	}
}

type set = map[string]string

// with is the files of a commit with some of them changed; the empty text takes one away.
func (f *forge) with(commit string, change set) set {
	files := maps.Clone(f.state[commit])
	maps.Copy(files, change)
	maps.DeleteFunc(files, func(_, text string) bool { return text == "" })
	return files
}

// propose commits a change on top of another commit.
func (f *forge) propose(on string, change set) string {
	files := f.with(on, change)
	c := f.git.Commit(f.t, fmt.Sprintf("branch-%d", len(f.state)), on, files)
	f.state[c] = files
	return c
}

// merge puts a change on top of main; with reviews there is a pull request of it.
func (f *forge) merge(change set, reviews ...map[string]any) string {
	files := f.with(f.main, change)
	f.main = f.git.Commit(f.t, "main", f.main, files)
	f.state[f.main] = files
	if reviews != nil {
		number := len(f.pulls) + 1
		for i := range reviews {
			reviews[i]["id"] = i + 1
		}
		f.pulls[f.main], f.reviews[number] = number, reviews
	}
	return f.main
}

// approval is reviewer's, of a commit, with some things otherwise.
func approval(commit string, otherwise ...any) map[string]any {
	r := map[string]any{"state": "APPROVED", "official": true, "commit_id": commit, "submitted_at": noon, "user": map[string]any{"login": "reviewer"}}
	for i := 0; i < len(otherwise); i += 2 {
		r[otherwise[i].(string)] = otherwise[i+1]
	}
	return r
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/repos/"+repository)
	var commit string
	var number int
	switch {
	case ok && strings.HasPrefix(path, "/commits/") && strings.HasSuffix(path, "/pull"):
		commit = strings.TrimSuffix(strings.TrimPrefix(path, "/commits/"), "/pull")
		if number = f.pulls[commit]; number == 0 {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"number": number, "merged": true, "user": map[string]any{"login": "builder"}, "base": map[string]any{"ref": "main"},
		})
	case ok && strings.HasSuffix(path, "/reviews"):
		if _, err := fmt.Sscanf(path, "/pulls/%d/reviews", &number); err != nil {
			f.t.Error(err)
		}
		w.Header().Set("X-Total-Count", strconv.Itoa(len(f.reviews[number])))
		_ = json.NewEncoder(w).Encode(page(r, f.reviews[number]))
	case ok && strings.HasSuffix(path, "/timeline"):
		if _, err := fmt.Sscanf(path, "/issues/%d/timeline", &number); err != nil {
			f.t.Error(err)
		}
		events := append(slices.Clone(f.events[number]), map[string]any{"type": "merge_pull"})
		// Gitea takes comments on code out of a page.
		_ = json.NewEncoder(w).Encode(slices.DeleteFunc(page(r, events), func(e map[string]any) bool { return e["type"] == "code" }))
	default:
		http.Error(w, "unexpected "+r.URL.Path, http.StatusTeapot)
	}
}

func page(r *http.Request, all []map[string]any) []map[string]any {
	number, _ := strconv.Atoi(r.FormValue("page"))
	size, _ := strconv.Atoi(r.FormValue("limit"))
	from := min((number-1)*size, len(all))
	return slices.Clone(all[from:min(from+size, len(all))])
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const (
	long  = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven\ntwelve\n"
	other = "user"
)

func TestCheck(t *testing.T) {
	edit := func(old, new string) set { return set{"long": strings.Replace(long, old, new, 1)} }
	tests := []struct {
		name string
		// history changes main; what it gives is released ("": nothing is).
		history func(f *forge) (released string)
		want    []string // of the refusal; none: there is none
	}{
		{"nothing but the first commit", func(f *forge) string { return "" }, nil},
		{"approved as it was merged", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			return ""
		}, nil},
		{"main moved meanwhile", func(f *forge) string {
			a, b := f.propose(f.main, set{"a": "2"}), f.propose(f.main, set{"b": "2"})
			f.merge(set{"a": "2"}, approval(a))
			f.merge(set{"b": "2"}, approval(b))
			return ""
		}, nil},
		{"a file that main changed elsewhere meanwhile", func(f *forge) string {
			a, b := f.propose(f.main, edit("two", "2")), f.propose(f.main, edit("eleven", "11"))
			f.merge(edit("two", "2"), approval(a))
			f.merge(set{"long": strings.Replace(strings.Replace(long, "two", "2", 1), "eleven", "11", 1)}, approval(b))
			return ""
		}, nil},
		{"a file that main changed elsewhere, with other lines", func(f *forge) string {
			a, b := f.propose(f.main, edit("two", "2")), f.propose(f.main, edit("eleven", "11"))
			f.merge(edit("two", "2"), approval(a))
			f.merge(set{"long": strings.Replace(strings.Replace(long, "two", "2", 1), "eleven", "12", 1)}, approval(b))
			return ""
		}, []string{"in long", "reviewer approved"}},
		{"the same change came onto main first", func(f *forge) string {
			a, b := f.propose(f.main, set{"a": "2"}), f.propose(f.main, set{"a": "2", "b": "2"})
			f.merge(set{"a": "2"}, approval(a))
			f.merge(set{"b": "2"}, approval(b))
			return ""
		}, nil},
		{"what main got meanwhile is undone", func(f *forge) string {
			a, b := f.propose(f.main, edit("two", "mended")), f.propose(f.main, set{"b": "2"})
			f.merge(edit("two", "mended"), approval(a))
			f.merge(set{"b": "2", "long": long}, approval(b))
			return ""
		}, []string{"something else was merged in long"}},
		{"what main got meanwhile is undone by what was approved", func(f *forge) string {
			a, b := f.propose(f.main, edit("two", "mended")), f.propose(f.main, edit("eleven", "11"))
			f.merge(edit("two", "mended"), approval(a))
			f.merge(edit("eleven", "11"), approval(b))
			return ""
		}, []string{"something else was merged in long"}},
		{"pushed while the pull request was closed", func(f *forge) string {
			f.merge(set{"a": "2", "evil": "1"}, approval(f.propose(f.main, set{"a": "2"})))
			return ""
		}, []string{"holds what nobody approved in a, evil:", "of pull request 1, and something else was merged in evil"}},
		{"other contents", func(f *forge) string {
			f.merge(set{"a": "3"}, approval(f.propose(f.main, set{"a": "2"})))
			return ""
		}, []string{"something else was merged in a"}},
		{"a file dropped after the approval", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2", "check": "it"})))
			return ""
		}, []string{"in a:", "something else was merged in check"}},
		{"a file that was approved to go, and stayed", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2", "b": ""})))
			return ""
		}, []string{"something else was merged in b"}},
		{"no pull request", func(f *forge) string {
			f.merge(set{"a": "2"})
			return ""
		}, []string{"no pull request brought it"}},
		{"nobody approved", func(f *forge) string {
			f.merge(set{"a": "2"}, []map[string]any{}...)
			return ""
		}, []string{"nobody else's approval of pull request 1 stands"}},
		{"the author's own approval", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"}), other, map[string]any{"login": "builder"}))
			return ""
		}, []string{"nobody else's approval"}},
		{"of somebody whose approval doesn't count", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"}), "official", false))
			return ""
		}, []string{"nobody else's approval"}},
		{"dismissed", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"}), "dismissed", true))
			return ""
		}, []string{"nobody else's approval"}},
		{"taken back", func(f *forge) string {
			c := f.propose(f.main, set{"a": "2"})
			f.merge(set{"a": "2"}, approval(c, "official", false), approval(c, "state", "REQUEST_CHANGES"))
			return ""
		}, []string{"nobody else's approval"}},
		{"approved again as it is", func(f *forge) string {
			c := f.propose(f.main, set{"a": "1.5"})
			f.merge(set{"a": "2"}, approval(c, "official", false), approval(f.propose(c, set{"a": "2"})))
			return ""
		}, nil},
		{"two who approved, one of what was merged", func(f *forge) string {
			c := f.propose(f.main, set{"a": "1.5"})
			f.merge(set{"a": "2"}, approval(f.propose(c, set{"a": "2"})), approval(c, other, map[string]any{"login": "second"}))
			return ""
		}, nil},
		{"after many comments", func(f *forge) string {
			reviews := make([]map[string]any, 120)
			for i := range reviews { // each has an id of its own
				reviews[i] = map[string]any{"state": "COMMENT", "user": map[string]any{"login": "builder"}}
			}
			f.merge(set{"a": "2"}, append(reviews, approval(f.propose(f.main, set{"a": "2"})))...)
			f.events[1] = slices.Repeat([]map[string]any{{"type": "code"}}, 120)
			return ""
		}, nil},
		{"turned to main after the approval", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			f.events[1] = append(slices.Repeat([]map[string]any{{"type": "code"}}, 120), map[string]any{"type": "change_target_branch", "created_at": noon})
			return ""
		}, []string{"nobody else's approval"}},
		{"turned to main before the approval", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			f.events[1] = []map[string]any{{"type": "change_target_branch", "created_at": noon.Add(-time.Second)}}
			return ""
		}, nil},
		{"a timeline without an end", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			f.events[1] = slices.Repeat([]map[string]any{{"type": "label"}}, 2000)
			return ""
		}, []string{"no merge among the first 2000 events"}},
		{"what was approved is gone", func(f *forge) string {
			f.merge(set{"a": "2"}, approval(strings.Repeat("1", 40)))
			return ""
		}, []string{"history, without what is in the files: fetch"}},
		{"the merge before it wasn't approved", func(f *forge) string {
			f.merge(set{"evil": "1"})
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			return ""
		}, []string{"in evil", "no pull request brought it"}},
		{"built on what nobody approved", func(f *forge) string {
			f.merge(edit("two", "evil"))
			next := set{"long": strings.Replace(strings.Replace(long, "two", "evil", 1), "ten", "10", 1)}
			f.merge(next, approval(f.propose(f.main, next)))
			return ""
		}, []string{"in long"}},
		{"taken back and proposed again", func(f *forge) string {
			f.merge(set{"a": "2", "evil": "1"}, approval(f.propose(f.main, set{"a": "2"})))
			f.merge(set{"a": "1", "evil": ""}, approval(f.propose(f.main, set{"a": "1", "evil": ""})))
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			return ""
		}, nil},
		{"before what is released", func(f *forge) string {
			released := f.merge(set{"evil": "1"})
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			return released
		}, nil},
		{"history that was rewritten", func(f *forge) string {
			released := f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			f.git.SetBranch(f.t, "released", released)
			f.main = f.first
			f.merge(set{"a": "evil"})
			return released
		}, []string{"in a"}},
		{"history that was rewritten, and is as it was released", func(f *forge) string {
			released := f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			f.git.SetBranch(f.t, "released", released)
			f.main = f.first
			f.merge(set{"a": "evil"})
			f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			return released
		}, nil},
		{"history that was rewritten to an older commit", func(f *forge) string {
			released := f.merge(set{"a": "2"}, approval(f.propose(f.main, set{"a": "2"})))
			f.git.SetBranch(f.t, "released", released)
			f.main = f.first
			f.git.SetBranch(f.t, "main", f.first)
			return released
		}, []string{"in a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newForge(t, set{"a": "1", "b": "1", "long": long})
			released := tt.history(f)
			address, ca := foundrytest.Gitea(t, f, f.git)
			transport, err := ca.Transport()
			if err != nil {
				t.Fatal(err)
			}
			client, err := giteaclient.New(t.Context(), giteaclient.Options{URL: address, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			u, err := source.URL(address, repository)
			if err != nil {
				t.Fatal(err)
			}
			r := review.Reviews{Gitea: client, Remote: source.Remote{URL: u, CA: ca}, Repository: repository}
			err = r.Check(t.Context(), released, f.main)
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "%!") {
				t.Errorf("got %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
}

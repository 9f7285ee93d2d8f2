package main

import (
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/bootstrap/supply/registry"
	"github.com/druppie/druppie-up/internal/names"
)

// How the library's results look as tables. What is long or for programs only stays in the JSON.

func upView(s bootstrap.Summary) view {
	v := view{headers: []string{"what", "where"}}
	for _, u := range s.URLs {
		v.rows = append(v.rows, []string{u.Title, u.Address})
	}
	v.rows = append(v.rows, []string{"kubeconfig", s.Kubeconfig}, []string{"Passwords", "druppie-up credentials" + nameArg(s.Name)})
	return v
}

// nameArg is what has to be added to a command for a cluster that doesn't have the default name.
func nameArg(name string) string {
	if name == names.DefaultPlatform {
		return ""
	}
	return " --name " + name
}

// platformArg is how another command is told which platform is meant.
func platformArg(o bootstrap.Options) string {
	if o.Context != "" {
		return " --context " + o.Context
	}
	return nameArg(o.Name)
}

// credentialsView leaves the tokens, which only programs use, to the JSON.
func credentialsView(all []bootstrap.Credential) view {
	v := view{headers: []string{"where", "username", "password"}}
	for _, c := range all {
		v.rows = append(v.rows, []string{c.Where, c.Username, c.Password})
	}
	return v
}

func statusView(s bootstrap.Status) view {
	v := view{headers: []string{"what", "name", "state", "message"}}
	v.rows = append(v.rows, []string{"cluster", s.Name, s.State, ""})
	conditions := func(what string, list []bootstrap.Condition) {
		for _, c := range list {
			state := "ready"
			switch {
			case c.Suspended:
				state = "suspended"
			case !c.Ready:
				state = "not ready"
			}
			v.rows = append(v.rows, []string{what, c.Name, state, c.Message})
		}
	}
	conditions("node", s.Nodes)
	conditions("part", s.Parts)
	for _, r := range s.Runs {
		v.rows = append(v.rows, []string{"run", r.Name, r.State, runMessage(r)})
	}
	for _, u := range s.URLs {
		v.rows = append(v.rows, []string{"page", u.Title, "", u.Address})
	}
	return v
}

func runMessage(r bootstrap.PipelineRun) string {
	parts := []string{r.Repository}
	if len(r.Commit) > 12 {
		parts = append(parts, r.Commit[:12])
	}
	if r.Took != "" {
		parts = append(parts, "took "+r.Took)
	}
	return strings.Join(parts, ", ")
}

func supplyView(items []bootstrap.SupplyItem) view {
	v := view{headers: []string{"state", "stage", "component", "what", "digest", "from", "reason"}}
	for _, i := range items {
		v.rows = append(v.rows, []string{i.State, i.Stage, i.Component, i.Ref, shortDigest(i.Digest), i.Supply, i.Reason})
	}
	return v
}

func lockView(items []registry.Locked) view {
	v := view{headers: []string{"image", "pinned", "upstream's now", "error"}}
	for _, i := range items {
		v.rows = append(v.rows, []string{i.Ref, i.Pinned, i.Found, i.Error})
	}
	return v
}

// shortDigest is enough of a digest for people to tell two apart.
func shortDigest(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

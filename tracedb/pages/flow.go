package pages

import (
	"slices"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

// stepState is what the log shows of a step of the flow.
type stepState string

// The states, which are also classes of the style sheet. A diagram that only explains the flow has them all plain.
const (
	stateNone     stepState = "plain"
	stateEvidence stepState = "lit" // there is evidence
	stateMissing  stepState = "dim" // there is none
	stateFailed   stepState = "red" // the newest evidence is of a refusal or a failure
)

// step is a step of the platform's flow, with the controls that guard it.
type step struct {
	ID       string
	Controls []string
	col, row int // in the wide drawing; row 1 is the middle
}

// steps are those of the flow, in its order. Controls stand where the design puts them.
var steps = []step{
	{"F0", nil, 0, 1},
	{"F1", []string{"C1"}, 1, 1},
	{"F2", []string{"C6"}, 2, 1},
	{"F3a", []string{"C3", "C6"}, 3, 0},
	{"F3b", []string{"C2"}, 3, 1},
	{"F3c", nil, 3, 2},
	{"F4", []string{"C4"}, 4, 1},
	{"F5", []string{"C4"}, 5, 1},
	{"F6", []string{"C5"}, 6, 1},
	{"F7a", nil, 7, 0},
	{"F7b", []string{"C5"}, 7, 2},
	{"F8", nil, 8, 1},
}

// edges are those of the flow.
var edges = [][2]string{
	{"F0", "F1"}, {"F1", "F2"}, {"F2", "F3a"}, {"F2", "F3b"}, {"F2", "F3c"}, {"F3a", "F4"}, {"F3b", "F4"},
	{"F3c", "F4"}, {"F4", "F5"}, {"F5", "F6"}, {"F6", "F7a"}, {"F6", "F7b"}, {"F7a", "F8"},
}

// swimlanes are the parts of the platform, by the columns of the wide drawing that they cover.
var swimlanes = []struct {
	key        string
	first, end int
}{{"ask", 0, 1}, {"foundry", 1, 4}, {"gitops", 4, 6}, {"runtime", 6, 8}, {"observe", 8, 9}}

// drawing is a diagram of the flow, ready for a template to write as SVG.
type drawing struct {
	ID    string
	W, H  int
	Lanes []swimlane
	Edges []edge
	Nodes []node
}

type swimlane struct {
	Key  string
	X, W int
	H    int
}

type edge struct {
	X1, Y1, X2, Y2, MX, MY int
	Tall                   bool // from below to above, instead of from the right to the left
	State                  stepState
}

type node struct {
	step
	X, Y, W, H int
	State      stepState
	Count      int    // records
	Bad        int    // of which refusals and failures
	Href       string // empty: no link
}

// PillX is where the i-th control's badge stands.
func (n node) PillX(i int) int { return n.X + 8 + i*30 }

const (
	nodeW, nodeH = 112, 76
	pitchX       = 134
	pitchY       = 94
)

// wide draws the flow from left to right.
func wide(nodes map[string]node) drawing {
	d := drawing{ID: "wide", W: swimlanes[len(swimlanes)-1].end*pitchX + 8, H: 3*pitchY + 58}
	for _, l := range swimlanes {
		d.Lanes = append(d.Lanes, swimlane{Key: l.key, X: 4 + l.first*pitchX + 4, W: (l.end-l.first)*pitchX - 8, H: 3*pitchY + 34})
	}
	place := map[string]node{}
	for _, s := range steps {
		n := nodes[s.ID]
		n.step, n.W, n.H = s, nodeW, nodeH
		n.X, n.Y = 4+s.col*pitchX+(pitchX-nodeW)/2, 36+s.row*pitchY
		place[s.ID] = n
		d.Nodes = append(d.Nodes, n)
	}
	for _, w := range edges {
		a, b := place[w[0]], place[w[1]]
		e := edge{X1: a.X + a.W, Y1: a.Y + a.H/2, X2: b.X - 1, Y2: b.Y + b.H/2, State: between(a, b)}
		e.MX = (e.X1 + e.X2) / 2
		d.Edges = append(d.Edges, e)
	}
	return d
}

// tall draws the flow from top to bottom, for narrow windows.
func tall(nodes map[string]node) drawing {
	const w, gap = 104, 8
	d := drawing{ID: "tall", W: 3*w + 2*gap + 4}
	place := map[string]node{}
	y := 2
	for i := 0; i < len(steps); {
		j := i
		for j < len(steps) && steps[j].col == steps[i].col {
			j++
		}
		row := steps[i:j]
		width := w
		if len(row) == 1 {
			width = 160
		}
		x := (d.W - len(row)*width - (len(row)-1)*gap) / 2
		for _, s := range row {
			n := nodes[s.ID]
			n.step, n.X, n.Y, n.W, n.H = s, x, y, width, nodeH
			place[s.ID] = n
			d.Nodes = append(d.Nodes, n)
			x += width + gap
		}
		y += nodeH + 24
		i = j
	}
	d.H = y - 22
	for _, w := range edges {
		a, b := place[w[0]], place[w[1]]
		e := edge{X1: a.X + a.W/2, Y1: a.Y + a.H, X2: b.X + b.W/2, Y2: b.Y - 1, Tall: true, State: between(a, b)}
		e.MY = (e.Y1 + e.Y2) / 2
		d.Edges = append(d.Edges, e)
	}
	return d
}

// between is the state of the edge from a to b.
func between(a, b node) stepState {
	switch {
	case a.State == stateNone:
		return stateNone
	case b.State == stateFailed && a.State != stateMissing:
		return stateFailed
	case a.State != stateMissing && b.State == stateEvidence:
		return stateEvidence
	}
	return stateMissing
}

// explain is a diagram in which every step is plain.
func explain() []drawing {
	return draw(func(step) node { return node{State: stateNone} })
}

// diagram draws the flow with the states that a chain gives its steps.
func diagram(byStep map[string][]why.Link) []drawing {
	return draw(func(s step) node { return newNode(s.ID, evidence(s.ID, byStep)) })
}

func draw(of func(step) node) []drawing {
	nodes := map[string]node{}
	for _, s := range steps {
		nodes[s.ID] = of(s)
	}
	return []drawing{wide(nodes), tall(nodes)}
}

// evidence lists the records of a step. Refusals at admission are shown under F7b, and are decisions of F6.
func evidence(id string, byStep map[string][]why.Link) []why.Link {
	if id == "F6" {
		return slices.Concat(byStep["F6"], byStep["F7b"])
	}
	return byStep[id]
}

// newNode is a step with the state that its records give it. Only what counts now makes it fail: a gate that
// failed and passed in a later run has evidence, and the count of failures says that there is more to read.
func newNode(id string, links []why.Link) node {
	n := node{State: stateMissing, Count: len(links), Href: "#" + id}
	for _, l := range links {
		if l.Outcome.Bad() {
			n.Bad++
		}
	}
	if n.Count == 0 {
		return n
	}
	n.State = stateEvidence
	newest := map[tracedb.Kind]why.Link{}
	for _, l := range links {
		if old, ok := newest[l.Kind]; !ok || l.Seq > old.Seq {
			newest[l.Kind] = l
		}
	}
	for _, l := range links {
		last := newest[l.Kind]
		if l.Outcome.Bad() && (l.Seq == last.Seq || sameRun(l, last)) {
			n.State = stateFailed
		}
	}
	return n
}

// sameRun says whether two records are of one pipeline run, whose gates count together.
func sameRun(a, b why.Link) bool {
	run := a.First(tracedb.RefRun)
	return run != "" && run == b.First(tracedb.RefRun)
}

// byStep sorts links under the steps of the flow. A pod that runs is evidence of F7a and a denial of
// F7b, whatever step they are listed under; a link of no step of the flow goes under the empty one.
func byStep(links []why.Link) map[string][]why.Link {
	out := map[string][]why.Link{}
	for _, l := range links {
		id := l.Step
		switch {
		case l.Kind == tracedb.KindDeployment && (l.Outcome == tracedb.Running || l.Outcome == tracedb.Gone):
			id = "F7a"
		case l.Kind == tracedb.KindAdmission && l.Outcome == tracedb.Denied:
			id = "F7b"
		case !slices.ContainsFunc(steps, func(s step) bool { return s.ID == id }):
			id = ""
		}
		out[id] = append(out[id], l)
	}
	return out
}

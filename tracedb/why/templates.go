package why

import (
	"slices"
	"strconv"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// templates says for every kind how its records are described.
var templates = map[tracedb.Kind]template{
	tracedb.KindSpec: {
		en:     "Spec {spec}[: “{title}”][, asked for by {requested_by}]",
		nl:     "Spec {spec}[: “{title}”][, gevraagd door {requested_by}]",
		labels: []label{{"title", "title", "titel"}, {"requested_by", "asked for by", "gevraagd door"}, {"text", "text", "tekst"}, {"repository", "repository", "repository"}},
	},
	tracedb.KindSession: {
		en: "Session {session}[ of {tool}][ with {model}][, asked for by {asked_by}]",
		nl: "Sessie {session}[ van {tool}][ met {model}][, gevraagd door {asked_by}]",
		labels: []label{{"asked_by", "asked for by", "gevraagd door"}, {"tool", "tool", "hulpmiddel"}, {"model", "model", "model"},
			{"prompt_digest", "digest of the prompt", "digest van de prompt"}, {"spec", "spec", "spec"}, {"repository", "repository", "repository"}, {"commit", "commit", "commit"}},
	},
	tracedb.KindCommit: {
		en: "Push[ of {commit}][ to {repository}][ ({branch})][ by {pusher}][: “{message}”]",
		nl: "Push[ van {commit}][ naar {repository}][ ({branch})][ door {pusher}][: “{message}”]",
		labels: []label{{"commit", "commit", "commit"}, {"branch", "branch", "branch"}, {"author", "author", "auteur"}, {"pusher", "pushed by", "gepusht door"},
			{"message", "message", "bericht"}, {"others", "with these commits", "met deze commits"}, {"before", "before", "ervoor"}},
	},
	tracedb.KindReview: {
		en:       "Review[ of {pull}] by {reviewer}: {outcome}[, “{reason}”]",
		nl:       "Beoordeling[ van {pull}] door {reviewer}: {outcome}[, “{reason}”]",
		outcomes: map[tracedb.Outcome]text.Text{tracedb.Undone: text.Of("dismissed", "ongeldig verklaard")},
		labels: []label{{"pull", "pull request", "pull request"}, {"title", "title", "titel"}, {"author", "author", "auteur"}, {"reviewer", "reviewer", "beoordelaar"},
			{"reason", "reason", "reden"}, {"commit", "commit that was judged", "beoordeelde commit"}},
		read: readThen(qualifyPull("repository")),
	},
	tracedb.KindMerge: {
		en: "Merge[ of {pull}] by {merged_by}[: “{title}”]",
		nl: "Samenvoeging[ van {pull}] door {merged_by}[: “{title}”]",
		labels: []label{{"pull", "pull request", "pull request"}, {"title", "title", "titel"}, {"author", "author", "auteur"}, {"merged_by", "merged by", "samengevoegd door"},
			{"head", "commit that was reviewed", "beoordeelde commit"}, {"commit", "commit on main", "commit op main"}},
		read: readThen(qualifyPull("repository")),
	},
	tracedb.KindRun: {
		en: "Pipeline run {run}: {outcome}[ ({reason})]",
		nl: "Pijplijnrun {run}: {outcome}[ ({reason})]",
		labels: []label{{"pipeline", "pipeline", "pijplijn"}, {"repository", "repository", "repository"}, {"commit", "commit", "commit"}, {"image", "image", "image"},
			{"passed", "tasks that passed", "geslaagde taken"}, {"failed", "tasks that failed", "mislukte taken"},
			{"neither", "tasks without an outcome", "taken zonder uitkomst"}, {"message", "message", "melding"},
			{"started", "started", "begonnen"}, {"finished", "finished", "klaar"}},
		english: []string{"message"},
		read:    readTyped(readRun),
	},
	tracedb.KindProvenance: {
		en: "Provenance[: {summary}]",
		nl: "Herkomst[: {summary}]",
		labels: []label{{"image", "image", "image"}, {"repository", "repository", "repository"}, {"commit", "commit", "commit"}, {"run", "pipeline run", "pijplijnrun"},
			{"builder", "built by", "gebouwd door"}, {"build_type", "way of building", "manier van bouwen"}, {"materials", "made of", "gemaakt van"},
			{"started", "started", "begonnen"}, {"finished", "finished", "klaar"}},
		read: attested(tracedb.KindProvenance),
	},
	tracedb.KindTestResult: {
		en: "Tests: {outcome}[ ({summary})], by the service's own account",
		nl: "Tests: {outcome}[ ({summary})], volgens de service zelf",
		labels: []label{{"suite", "what was run", "wat er draaide"}, {"failed", "failed", "mislukt"}, {"warned", "with warnings", "met waarschuwing"}, {"passed", "passed", "geslaagd"},
			{"image", "image", "image"}, {"commit", "commit", "commit"}},
		read: attested(tracedb.KindTestResult),
	},
	tracedb.KindVulns: {
		en: "Scan for vulnerabilities[: {outcome}][ ({summary})]",
		nl: "Scan op kwetsbaarheden[: {outcome}][ ({summary})]",
		labels: []label{{"critical", "critical", "kritiek"}, {"high", "high", "hoog"}, {"medium", "medium", "middel"}, {"low", "low", "laag"}, {"unknown", "of unknown severity", "ernst onbekend"},
			{"scanner", "scanner", "scanner"}, {"database", "vulnerabilities known on", "kwetsbaarheden bekend op"}, {"image", "image", "image"}, {"commit", "commit", "commit"}},
		read: attested(tracedb.KindVulns),
	},
	tracedb.KindSARIF: {
		en:     "Static analysis: {outcome}[ ({summary})]",
		nl:     "Statische analyse: {outcome}[ ({summary})]",
		labels: []label{{"tool", "tool", "hulpmiddel"}, {"findings", "findings", "bevindingen"}, {"image", "image", "image"}, {"commit", "commit", "commit"}},
		read:   attested(tracedb.KindSARIF),
	},
	tracedb.KindSBOM: {
		en:     "List of parts[: {summary}]",
		nl:     "Lijst van onderdelen[: {summary}]",
		labels: []label{{"components", "parts", "onderdelen"}, {"image", "image", "image"}, {"commit", "commit", "commit"}},
		read:   attested(tracedb.KindSBOM),
	},
	tracedb.KindVerdict: {
		en:     "Gate: {outcome}[ ({summary})]",
		nl:     "Poort: {outcome}[ ({summary})]",
		labels: []label{{"verifier", "who judged", "wie oordeelde"}, {"passed", "what holds", "wat klopt"}, {"failed", "what doesn't hold", "wat niet klopt"}, {"image", "image", "image"}, {"commit", "commit", "commit"}},
		read:   attested(tracedb.KindVerdict),
	},
	tracedb.KindImage: {
		en: "Image {digest} pushed[ as {name}]",
		nl: "Image {digest} gepusht[ als {name}]",
		labels: []label{{"digest", "digest", "digest"}, {"name", "name", "naam"}, {"repository", "repository", "repository"}, {"commit", "commit", "commit"},
			{"run", "pipeline run", "pijplijnrun"}},
		read: readThen(func(f fields) { f["name"] = f["image"] }),
	},
	tracedb.KindSignature: {
		en:     "Image {digest} signed[ with key {key}]",
		nl:     "Image {digest} ondertekend[ met sleutel {key}]",
		labels: []label{{"digest", "digest", "digest"}, {"key", "key", "sleutel"}, {"run", "pipeline run", "pijplijnrun"}, {"commit", "commit", "commit"}},
	},
	tracedb.KindRegister: {
		en: "Register entry[ {algorithm}][: “{name}”][, status {status}]",
		nl: "Registervermelding[ {algorithm}][: “{name}”][, status {status}]",
		labels: []label{{"algorithm", "id", "id"}, {"name", "name", "naam"}, {"organization", "organisation", "organisatie"}, {"status", "status", "status"},
			{"category", "category", "categorie"}, {"type", "under the AI Act", "onder de AI-verordening"}, {"risk", "risk group", "risicogroep"},
			{"repository", "repository", "repository"}, {"commit", "commit", "commit"}},
		read: readRegister,
	},
	tracedb.KindException: {
		en: "Exception[ to {rule}][ for {algorithm}][ until {until}], granted by {granted_by}[: “{reason}”]",
		nl: "Uitzondering[ op {rule}][ voor {algorithm}][ tot {until}], verleend door {granted_by}[: “{reason}”]",
		labels: []label{{"algorithm", "algorithm", "algoritme"}, {"rule", "rule that is lifted", "opgeheven regel"}, {"image", "only for image", "alleen voor image"},
			{"until", "until", "tot"}, {"granted_by", "granted by", "verleend door"}, {"reason", "reason", "reden"}, {"ticket", "ticket", "ticket"}},
	},
	tracedb.KindPromotion: {
		en: "Promotion of {digest}[ to {tenant}][ through {pull}][, in the fleet at {revision}]",
		nl: "Promotie van {digest}[ naar {tenant}][ via {pull}][, in de vloot op {revision}]",
		labels: []label{{"digest", "digest", "digest"}, {"repository", "repository", "repository"}, {"commit", "commit", "commit"}, {"fleet", "fleet", "vloot"},
			{"pull", "pull request", "pull request"}, {"revision", "revision of the fleet", "revisie van de vloot"}, {"tenant", "tenant", "tenant"}, {"run", "pipeline run", "pijplijnrun"}},
		read: readThen(qualifyPull("fleet")),
	},
	tracedb.KindAdmission: {
		en: "Admission[ of {resource}][ to {namespace}]: {outcome}[ by {policy}][, “{reason}”]",
		nl: "Toelating[ van {resource}][ tot {namespace}]: {outcome}[ door {policy}][, “{reason}”]",
		labels: []label{{"namespace", "namespace", "namespace"}, {"resource", "what asked", "wat erom vroeg"}, {"images", "images", "images"}, {"algorithm", "algorithm", "algoritme"},
			{"user", "asked by", "gevraagd door"}, {"policy", "policy", "beleid"}, {"reason", "reason", "reden"}, {"remedy", "what to do", "wat te doen"}, {"exception", "exception, record", "uitzondering, record"}},
		english: []string{"reason", "remedy"},
	},
	tracedb.KindDeployment: {
		en:       "{object}[ in {namespace}]: {outcome}[ ({reason})]",
		nl:       "{object}[ in {namespace}]: {outcome}[ ({reason})]",
		outcomes: map[tracedb.Outcome]text.Text{tracedb.Passed: text.Of("applied", "toegepast"), tracedb.Failed: text.Of("not applied", "niet toegepast")},
		labels: []label{{"namespace", "namespace", "namespace"}, {"object", "object", "object"}, {"images", "images", "images"}, {"algorithm", "algorithm", "algoritme"},
			{"source", "from", "uit"}, {"revision", "revision", "revisie"}, {"node", "node", "node"}, {"reason", "reason", "reden"}, {"message", "message", "melding"}},
		english: []string{"reason", "message"},
	},
	tracedb.KindDrift: {
		en:       "{object}[ in {namespace}] {outcome}[, changed by {by}]",
		nl:       "{object}[ in {namespace}] {outcome}[, gewijzigd door {by}]",
		outcomes: map[tracedb.Outcome]text.Text{tracedb.Failed: text.Of("differs from how it should be", "wijkt af van hoe het hoort te zijn"), tracedb.Undone: text.Of("was put back", "is teruggezet")},
		labels: []label{{"namespace", "namespace", "namespace"}, {"object", "object", "object"}, {"want", "should be", "hoort te zijn"}, {"got", "found", "gevonden"},
			{"by", "changed by", "gewijzigd door"}, {"revision", "revision", "revisie"}, {"message", "message", "melding"}},
		english: []string{"want", "got", "message"},
	},
	tracedb.KindRequest: {
		en:       "Request of {user}[ as {as}][: {verb} {resource}][ {name}][ in {namespace}]: {outcome}[, “{reason}”]",
		nl:       "Verzoek van {user}[ als {as}][: {verb} {resource}][ {name}][ in {namespace}]: {outcome}[, “{reason}”]",
		outcomes: map[tracedb.Outcome]text.Text{tracedb.Allowed: text.Of("granted", "ingewilligd")},
		labels: []label{{"user", "asked by", "gevraagd door"}, {"as", "acting as", "handelend als"}, {"verb", "verb", "werkwoord"}, {"resource", "resource", "resource"},
			{"namespace", "namespace", "namespace"}, {"name", "name", "naam"}, {"code", "code of the answer", "code van het antwoord"}, {"reason", "reason", "reden"},
			{"client", "with the program", "met het programma"}},
		english: []string{"reason"},
	},
	tracedb.KindIncident: {
		en: "Incident[ in {namespace}][: “{summary}”]",
		nl: "Incident[ in {namespace}][: “{summary}”]",
		labels: []label{{"namespace", "namespace", "namespace"}, {"object", "object", "object"}, {"images", "images", "images"}, {"algorithm", "algorithm", "algoritme"},
			{"summary", "summary", "samenvatting"}, {"detail", "detail", "toelichting"}},
		english: []string{"summary", "detail"},
	},
	tracedb.KindRepair: {
		en: "Repair[ in {commit}][: “{summary}”]",
		nl: "Reparatie[ in {commit}][: “{summary}”]",
		labels: []label{{"incident", "incident, record", "incident, record"}, {"summary", "summary", "samenvatting"}, {"repository", "repository", "repository"},
			{"commit", "commit", "commit"}, {"session", "session", "sessie"}},
	},
	tracedb.KindConformance: {
		en:     "Conformance of the platform: {outcome}[ ({summary})]",
		nl:     "Conformiteit van het platform: {outcome}[ ({summary})]",
		labels: []label{{"repository", "repository", "repository"}, {"commit", "commit", "commit"}, {"holds", "what holds", "wat werkt"}, {"failed", "what doesn't hold", "wat niet werkt"}, {"absent", "what isn't there yet", "wat er nog niet is"}, {"stopped", "why it stopped", "waarom gestopt"}},
		read:   attested(tracedb.KindConformance),
	},
	tracedb.KindKey: {
		en:     "Key[ “{name}”] {key} {event}",
		nl:     "Sleutel[ “{name}”] {key} {event}",
		labels: []label{{"name", "name", "naam"}, {"fingerprint", "fingerprint", "vingerafdruk"}, {"kinds", "may sign only", "mag alleen ondertekenen"}},
		read:   readTyped(readKey),
	},
	tracedb.KindRefusal: {
		en:      "The log refused a record[ of kind {kind}][: “{reason}”]",
		nl:      "Het logboek weigerde een record[ van soort {kind}][: “{reason}”]",
		labels:  []label{{"kind", "kind", "soort"}, {"code", "code", "code"}, {"reason", "reason", "reden"}, {"id", "id", "id"}, {"payload", "digest of what was offered", "digest van wat werd aangeboden"}},
		english: []string{"reason"},
	},
	tracedb.KindRead: {
		en:     "{actor} read[ {what}][ of {of}]",
		nl:     "{actor} las[ {what}][ van {of}]",
		labels: []label{{"what", "what", "wat"}, {"of", "of", "van"}},
	},
	tracedb.KindDisposal: {
		en:      "Payloads[ of kind {kind}] disposed of after their term[, taken before {before}]",
		nl:      "Inhoud[ van soort {kind}] opgeruimd na de bewaartermijn[, van voor {before}]",
		labels:  []label{{"kind", "kind", "soort"}, {"before", "taken before", "van voor"}, {"seqs", "records", "records"}, {"reason", "reason", "reden"}},
		english: []string{"reason"},
		read:    readTyped(readDisposal),
	},
}

// readRun lists a run's tasks by how they ended.
func readRun(r tracedb.Run, out fields) {
	tasks := map[tracedb.Outcome][]string{}
	for _, t := range r.Tasks {
		name := t.Name
		if t.Message != "" && t.Outcome != tracedb.Passed {
			name += " (" + singleLine(t.Message, maxQuote) + ")"
		}
		tasks[t.Outcome] = append(tasks[t.Outcome], name)
	}
	out["passed"], out["failed"] = commas(tasks[tracedb.Passed]), commas(tasks[tracedb.Failed])
	out["neither"] = commas(tasks[""]) // it was skipped, or how it ended isn't known any more
}

// readKey says whether the key joined or left the keyring.
func readKey(k tracedb.Key, out fields) {
	out["event"], out["event_nl"] = "joined the keyring", "kwam in de sleutelbos"
	if k.Retired {
		out["event"], out["event_nl"] = "left the keyring", "ging uit de sleutelbos"
	}
}

// readDisposal lists the places of the records whose payloads were disposed of.
func readDisposal(d tracedb.Disposal, out fields) {
	var seqs []string
	for _, seq := range slices.Sorted(slices.Values(d.Seqs)) {
		seqs = append(seqs, strconv.FormatInt(seq, 10))
	}
	out["seqs"] = commas(seqs)
}

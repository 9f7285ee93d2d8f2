// Judges an OpenAPI description by Spectral's own rules for OpenAPI, and writes as JSON which rules were on and what
// each found. It has no rule of its own.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { Spectral, Document } = require("@stoplight/spectral-core");
const { Yaml } = require("@stoplight/spectral-parsers");
const { oas } = require("@stoplight/spectral-rulesets");

const [file] = process.argv.slice(2);
const spectral = new Spectral();
// "all" takes those too that aren't recommended by default.
spectral.setRuleset({ extends: [[oas, "all"]] });
const document = new Document(readFileSync(file, "utf8"), Yaml, file);
const rules = Object.values(spectral.ruleset.rules)
  .filter((r) => r.enabled && (!r.formats || [...r.formats].some((f) => f(document.data, null))))
  .map((r) => r.name);
const findings = await spectral.run(document);
process.stdout.write(JSON.stringify({
  rules,
  findings: findings.map((f) => ({ rule: String(f.code), path: f.path.join("."), message: f.message })),
}));

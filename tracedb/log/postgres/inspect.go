package postgres

import (
	"context"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Inspect asks whether everything that keeps rows as they are is there as the migrations make it, and
// can't be evaded: triggers, what they call, and unique indexes. Whether the server's files are sound,
// pg_checksums and pg_amcheck show.
func (e *engine) Inspect(ctx context.Context) ([]string, error) {
	want, err := made()
	if err != nil {
		return nil, err
	}
	have, err := store.Definitions(ctx, e.read, triggers+" UNION ALL "+functions+" UNION ALL "+uniqueIndexes)
	if err != nil {
		return nil, err
	}
	for name, definition := range have {
		have[name] = sortEvents(definition)
	}
	return store.CompareSchema(want, have, "trigger "), nil
}

// What the database has, by kind and name, as made has it.
const (
	triggers = `SELECT 'trigger ' || t.tgname, CASE t.tgenabled WHEN 'A' THEN pg_get_triggerdef(t.oid, true) ELSE '` + store.Disabled + `' END
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace`
	functions = `SELECT 'function ' || p.proname, p.prosrc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		WHERE l.lanname = 'plpgsql' AND p.pronargs = 0 AND p.pronamespace = current_schema()::regnamespace`
	uniqueIndexes = `SELECT 'index ' || x.relname, c.relname || ' (' || (SELECT string_agg(a.attname, ', ' ORDER BY k.n)
			FROM unnest(i.indkey) WITH ORDINALITY k (attnum, n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) || ')' ||
			coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), '')
		FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
		WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND c.relnamespace = current_schema()::regnamespace`
)

// Statements of the migrations.
var (
	aTrigger  = regexp.MustCompile(`(?m)^(CREATE TRIGGER (\w+) .*);$`)
	aFunction = regexp.MustCompile(`(?s)CREATE FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE plpgsql AS \$\$(.*?)\$\$;`)
	anIndex   = regexp.MustCompile(`(?m)^CREATE UNIQUE INDEX (\w+) ON (\w+ \([^)]*\))(?: WHERE (.*))?;$`)
	aTable    = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((\w+) (.*?)\);\n`)
	aKey      = regexp.MustCompile(`PRIMARY KEY (\([^)]*\))\z`)
	events    = regexp.MustCompile(`(BEFORE|AFTER) (.*?) ON `)
)

// made is what the migrations make, by kind and name.
func made() (map[string]string, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, file := range files {
		raw, err := migrations.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text := string(raw)
		for _, m := range aTrigger.FindAllStringSubmatch(text, -1) {
			out["trigger "+m[2]] = sortEvents(m[1])
		}
		for _, m := range aFunction.FindAllStringSubmatch(text, -1) {
			out["function "+m[1]] = m[2]
		}
		for _, m := range anIndex.FindAllStringSubmatch(text, -1) {
			out["index "+m[1]] = m[2]
			if m[3] != "" {
				out["index "+m[1]] += " WHERE (" + m[3] + ")"
			}
		}
		for _, m := range aTable.FindAllStringSubmatch(text, -1) {
			key := "(" + m[2] + ")" // that of one column is the first one
			if many := aKey.FindStringSubmatch(m[3]); many != nil {
				key = many[1]
			}
			out["index "+m[1]+"_pkey"] = m[1] + " " + key
		}
	}
	return out, nil
}

// sortEvents gives the events of a trigger one order: PostgreSQL has its own.
func sortEvents(definition string) string {
	m := events.FindStringSubmatchIndex(definition)
	if !strings.HasPrefix(definition, "CREATE TRIGGER ") || m == nil {
		return definition
	}
	list := strings.Split(definition[m[4]:m[5]], " OR ")
	slices.Sort(list)
	return definition[:m[4]] + strings.Join(list, " OR ") + definition[m[5]:]
}

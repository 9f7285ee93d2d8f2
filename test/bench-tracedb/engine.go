package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

const sqliteScheme = "sqlite:"

// engine is a database that the log can be kept in and that this machine has.
type engine struct {
	name string
	// fresh makes an empty database, for something that is measured in a moment, and names it.
	fresh func(context.Context) (dsn string, err error)
	// plain opens one without the log.
	plain func(ctx context.Context, dsn string) (plain, error)
	// bytes is what one takes on the disk.
	bytes func(ctx context.Context, dsn string) (int64, error)
}

// engines are those of this machine, or the one that was asked for. done ends what they run on.
func (b *bench) engines(ctx context.Context) (out []engine, done func(), err error) {
	n := 0
	sqlite := engine{
		name: "sqlite",
		fresh: func(context.Context) (string, error) {
			// What was measured before needn't be kept.
			old, err := filepath.Glob(filepath.Join(b.dir, "fresh*"))
			for _, name := range old {
				err = errors.Join(err, os.Remove(name))
			}
			n++
			return sqliteScheme + filepath.Join(b.dir, fmt.Sprintf("fresh%d.db", n)), err
		},
		plain: openPlainSQLite,
		bytes: func(_ context.Context, dsn string) (int64, error) {
			info, err := os.Stat(strings.TrimPrefix(dsn, sqliteScheme))
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		},
	}
	if b.engine != "postgres" {
		out = append(out, sqlite)
	}
	if b.engine == "sqlite" {
		return out, func() {}, nil
	}
	s, err := server.StartIn(ctx, b.dir)
	if errors.Is(err, server.ErrAbsent) {
		b.say("LEFT OUT: PostgreSQL: %v", err)
		return out, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	out = append(out, engine{name: "postgres", fresh: s.Database, plain: openPlainPostgres, bytes: postgresBytes})
	return out, func() {
		if err := s.Close(); err != nil {
			b.say("stop postgres: %v", err)
		}
	}, nil
}

func postgresBytes(ctx context.Context, dsn string) (size int64, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	return size, conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size)
}

// openLog opens a log under the name that all logs have here.
func openLog(ctx context.Context, dsn string) (*log.Log, error) {
	signer, err := newSigner()
	if err != nil {
		return nil, err
	}
	return log.Open(ctx, log.Options{DSN: dsn, Origin: origin, Signer: signer})
}

func newSigner() (note.Signer, error) {
	key, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	return note.NewSigner(key)
}

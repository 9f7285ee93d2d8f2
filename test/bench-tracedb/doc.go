// Package bench holds the benchmarks behind `make bench-tracedb`: how fast the Traceability DB's log takes
// records, durably and with its tree, beside plain inserts of the same rows in the same database in the same
// run; and how a log of a million records starts, what memory it takes and how fast it answers. It owns the
// folder and the PostgreSQL server that it makes, and refuses to touch any other.
package bench

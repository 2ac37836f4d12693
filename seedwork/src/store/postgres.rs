//! A store in PostgreSQL: one database a context.

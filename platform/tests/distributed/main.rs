//! Whole stories over PostgreSQL and Apache Pulsar, a process for each service: over HTTP, on real servers.

mod broken_off;
mod decided;
mod killed;
mod measured;
mod moved;
mod restored;
mod shared;
mod started;
mod stories;
mod streamed;
mod support;
mod whole;

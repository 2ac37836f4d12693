//! The adapter for Apache Pulsar: on a broker of ours that fails on purpose, and on a real one (`scripts/servers up`).
#![cfg(feature = "distributed")]
#![expect(clippy::disallowed_methods, reason = "a server takes real time")]

mod encrypted;
mod fake;
mod faults;
mod followed;
mod killed;
mod measure;
mod rig;
mod server;
mod story;
mod suite;
mod takeover;

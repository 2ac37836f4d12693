//! The edge from outside, over a real executor: what goes in, what comes out, and every way to say no.

mod away;
mod bad_input;
mod by_hand;
mod dead_letters;
mod described;
mod harness;
mod idempotency;
mod if_match;
mod metrics;
mod moving;
mod openapi;
mod operating;
mod outcomes;
mod problems;
mod reading;
mod seed_003;
mod seed_004;
mod serving;
mod stream;
mod streams;
mod trouble;
mod why;

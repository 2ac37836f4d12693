//! What the seeds specify, verbatim: their paths and their words. One file per seed, each a thin translation.

pub(crate) mod seed_003;
pub(crate) mod seed_004;

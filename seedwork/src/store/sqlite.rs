//! x
/// x
pub struct Sqlite;

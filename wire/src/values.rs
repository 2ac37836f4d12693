//! Values that cross the broker: money, ids, kinds, instants, and who acts.
//!
//! Each is checked where it enters ([`parse`](Money::parse) or deserialization), so whoever holds one need not check it again. In Avro
//! all of them are `string`s except [`Money`], a record: a `string` can take a value that an older reader has never heard of without a
//! change of schema, an Avro `enum` cannot, and the Rust type refuses what is wrong either way.

mod actor;
mod ids;
mod kinds;
mod money;
mod text;
mod time;

pub use actor::{Actor, ActorError};
pub use ids::{
    AccountId, BlockId, BlockTarget, BrandId, CampaignId, EnrolmentId, EventId, ID_MAX_CHARS, ID_MAX_PARTS, IdError, PartnerId,
    ReservationId, check_id,
};
pub use kinds::{CampaignKind, PartnerKind, UnknownKind};
pub use money::{AMOUNT_MAX_CHARS, Currency, CurrencyError, Money, MoneyError};
pub use time::{Timestamp, TimestampError};

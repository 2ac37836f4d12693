//! What crosses a broker: a message, its envelope, and the table that lists a context's messages.
//!
//! A message is one JSON object, the same bytes in the log and on the wire: the envelope's attributes (named as CloudEvents 1.0
//! names them, with W3C `traceparent`) and one member that is called like the message's record and holds its body. Read as Avro this
//! is a record with one optional field per kind, so a schema registry can check each change; readers go by `type`, never by which
//! member is there. This file needs no other file of seedwork: a crate of messages may depend on it alone.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mod envelope;
mod schema;

pub use envelope::{Direction, Envelope, Expected, Packet, SagaRef};
pub use schema::topic_schema;

#[doc(hidden)]
pub use apache_avro;

/// The bounded context that a message belongs to: the one that handles it if it is a command, that says it if it is an event.
pub trait Owner: 'static {
    /// The context's name, the first part of its topics: `parking`.
    const NAME: &'static str;
}

/// Which of a context's three topics carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asked of the context.
    Command,
    /// Said by the context.
    Event,
    /// An answer to one of the context's sagas.
    Reply,
}

impl Role {
    /// The topic's last part: `commands`, `events` or `replies`.
    pub fn topic(self) -> &'static str {
        match self {
            Role::Command => "commands",
            Role::Event => "events",
            Role::Reply => "replies",
        }
    }

    /// The role of what a topic carries, by its last part; what is neither commands nor events is replies.
    pub fn of_topic(topic: &str) -> Role {
        match topic.rsplit_once('.').map_or(topic, |(_, last)| last) {
            "commands" => Role::Command,
            "events" => Role::Event,
            _ => Role::Reply,
        }
    }
}

/// One kind of message. [`messages!`](crate::messages) implements it; nobody else needs to.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The context whose topic carries it.
    type Owner: Owner;
    /// Command, event or reply.
    const ROLE: Role;
    /// The CloudEvents `type`, with its version: `parking.enter.v1`.
    const KIND: &'static str;
    /// The name of its record, and of the member that holds it: `EnterCar`.
    const RECORD: &'static str;
    /// The id of the aggregate that it is for or about. The part before the first `~` decides its partition.
    fn key(&self) -> &str;
}

/// A message that asks for something. Only commands can be sent, to exactly one context.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command: nobody can be asked for it",
    note = "a command stands in the `commands` of a `messages!` table; an event is published by the aggregate whose change it tells"
)]
pub trait Command: Message {}

/// A message that says what happened. Only aggregates publish events.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event: it does not say what happened",
    note = "an event stands in the `events` of a `messages!` table; a command is sent by a handler or a saga"
)]
pub trait Event: Message {}

/// One line of a context's table of messages, as data: for catalogues, schemas and golden files.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The context's name.
    pub context: &'static str,
    /// Command, event or reply.
    pub role: Role,
    /// The CloudEvents `type`.
    pub kind: &'static str,
    /// The record's name.
    pub record: &'static str,
    /// The record's Avro schema.
    pub schema: fn() -> apache_avro::Schema,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.context, self.role, self.kind)
    }
}

/// Declares the messages of one context and version: first the table, then plain structs below it.
///
/// Each line names a struct that stands in the same file, the verb that follows the context in its `type`, and the field that is its
/// key. The macro writes the [`Message`] implementations and `TABLE`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// seedwork::messages! {
///     context Parking = "parking", version 1;
///     commands { EnterCar "enter" by car; }
///     events { CarEntered "entered" by car; }
/// }
/// /// Let a car in.
/// #[derive(Clone, Debug, Serialize, Deserialize, apache_avro::AvroSchema)]
/// pub struct EnterCar { pub car: String }
/// /// A car came in.
/// #[derive(Clone, Debug, Serialize, Deserialize, apache_avro::AvroSchema)]
/// pub struct CarEntered { pub car: String }
///
/// use seedwork::message::Message;
/// assert_eq!(EnterCar::KIND, "parking.enter.v1");
/// assert_eq!(TABLE.len(), 2);
/// ```
#[macro_export]
macro_rules! messages {
    (context $owner:ident = $context:literal, version $version:literal;
     $(commands { $($command:ident $do:literal by $ckey:ident;)* })?
     $(events { $($event:ident $did:literal by $ekey:ident;)* })?) => {
        #[doc = concat!("The context `", $context, "`, as the owner of its messages.")]
        pub enum $owner {}
        impl $crate::message::Owner for $owner {
            const NAME: &'static str = $context;
        }
        $($($crate::messages!(@one $owner, $context, $version, Command, $command, $do, $ckey);)*)?
        $($($crate::messages!(@one $owner, $context, $version, Event, $event, $did, $ekey);)*)?
        /// Every message of this file, in the order of its table.
        pub const TABLE: &[$crate::message::Entry] = &[
            $($($crate::messages!(@entry $context, Command, $command),)*)?
            $($($crate::messages!(@entry $context, Event, $event),)*)?
        ];
    };
    (@one $owner:ident, $context:literal, $version:literal, $role:ident, $name:ident, $verb:literal, $key:ident) => {
        impl $crate::message::Message for $name {
            type Owner = $owner;
            const ROLE: $crate::message::Role = $crate::message::Role::$role;
            const KIND: &'static str = concat!($context, ".", $verb, ".v", $version);
            const RECORD: &'static str = stringify!($name);
            fn key(&self) -> &str {
                self.$key.as_ref()
            }
        }
        impl $crate::message::$role for $name {}
    };
    (@entry $context:literal, $role:ident, $name:ident) => {
        $crate::message::Entry {
            context: $context,
            role: $crate::message::Role::$role,
            kind: <$name as $crate::message::Message>::KIND,
            record: <$name as $crate::message::Message>::RECORD,
            schema: <$name as $crate::message::apache_avro::AvroSchema>::get_schema,
        }
    };
}

/// The part of a key that decides where it lives: all of it, or what stands before the first `~`.
pub fn partition_key(key: &str) -> &str {
    key.split_once('~').map_or(key, |(first, _)| first)
}

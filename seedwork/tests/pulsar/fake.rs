//! A broker of ours that speaks Pulsar's protocol, by the crate's own codec, and does on purpose what a real one does by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt, StreamExt};
use pulsar::message::proto::{self, BaseCommand, base_command::Type};
use pulsar::message::{Codec, Message, Payload};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;

/// What goes wrong next; each counts down.
#[derive(Default)]
pub struct Faults {
    /// The message is kept, and the connection ends before the receipt.
    pub drop_before_receipt: u32,
    /// The message is kept, and no receipt ever comes.
    pub no_receipt: u32,
    /// The message is lost, and no receipt ever comes.
    pub lose: u32,
    /// The connection ends when the client has greeted.
    pub cut_greeting: u32,
    /// A client that greets is answered with this error.
    pub refuse_greeting: Option<proto::ServerError>,
    /// A lookup is refused: the broker is not ready.
    pub refuse_lookup: u32,
    /// An entry is delivered twice.
    pub double: u32,
    /// A lookup is not answered.
    pub ignore_lookup: u32,
    /// An entry passes by whoever reads without leaving a trace, as while it was away.
    pub pass_by: u32,
}

struct Consumer {
    connection: u64,
    id: u64,
    priority: i32,
    permits: i64,
}

#[derive(Default)]
struct Subscription {
    consumers: Vec<Consumer>,
    /// Entries before this one are acknowledged.
    acknowledged: usize,
    next: usize,
    /// It begins where the topic ends, each time that somebody comes, and goes with the last.
    follows: bool,
}

#[derive(Default)]
struct Topic {
    entries: Vec<Payload>,
    subscriptions: BTreeMap<String, Subscription>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    topics: BTreeMap<String, Topic>,
    connections: BTreeMap<u64, UnboundedSender<Option<Message>>>,
    count: u64,
    producers: BTreeMap<(u64, u64), String>,
    consumers: BTreeMap<(u64, u64), (String, String)>,
    /// Connections that sent a message while they had a consumer too.
    mixed: BTreeSet<u64>,
}

/// The broker, on a port of its own, until it is dropped.
pub struct Fake {
    pub url: String,
    state: Arc<Mutex<State>>,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    pub fn start() -> Fake {
        Fake::over("pulsar://127.0.0.1", |stream| async { Some(stream) })
    }

    /// One that speaks TLS, under the name `localhost`.
    pub fn encrypted(config: Arc<ServerConfig>) -> Fake {
        let acceptor = TlsAcceptor::from(config);
        Fake::over("pulsar+ssl://localhost", move |stream| {
            let acceptor = acceptor.clone();
            // A client that does not trust it goes away here.
            async move { acceptor.accept(stream).await.ok() }
        })
    }

    fn over<S, F>(place: &str, greet: impl Fn(TcpStream) -> F + Send + 'static) -> Fake
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("{place}:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State::default()));
        let (accepted, address) = (state.clone(), url.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (greeted, state, address) = (greet(stream), accepted.clone(), address.clone());
                tokio::spawn(async move {
                    if let Some(stream) = greeted.await {
                        connection(stream, state, address).await;
                    }
                });
            }
        });
        Fake { url, state, _runtime: runtime }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn fault(&self, set: impl FnOnce(&mut Faults)) {
        set(&mut self.state().faults);
    }

    /// Ends every connection.
    pub fn hang_up(&self) {
        self.state().connections.values().for_each(|sender| drop(sender.send(None)));
    }

    /// Closes every consumer, as an unload does.
    pub fn close_consumers(&self) {
        let mut state = self.state();
        let all = std::mem::take(&mut state.consumers);
        for ((connection, consumer_id), (topic, name)) in all {
            state.leave(connection, consumer_id, &topic, &name);
            let close = BaseCommand {
                r#type: Type::CloseConsumer as i32,
                close_consumer: Some(proto::CommandCloseConsumer { consumer_id, request_id: u64::MAX }),
                ..BaseCommand::default()
            };
            state.say(connection, close, None);
        }
    }

    pub fn topics(&self) -> Vec<String> {
        self.state().topics.keys().cloned().collect()
    }

    pub fn entries(&self) -> usize {
        self.state().topics.values().map(|topic| topic.entries.len()).sum()
    }

    pub fn mixed(&self) -> usize {
        self.state().mixed.len()
    }

    /// How far a subscription has been acknowledged, in entries.
    pub fn acknowledged(&self, topic: &str, name: &str) -> usize {
        self.state().topics.get(topic).and_then(|topic| topic.subscriptions.get(name)).map_or(0, |of| of.acknowledged)
    }

    pub fn subscriptions(&self, topic: &str) -> Vec<String> {
        self.state().topics.get(topic).map_or_else(Vec::new, |topic| topic.subscriptions.keys().cloned().collect())
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>, url: String) {
    let mut framed = Framed::new(stream, Codec);
    let (sender, mut outgoing) = unbounded_channel();
    let id = {
        let mut state = state.lock().unwrap();
        state.count += 1;
        let id = state.count;
        state.connections.insert(id, sender);
        id
    };
    loop {
        tokio::select! {
            // None: hung up on purpose.
            out = outgoing.recv() => match out.flatten() {
                Some(message) => if framed.send(message).await.is_err() { break },
                None => break,
            },
            frame = framed.next() => match frame {
                Some(Ok(message)) => state.lock().unwrap().hear(id, message, &url),
                _ => break,
            },
        }
    }
    state.lock().unwrap().gone(id);
}

/// Counts a fault down: whether it happens now.
fn now(fault: &mut u32) -> bool {
    let happens = *fault > 0;
    *fault = fault.saturating_sub(1);
    happens
}

impl State {
    fn say(&self, connection: u64, command: BaseCommand, payload: Option<Payload>) {
        if let Some(sender) = self.connections.get(&connection) {
            drop(sender.send(Some(Message { command, payload })));
        }
    }

    fn gone(&mut self, connection: u64) {
        self.connections.remove(&connection);
        self.producers.retain(|(of, _), _| *of != connection);
        let ended: Vec<_> = self.consumers.extract_if(.., |(of, _), _| *of == connection).collect();
        for ((_, id), (topic, name)) in ended {
            self.leave(connection, id, &topic, &name);
        }
    }

    fn leave(&mut self, connection: u64, id: u64, topic: &str, name: &str) {
        if let Some(of) = self.topics.get_mut(topic).and_then(|topic| topic.subscriptions.get_mut(name)) {
            of.consumers.retain(|consumer| (consumer.connection, consumer.id) != (connection, id));
            // What was not acknowledged goes to whoever is next.
            of.next = of.acknowledged;
        }
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.subscriptions.retain(|_, of| !(of.follows && of.consumers.is_empty()));
        }
        self.deliver(topic);
    }

    fn deliver(&mut self, name: &str) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let mut out = Vec::new();
        for of in topic.subscriptions.values_mut() {
            let Some(active) = of.consumers.iter_mut().min_by_key(|consumer| consumer.priority) else { continue };
            while of.follows && of.next < topic.entries.len() && now(&mut self.faults.pass_by) {
                of.next += 1;
            }
            while let Some(payload) = topic.entries.get(of.next).filter(|_| active.permits > 0) {
                let message_id = proto::MessageIdData { ledger_id: 1, entry_id: of.next as u64, ..Default::default() };
                for _ in 0..=u32::from(now(&mut self.faults.double)) {
                    let message =
                        proto::CommandMessage { consumer_id: active.id, message_id: message_id.clone(), ..Default::default() };
                    let command = BaseCommand { r#type: Type::Message as i32, message: Some(message), ..BaseCommand::default() };
                    out.push((active.connection, command, payload.clone()));
                }
                active.permits -= i64::from(payload.metadata.num_messages_in_batch.unwrap_or(1));
                of.next += 1;
            }
        }
        for (connection, command, payload) in out {
            self.say(connection, command, Some(payload));
        }
    }

    fn success(&self, connection: u64, request_id: u64) {
        let success = Some(proto::CommandSuccess { request_id, ..Default::default() });
        self.say(connection, BaseCommand { r#type: Type::Success as i32, success, ..BaseCommand::default() }, None);
    }

    fn hear(&mut self, connection: u64, message: Message, url: &str) {
        let Message { command, payload } = message;
        let none = BaseCommand::default();
        if command.connect.is_some() && now(&mut self.faults.cut_greeting) {
            if let Some(sender) = self.connections.get(&connection) {
                drop(sender.send(None));
            }
        } else if let Some(refused) = self.faults.refuse_greeting.filter(|_| command.connect.is_some()) {
            let error = Some(proto::CommandError { error: refused as i32, message: "so it is".to_owned(), ..Default::default() });
            self.say(connection, BaseCommand { r#type: Type::Error as i32, error, ..none }, None);
        } else if command.connect.is_some() {
            let connected = Some(proto::CommandConnected { server_version: "fake".to_owned(), ..Default::default() });
            self.say(connection, BaseCommand { r#type: Type::Connected as i32, connected, ..none }, None);
        } else if command.ping.is_some() {
            let pong = Some(proto::CommandPong::default());
            self.say(connection, BaseCommand { r#type: Type::Pong as i32, pong, ..none }, None);
        } else if let Some(asked) = command.partition_metadata {
            let partition_metadata_response = Some(proto::CommandPartitionedTopicMetadataResponse {
                partitions: Some(2),
                request_id: asked.request_id,
                response: Some(proto::command_partitioned_topic_metadata_response::LookupType::Success as i32),
                ..Default::default()
            });
            let r#type = Type::PartitionedMetadataResponse as i32;
            self.say(connection, BaseCommand { r#type, partition_metadata_response, ..none }, None);
        } else if let Some(asked) = command.lookup_topic {
            if now(&mut self.faults.ignore_lookup) {
                return;
            }
            let refused = now(&mut self.faults.refuse_lookup);
            use proto::command_lookup_topic_response::LookupType;
            let response = if refused { LookupType::Failed } else { LookupType::Connect };
            let lookup_topic_response = Some(proto::CommandLookupTopicResponse {
                broker_service_url: Some(url.to_owned()),
                broker_service_url_tls: Some(url.to_owned()),
                response: Some(response as i32),
                request_id: asked.request_id,
                authoritative: Some(true),
                error: refused.then_some(proto::ServerError::AuthorizationError as i32),
                ..Default::default()
            });
            self.say(connection, BaseCommand { r#type: Type::LookupResponse as i32, lookup_topic_response, ..none }, None);
        } else if let Some(asked) = command.producer {
            self.topics.entry(asked.topic.clone()).or_default();
            self.producers.insert((connection, asked.producer_id), asked.topic);
            let producer_success = Some(proto::CommandProducerSuccess {
                request_id: asked.request_id,
                producer_name: asked.producer_name.unwrap_or_else(|| format!("p{}", asked.producer_id)),
                ..Default::default()
            });
            self.say(connection, BaseCommand { r#type: Type::ProducerSuccess as i32, producer_success, ..none }, None);
        } else if let (Some(sent), Some(payload)) = (command.send, payload) {
            self.sent(connection, &sent, payload);
        } else if let Some(asked) = command.subscribe {
            let topic = self.topics.entry(asked.topic.clone()).or_default();
            let end = topic.entries.len();
            let of = topic.subscriptions.entry(asked.subscription.clone()).or_default();
            let latest = proto::command_subscribe::InitialPosition::Latest as i32;
            if asked.durable == Some(false) && asked.start_message_id.is_none() && asked.initial_position == Some(latest) {
                (of.follows, of.acknowledged) = (true, end);
            }
            let priority = asked.priority_level.unwrap_or(0);
            if of.consumers.iter().all(|other| other.priority > priority) {
                of.next = of.acknowledged;
            }
            of.consumers.push(Consumer { connection, id: asked.consumer_id, priority, permits: 0 });
            self.consumers.insert((connection, asked.consumer_id), (asked.topic, asked.subscription));
            self.success(connection, asked.request_id);
        } else if let Some(flow) = command.flow {
            let Some((topic, name)) = self.consumers.get(&(connection, flow.consumer_id)).cloned() else { return };
            let of = self.topics.get_mut(&topic).and_then(|topic| topic.subscriptions.get_mut(&name));
            let consumer = of.and_then(|of| {
                of.consumers.iter_mut().find(|consumer| (consumer.connection, consumer.id) == (connection, flow.consumer_id))
            });
            if let Some(consumer) = consumer {
                consumer.permits += i64::from(flow.message_permits);
            }
            self.deliver(&topic);
        } else if let Some(ack) = command.ack {
            assert_eq!(ack.ack_type, proto::command_ack::AckType::Cumulative as i32);
            let Some((topic, name)) = self.consumers.get(&(connection, ack.consumer_id)) else { return };
            let of = self.topics.get_mut(topic).and_then(|topic| topic.subscriptions.get_mut(name));
            if let (Some(of), Some(id)) = (of, ack.message_id.first()) {
                of.acknowledged = of.acknowledged.max(id.entry_id as usize + 1);
            }
        } else if let Some(asked) = command.get_last_message_id {
            let topic = self.consumers.get(&(connection, asked.consumer_id)).and_then(|(topic, _)| self.topics.get(topic));
            let entry_id = topic.map_or(0, |topic| topic.entries.len() as u64).wrapping_sub(1);
            let last_message_id = proto::MessageIdData { ledger_id: 1, entry_id, ..Default::default() };
            let get_last_message_id_response = Some(proto::CommandGetLastMessageIdResponse {
                last_message_id,
                request_id: asked.request_id,
                ..Default::default()
            });
            let r#type = Type::GetLastMessageIdResponse as i32;
            self.say(connection, BaseCommand { r#type, get_last_message_id_response, ..none }, None);
        } else if let Some(close) = command.close_producer {
            self.producers.remove(&(connection, close.producer_id));
            self.success(connection, close.request_id);
        } else if let Some(close) = command.close_consumer {
            if let Some((topic, name)) = self.consumers.remove(&(connection, close.consumer_id)) {
                self.leave(connection, close.consumer_id, &topic, &name);
            }
            self.success(connection, close.request_id);
        } else {
            panic!("the fake broker does not know this: {command:?}");
        }
    }

    fn sent(&mut self, connection: u64, sent: &proto::CommandSend, payload: Payload) {
        let Some(topic) = self.producers.get(&(connection, sent.producer_id)).cloned() else { return };
        if self.consumers.keys().any(|(of, _)| *of == connection) {
            self.mixed.insert(connection);
        }
        if now(&mut self.faults.lose) {
            return;
        }
        let entries = &mut self.topics.entry(topic.clone()).or_default().entries;
        entries.push(payload);
        let entry_id = entries.len() as u64 - 1;
        if now(&mut self.faults.drop_before_receipt) {
            if let Some(sender) = self.connections.get(&connection) {
                drop(sender.send(None));
            }
        } else if !now(&mut self.faults.no_receipt) {
            let send_receipt = Some(proto::CommandSendReceipt {
                producer_id: sent.producer_id,
                sequence_id: sent.sequence_id,
                message_id: Some(proto::MessageIdData { ledger_id: 1, entry_id, ..Default::default() }),
                ..Default::default()
            });
            self.say(connection, BaseCommand { r#type: Type::SendReceipt as i32, send_receipt, ..BaseCommand::default() }, None);
        }
        self.deliver(&topic);
    }
}

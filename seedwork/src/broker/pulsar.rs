//! A broker over Apache Pulsar: topics a context, as many partitions as the deployment.
//!
//! The owner's thread never waits: rows go into a lane for each destination, which a task of its own empties, an entry at a time
//! ([`lane`](self)); what consumers bring waits in one bounded queue until it is heard. All of it runs on a small runtime that the adapter
//! owns. Acknowledgements are cumulative: a subscription belongs to one owner, who takes all of it in order. The log stays the buffer in
//! both directions; what is in memory here may be lost at any time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pulsar::message::proto::MessageIdData;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{Broker, Heard, Subscription, Taken};
use crate::clock::Chance;
use crate::executor::Answered;
use crate::message::Role;
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route, Store, StoreError, StoreResult};

mod ear;
mod edge;
mod follow;
mod greeting;
mod hub;
mod lane;
mod outlet;
mod post;
mod reader;
mod rows;
mod settings;
mod topics;

pub use edge::{Edge, NotSent};
pub use follow::{Followed, Follower};
use hub::{Hub, What};
use lane::Lane;
use outlet::Outlet;
use post::Post;
use reader::{Order, Reader, Shared};
pub use settings::{Settings, Trouble};

/// What the owner's side knows of a subscription.
struct Heeded {
    reader: Reader,
    /// The number of the last message heard.
    number: u64,
    /// Heard and not settled: its number, its id, and whether its entry ends with it.
    open: VecDeque<(u64, MessageIdData, bool)>,
}

/// See the module's text.
pub struct Pulsar {
    settings: Arc<Settings>,
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    lanes: BTreeMap<Destination, Arc<Lane>>,
    readers: BTreeMap<Subscription, Heeded>,
    /// What listens for those who miss rows of a partition that was taken or sent for here, and under which fence. It stays when another
    /// takes the partition: it has a lower fence then, and hears nothing.
    ears: BTreeMap<Partition, (u64, JoinHandle<()>)>,
    post: Post,
    consumers: u64,
    chance: Chance,
    /// The last, so that what is above goes first; none once it has been shut down.
    runtime: Option<Runtime>,
}

impl Pulsar {
    /// Finds out whether the broker can be used: reached, with this token, with these topics, partitions and schemas. Makes the topics
    /// that are missing, if the admin URL is set.
    ///
    /// # Errors
    /// With one line that says what is wrong and what to do.
    pub fn check(settings: &Settings) -> Result<(), Trouble> {
        let runtime = runtime()?;
        let checked = checked(&runtime, &Arc::new(settings.clone()));
        runtime.shutdown_background();
        checked
    }

    /// Checks, and begins. `ring` wakes the owner's thread when there is something to hear; it is called on threads of the adapter's own.
    ///
    /// # Errors
    /// As [`Pulsar::check`].
    pub fn connect(settings: Settings, ring: impl Fn() + Send + Sync + 'static) -> Result<Pulsar, Trouble> {
        let settings = Arc::new(settings);
        let runtime = runtime()?;
        if let Err(trouble) = checked(&runtime, &settings) {
            runtime.shutdown_background();
            return Err(trouble);
        }
        let mut chance = Chance::from_system().map_err(|error| Trouble::stays(format!("there is no chance: {error}")))?;
        Ok(Pulsar {
            hub: Arc::new(Hub::new(Box::new(ring))),
            shared: Arc::new(Shared::new(settings.clone())),
            lanes: BTreeMap::new(),
            readers: BTreeMap::new(),
            ears: BTreeMap::new(),
            post: Post::new(settings.clone(), runtime.handle().clone(), chance.bits()),
            consumers: 0,
            chance,
            settings,
            runtime: Some(runtime),
        })
    }

    /// The last row on a destination, whose it is and where it stands: what a start compares with its head. It waits for the broker.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn last_of(&self, to: &Destination) -> StoreResult<Option<(Partition, Place)>> {
        let Some(runtime) = &self.runtime else { return Ok(None) };
        let (settings, destination) = (self.settings.clone(), to.clone());
        let found = wait(runtime, async move { topics::last_of(&settings, &destination).await });
        let found = found.unwrap_or_else(|| Err("the adapter is closing".to_owned()));
        found.map_err(|why| StoreError(format!("the last message of {} cannot be read: {why}", self.settings.destination(to))))
    }

    fn lane(&mut self, to: &Destination) -> Arc<Lane> {
        if let Some(lane) = self.lanes.get(to) {
            return lane.clone();
        }
        let lane = Arc::new(Lane::new(to.clone()));
        // Commands and replies have one reader, which may never have been started; events are read by whoever subscribes.
        let reader = to.topic.rsplit_once('.').filter(|(_, role)| *role != "events").map(|(context, _)| context.to_owned());
        let outlet = Outlet::new(self.settings.clone(), self.settings.destination(to), self.chance.bits())
            .with_schema(self.settings.schema(&to.topic))
            .with_reader(reader);
        self.spawn(lane::run(lane.clone(), self.hub.clone(), outlet));
        self.lanes.insert(to.clone(), lane.clone());
        lane
    }

    /// Listens for whoever misses rows of a partition.
    fn lend_an_ear(&mut self, to: &Partition, fence: u64) {
        if self.ears.get(to).is_some_and(|(known, _)| *known >= fence) {
            return;
        }
        let hub = self.hub.clone();
        let hear = move |payload: &[u8]| {
            if let Some((route, mark)) = std::str::from_utf8(payload).ok().and_then(rows::turn) {
                hub.turn(route, mark);
            }
        };
        let topic = self.settings.control(to);
        if let Some(task) = self.spawn(ear::listen(self.shared.clone(), topic, "owner".to_owned(), fence, hear))
            && let Some((_, old)) = self.ears.insert(to.clone(), (fence, task))
        {
            old.abort();
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        self.runtime.as_ref().map(|runtime| runtime.spawn(task))
    }
}

fn runtime() -> Result<Runtime, Trouble> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("broker").enable_all().build();
    built.map_err(|error| Trouble::stays(format!("the operating system gives no thread: {error}")))
}

fn checked(runtime: &Runtime, settings: &Arc<Settings>) -> Result<(), Trouble> {
    let settings = settings.clone();
    let checked = wait(runtime, async move { topics::check(&settings).await });
    checked.unwrap_or_else(|| Err(Trouble::stays("the adapter is closing".to_owned())))
}

/// Waits for what runs on the adapter's runtime; on any thread, also on one of another runtime. None when it was shut down.
fn wait<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (sender, receiver) = std::sync::mpsc::channel();
    runtime.spawn(async move { drop(sender.send(work.await)) });
    receiver.recv().ok()
}

impl Drop for Pulsar {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // What has no receipt is sent again by the next owner, what is not acknowledged comes again: nothing is worth waiting for.
            runtime.shutdown_background();
        }
    }
}

impl Broker for Pulsar {
    fn took(&mut self, partition: &Partition, fence: u64) {
        self.lanes.values().for_each(|lane| lane.forget(partition));
        self.lend_an_ear(partition, fence);
    }

    fn subscribe(&mut self, subscription: &Subscription, _marks: &[(Route, Place)], _store: &mut dyn Store) -> StoreResult<()> {
        let before = self.readers.remove(subscription).map(|heeded| heeded.reader.task);
        let Some(runtime) = &self.runtime else { return Ok(()) };
        self.consumers += 1;
        let fence = self.ears.get(&subscription.reader).map_or(0, |(fence, _)| *fence);
        let order = Order { consumer: self.consumers, subscription: subscription.clone(), fence, before };
        let reader = {
            let _entered = runtime.enter();
            reader::start(self.shared.clone(), self.hub.clone(), order)
        };
        self.readers.insert(subscription.clone(), Heeded { reader, number: 0, open: VecDeque::new() });
        Ok(())
    }

    fn unsubscribe(&mut self, subscription: &Subscription) {
        // Its consumer acknowledges what was settled, and leaves.
        self.readers.remove(subscription);
    }

    fn send(&mut self, rows: &[LogRow]) -> Taken {
        for row in rows {
            self.lane(&row.route.to).put(row, &self.hub);
            if !self.ears.contains_key(&row.route.from) {
                self.lend_an_ear(&row.route.from.clone(), 0);
            }
        }
        Taken::Later
    }

    fn begin(&mut self, route: &Route) {
        if let Some(lane) = self.lanes.get(&route.to) {
            lane.forget(&route.from);
        }
    }

    fn hear(&mut self, limit: usize, _store: &mut dyn Store, into: &mut Vec<Heard>) -> StoreResult<()> {
        self.hub.notices(into);
        for delivered in self.hub.messages(limit) {
            delivered.room.add_permits(delivered.weight as usize);
            let heeded = self.readers.iter_mut().find(|(_, heeded)| heeded.reader.consumer == delivered.consumer);
            let Some((subscription, heeded)) = heeded else { continue };
            heeded.number += 1;
            heeded.open.push_back((heeded.number, delivered.id, delivered.last));
            into.push(match delivered.what {
                What::Row(row) => Heard::Message(subscription.clone(), heeded.number, row),
                What::Foreign(foreign) => Heard::Foreign(subscription.clone(), heeded.number, foreign),
            });
        }
        Ok(())
    }

    fn acknowledge(&mut self, subscription: &Subscription, upto: u64) {
        let Some(heeded) = self.readers.get_mut(subscription) else { return };
        // The cursor moves by entries: of one of which a part is settled nothing is acknowledged yet.
        let mut ended = None;
        while let Some((_, id, last)) = heeded.open.pop_front_if(|(number, ..)| *number <= upto) {
            if last {
                ended = Some(id);
            }
        }
        if let Some(mut id) = ended {
            // Without the place in its entry it is the whole entry.
            (id.batch_index, id.batch_size) = (None, None);
            heeded.reader.settled.send_replace(Some(id));
        }
    }

    fn turn_back(&mut self, route: &Route, mark: Place0) {
        self.post.send(self.settings.control(&route.from), rows::turn_text(route, mark).into_bytes());
    }

    fn last_sent(&mut self, partition: &Partition) -> StoreResult<Place0> {
        let topic = format!("{}.{}", partition.context, Role::Event.topic()).into();
        let last = self.last_of(&Destination { topic, partition: partition.number })?;
        Ok(last.filter(|(from, _)| from == partition).map(|(_, place)| place))
    }

    fn answer(&mut self, to: &str, answer: &Answered) {
        if let (Some(topic), Ok(payload)) = (self.settings.answers(to), serde_json::to_vec(answer)) {
            self.post.send(topic, payload);
        }
    }
}

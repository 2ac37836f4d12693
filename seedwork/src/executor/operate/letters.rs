//! Replay and discard: what an operator decides on a dead letter.

use std::sync::Arc;

use super::{Answer, Decided};
use crate::command::Refusal;
use crate::executor::batch::Batch;
use crate::executor::{Executor, Stop, crash};
use crate::message::Packet;
use crate::saga::Outcome;
use crate::store::{Partition, StoreError, Waiting, WaitingHead};

impl Executor {
    /// The waiting messages of its partitions, dead letters included, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting(&mut self) -> Result<Vec<(Partition, Waiting)>, StoreError> {
        let mut all = Vec::new();
        for held in &self.held {
            let numbers: Vec<u64> = held.lanes.heads().map(|head| head.number).collect();
            for number in numbers {
                if let Some(waiting) = self.store.waiting(&held.partition, number)? {
                    all.push((held.partition.clone(), waiting));
                }
            }
        }
        Ok(all)
    }

    /// The head of a dead letter.
    fn dead(&self, partition: usize, number: u64) -> Result<WaitingHead, Refusal> {
        let head = self.held.get(partition).and_then(|held| held.lanes.head(number)).cloned();
        let head = head.ok_or_else(|| Refusal::unknown("dead letter", &number.to_string()))?;
        if head.dead {
            return Ok(head);
        }
        let why = "it waits and is no dead letter: it is tried again by itself";
        Err(Refusal::conflict("not-dead", why))
    }

    pub(super) fn replay(&mut self, number: u64, received: i64, partition: usize, batch: &mut Batch) -> Answer {
        let head = self.dead(partition, number)?;
        let again = WaitingHead { attempts: 0, due: Some(received), dead: false, not_yet: None, ..head };
        self.change_waiting(partition, again, "replayed by an operator".to_owned(), batch);
        Ok(Decided::Done)
    }

    pub(super) fn discard(
        &mut self,
        number: u64,
        reason: &str,
        actor: &Arc<str>,
        received: i64,
        partition: usize,
        batch: &mut Batch,
    ) -> Result<Answer, Stop> {
        if let Err(refusal) = self.dead(partition, number) {
            return Ok(Err(refusal.into()));
        }
        let waiting = match self.held.get(partition) {
            Some(held) => self.store.waiting(&held.partition, number).map_err(crash)?,
            None => None,
        };
        let Some(waiting) = waiting else { return Ok(Err(Refusal::unknown("dead letter", &number.to_string()).into())) };
        if let Ok(packet) = Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)) {
            let refusal = Refusal::conflict("discarded", reason).with(serde_json::json!({"actor": actor}));
            let packet = Arc::new(packet);
            self.answer_saga(partition, &packet, Outcome::Refused(refusal.clone()), received, batch);
            if let Ok(Some(mut record)) = self.record(&packet.envelope.id, batch) {
                record.status = "refused".into();
                record.refusal = Some(refusal);
                batch.commands.insert(packet.envelope.id.clone(), record);
            }
        }
        self.remove_waiting(partition, number, batch);
        Ok(Ok(Decided::Done))
    }
}

//! Who holds what: partitions that change hands by chance, and what becomes of a process that has lost its store.

use super::*;

impl World {
    pub(super) fn move_leases(&mut self) {
        if self.sim.is_none() {
            return;
        }
        let Faults { lease_lost, handed_over, .. } = *lock(&self.faults);
        // The old owner goes on believing until its next commit meets the fence.
        if self.chance.one_in(lease_lost) {
            self.move_one(|_, _| {});
        }
        if self.chance.one_in(handed_over) {
            self.move_one(Executor::release);
        }
    }

    /// A partition, drawn by chance, goes to the other replica.
    fn move_one(&mut self, leave: impl FnOnce(&mut Executor, &Partition)) {
        let from = usize::try_from(self.chance.below(self.nodes.len() as u64)).unwrap_or(0);
        let Some(node) = self.nodes.get_mut(from) else { return };
        let (replica, contexts) = (node.replica, node.contexts.clone());
        if node.partitions.is_empty() {
            return;
        }
        let which = usize::try_from(self.chance.below(node.partitions.len() as u64)).unwrap_or(0);
        let partition = node.partitions.remove(which);
        if let Some(executor) = &mut node.executor {
            leave(executor, &partition);
        }
        let other = self.nodes.iter().position(|other| other.contexts == contexts && other.replica != replica);
        let Some((index, other)) = other.and_then(|index| Some((index, self.nodes.get_mut(index)?))) else { return };
        other.partitions.push(partition.clone());
        if other.executor.as_mut().is_some_and(|executor| executor.take(&partition).is_err()) {
            // What was under way there had an unknown outcome.
            self.restart(index);
        }
    }

    /// A process has lost its store.
    pub(super) fn crashed(&mut self, index: usize, stop: &Stop) {
        let outlived = lock(&self.faults).outlived;
        let outlives = self.sim.is_some() && self.chance.one_in(outlived);
        match self.nodes.get_mut(index).and_then(|node| node.executor.as_mut()) {
            Some(executor) if outlives => executor.outlive(stop),
            _ => self.restart(index),
        }
    }
}

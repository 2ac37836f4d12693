//! A map that can only be looked into.
#![expect(clippy::disallowed_types, reason = "the order of a hash map differs from run to run, and this one shows it to nobody")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Looked into some sixty times a saga, by ids that begin alike, which an ordered map would compare at each of its nodes. Hashed with a key
/// that is drawn when the process starts: nobody outside can choose ids that collide.
pub(super) struct Map<K, V>(HashMap<K, V>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Map<K, V> {
        Map(HashMap::new())
    }
}

impl<K: Hash + Eq, V> Map<K, V> {
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    /// Keeps what passes. `keep` must not depend on the order in which it is asked.
    pub fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.0.retain(|_, value| keep(value));
    }
}

//! What a test sees of a world.

use super::*;

impl World {
    /// Every waiting message, dead letters included.
    ///
    /// # Panics
    /// When the store in memory cannot be read.
    pub fn waiting(&mut self) -> Vec<(Partition, Waiting)> {
        let executors = self.nodes.iter_mut().filter_map(|node| node.executor.as_mut());
        executors.flat_map(|executor| executor.waiting().unwrap_or_else(|error| panic!("{error}"))).collect()
    }

    /// Every saga ever started, from the stores.
    ///
    /// # Panics
    /// When a stored saga cannot be read.
    pub fn sagas(&self) -> Vec<(String, SagaRecord)> {
        let mut all = Vec::new();
        for (_, rows) in self.each_store("SELECT id, body FROM saga ORDER BY id", &[]) {
            for row in rows {
                let [id, body] = row.as_slice() else { continue };
                let body = body.text().unwrap_or_default();
                let record = serde_json::from_str(body).unwrap_or_else(|error| panic!("a saga is read: {error}"));
                all.push((id.text().unwrap_or_default().to_owned(), record));
            }
        }
        all
    }

    /// The log of a saga, in order; empty when there is no such saga.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn saga_log(&self, id: &str) -> Vec<crate::LogLine> {
        let stores = self.nodes.iter().filter(|node| node.replica == 0).map(|node| lock(&node.store));
        let mut found = stores.filter_map(|store| crate::view::saga(&*store, id).unwrap_or_else(|error| panic!("{error}")));
        found.next().map(|found| found.value.1).unwrap_or_default()
    }

    /// An aggregate, from its store.
    ///
    /// # Panics
    /// When the stored state cannot be read.
    pub fn state<A: Aggregate>(&self, context: &str, id: &str) -> Option<A> {
        let node = self.nodes.iter().find(|node| node.contexts.contains(&context))?;
        let store = lock(&node.store);
        crate::view::state::<A>(&*store, context, id).unwrap_or_else(|error| panic!("{error}")).map(|found| found.value)
    }

    /// Every aggregate of one kind, from its store.
    ///
    /// # Panics
    /// When a stored state cannot be read.
    pub fn states<A: Aggregate>(&self, context: &str) -> Vec<A> {
        let sql = format!("SELECT format, body FROM {} ORDER BY id", crate::store::state_table(context, A::KIND));
        let node = self.nodes.iter().find(|node| node.contexts.contains(&context));
        let rows = node.map(|node| lock(&node.store).select(&sql, &[]).unwrap_or_else(|error| panic!("{error}")));
        let read = |row: Vec<Value>| {
            let version = row.first().and_then(Value::integer).and_then(|version| u32::try_from(version).ok());
            let body = row.get(1).and_then(|body| body.text()).unwrap_or_default().as_bytes().to_vec();
            crate::context::parse_state::<A>(version.unwrap_or(0), &body).unwrap_or_else(|error| panic!("{error}"))
        };
        rows.unwrap_or_default().into_iter().map(read).collect()
    }

    /// What every process reads, and how that goes.
    pub fn readings(&self) -> Vec<crate::executor::Reading> {
        self.nodes.iter().filter_map(|node| node.executor.as_ref()).flat_map(Executor::readings).collect()
    }

    /// Does to every store what only a damaged disk or a stranger does: a statement past its owner.
    ///
    /// # Panics
    /// When the text is not SQL.
    pub fn damage(&mut self, sql: &str) {
        for node in self.nodes.iter().filter(|node| node.replica == 0) {
            lock(&node.store).damage(sql).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Copies a context's store into a file, as a backup does.
    ///
    /// # Panics
    /// When the file cannot be written, or is there already.
    pub fn dump(&mut self, context: &str, file: &std::path::Path) {
        if let Some(node) = self.nodes.iter().find(|node| node.contexts.contains(&context)) {
            let sql = format!("VACUUM INTO '{}'", file.display());
            lock(&node.store).damage(&sql).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// Kills every process of a context, puts such a copy in its store's place, and starts them again.
    ///
    /// # Panics
    /// When the file is no store.
    pub fn restore(&mut self, context: &str, file: &std::path::Path) {
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].contexts.contains(&context)).collect();
        for (first, node) in nodes.iter().zip(0..) {
            if node == 0 {
                let copy = Sqlite::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                *lock(&self.nodes[*first].store) = copy;
            }
        }
        nodes.into_iter().for_each(|node| self.restart(node));
    }

    /// The same query in every store.
    ///
    /// # Panics
    /// When the text is not SQL.
    pub fn each_store(&self, sql: &str, parameters: &[Value]) -> Vec<(&'static str, Vec<Vec<Value>>)> {
        let first = self.nodes.iter().filter(|node| node.replica == 0);
        first
            .map(|node| {
                let rows = lock(&node.store).select(sql, parameters).unwrap_or_else(|error| panic!("{error}"));
                (node.contexts.first().copied().unwrap_or(""), rows)
            })
            .collect()
    }

    /// What all executors have done since they started, summed up (a restart begins anew).
    pub fn gap_alarms(&self) -> u64 {
        self.nodes.iter().filter_map(|node| node.executor.as_ref()).map(|executor| executor.counters.gap_alarms).sum()
    }

    /// What each process holds and waits for, in words, for a failed test's text.
    pub fn describe(&self) -> String {
        let executors = self.nodes.iter().zip(0..).filter_map(|(node, index)| Some((index, node.executor.as_ref()?)));
        let lines: Vec<String> = executors.map(|(index, executor)| format!("process {index}: {}", executor.describe())).collect();
        lines.join("\n")
    }

    /// Commits since the executors started.
    pub fn commits(&self) -> u64 {
        self.nodes.iter().filter_map(|node| node.executor.as_ref()).map(|executor| executor.counters.commits).sum()
    }
}

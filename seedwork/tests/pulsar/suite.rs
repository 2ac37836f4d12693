//! The suite that every broker passes.

use std::time::Duration;

use seedwork::broker::pulsar::Settings;
use seedwork::broker::{Broker, contract};
use seedwork::store::Partition;

use crate::rig::{Server, connect};

struct Real {
    server: Server,
    settings: Settings,
}

impl contract::Subject for Real {
    fn fresh(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
        self.settings = self.server.namespace(&["lot.events"]);
        self.again(origins)
    }
    fn again(&mut self, _origins: &[Partition]) -> Box<dyn Broker> {
        Box::new(connect(&self.settings))
    }
    fn wait(&mut self, times: u32) -> bool {
        // A consumer that takes over begins a second later, so that the broker has heard the other's last acknowledgements.
        std::thread::sleep(Duration::from_millis(20));
        times < 125
    }
}

#[test]
fn it_passes_the_suite_of_every_broker() {
    let Some(server) = Server::find() else { return };
    let settings = Settings::new(server.url.clone(), "one");
    contract::check(&mut Real { server, settings });
}

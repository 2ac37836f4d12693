//! kill -9 at any moment, again and again.

use seedwork::clock::Chance;

use super::load::{Load, prepare, verify, verify_each};
use super::support::{Folder, Server, say};

/// How often, unless `ALPES_SOAK` says otherwise.
const ROUNDS: usize = 8;

#[test]
fn what_was_acknowledged_survives_kill_9_and_every_saga_ends() {
    let rounds = match std::env::var("ALPES_SOAK") {
        Ok(told) => told.parse().expect("ALPES_SOAK is how many rounds: a number"),
        Err(_) => ROUNDS,
    };
    let mut chance = Chance::from_system().expect("the operating system has randomness");
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    prepare(server.address);
    let mut asked = Vec::new();
    for round in 0..rounds {
        let load = Load::start(server.address, 8, &format!("k{round}"));
        load.reach(usize::try_from(chance.below(200)).expect("it is below 200"));
        server.kill();
        let of_this_round = load.finish();
        server = Server::start(&folder);
        // Some restarts are killed too, before all that had begun is done.
        if chance.one_in(3) {
            server.kill();
            server = Server::start(&folder);
        }
        verify_each(server.address, &of_this_round);
        asked.extend(of_this_round);
    }
    verify(server.address, &asked);
    let acknowledged = asked.iter().filter(|asked| asked.acknowledged).count();
    assert!(acknowledged > 0, "nothing was acknowledged in {rounds} rounds: nothing is proven");
    say(&format!("kill -9: {rounds} rounds, {acknowledged} of {} campaigns acknowledged, all there", asked.len()));
}

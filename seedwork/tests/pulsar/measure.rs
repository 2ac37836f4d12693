//! What it costs: `ALPES_TEST_MEASURE=1 cargo test -p seedwork --features distributed --test pulsar -- --nocapture measure`.

use std::time::{Duration, Instant};

use crate::rig::{Server, connect};
use crate::story::{Story, lot, to};

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}

#[test]
fn measures_receipts_hops_and_throughput() {
    if std::env::var_os("ALPES_TEST_MEASURE").is_none() {
        return eprintln!("SKIPPED: figures of the broker, with ALPES_TEST_MEASURE=1");
    }
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    let mut story = Story::of(connect(&settings));
    let destination = to("lot.events", 0);
    let reader = story.subscribe("shop", &destination);
    story.send(&lot(0), &destination, 1);
    story.until("the way is open", |story| story.count(&reader) == 1 && story.safe(&lot(0), &destination));
    for batch in [1, 16] {
        let (mut receipts, mut hops) = (Vec::new(), Vec::new());
        for _ in 0..500 {
            let (begun, before) = (Instant::now(), story.count(&reader));
            story.send(&lot(0), &destination, batch);
            let mut receipt = None;
            let mut hop = None;
            story.until("both", |story| {
                if receipt.is_none() && story.safe(&lot(0), &destination) {
                    receipt = Some(begun.elapsed());
                }
                if hop.is_none() && story.count(&reader) == before + batch as usize {
                    hop = Some(begun.elapsed());
                }
                receipt.is_some() && hop.is_some()
            });
            receipts.extend(receipt);
            hops.extend(hop);
        }
        percentiles(&format!("batches of {batch}, one at a time: send to receipt"), receipts);
        percentiles(&format!("batches of {batch}, one at a time: send to heard"), hops);
    }
    for destinations in [1_u16, 2] {
        let settings = server.namespace(&["lot.events"]);
        let mut story = Story::of(connect(&settings));
        let to: Vec<_> = (0..destinations).map(|partition| to("lot.events", partition)).collect();
        let readers: Vec<_> = to.iter().map(|to| story.subscribe("shop", to)).collect();
        to.iter().for_each(|to| story.send(&lot(0), to, 1));
        story.until("the way is open", |story| readers.iter().all(|reader| story.count(reader) == 1));
        let (begun, mut sent) = (Instant::now(), 1);
        while begun.elapsed() < Duration::from_secs(5) {
            // As many under way as a busy owner has.
            if readers.iter().all(|reader| story.count(reader) + 512 > sent) {
                to.iter().for_each(|to| story.send(&lot(0), to, 16));
                sent += 16;
            }
            story.hear();
        }
        story.until("all", |story| readers.iter().all(|reader| story.count(reader) == sent));
        let all = sent * usize::from(destinations);
        let each = all as f64 / begun.elapsed().as_secs_f64();
        let entries: u64 = (0..destinations).map(|partition| server.entries(&settings, "lot.events", partition)).sum();
        println!(
            "{destinations} destinations, batches of 16, 512 rows under way each: {each:.0} rows/s, {:.1} rows an entry",
            all as f64 / entries as f64
        );
    }
}

//! Every process is killed under load, and started again: nothing that was accepted is lost, nothing happens twice.

use serde_json::Value;

use crate::support::{SERVICES, Stack, campaign, until};

/// Campaigns that are registered while each service is killed.
const EACH: usize = 12;

#[test]
fn whoever_is_killed_nothing_accepted_is_lost_and_the_money_adds_up() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    let mut accepted = Vec::new();
    for (round, service) in SERVICES.iter().enumerate() {
        for number in 0..EACH {
            if number == EACH / 3 {
                stack.kill(service);
            }
            if number == 2 * EACH / 3 {
                stack.start(service);
            }
            let id = format!("c-{round}-{number}");
            // As a client does: asked again, under the same id, until somebody has taken it.
            let down = (EACH / 3..2 * EACH / 3).contains(&number);
            if !down || *service != "bff" {
                let request = campaign(&id, "b-1", 1);
                until(&format!("{id} is accepted"), || {
                    matches!(stack.post("/v1/campaigns", 0, &request).status, 200..=299).then_some(())
                });
                accepted.push(id);
            }
        }
    }
    for id in &accepted {
        assert_eq!(stack.ended(id), "completed", "{id}");
    }
    let account = stack.get("/v1/brands/b-1/accounts/USD");
    assert_eq!(account.json["reserved"], format!("{}.00", 10 * accepted.len()), "{}", account.json);
    // One saga, one enrolment and one event for each.
    for (path, count) in [("/v1/enrolments?limit=200", accepted.len()), ("/v1/events?limit=200", accepted.len())] {
        let told = stack.get(path);
        assert_eq!(told.json["items"].as_array().map(Vec::len), Some(count), "{path}");
    }
    let letters = stack.get("/v1/dead-letters");
    assert_eq!(letters.json["items"], Value::Array(Vec::new()), "{}", letters.json);
}

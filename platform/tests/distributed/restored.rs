//! An older copy of a database is put back while the broker, and whoever reads, is further on.

use serde_json::json;

use crate::support::{Stack, campaign, until};

/// Campaigns enough for each of four partitions to have some.
fn many(kind: &str) -> Vec<String> {
    (1..=12).map(|number| format!("c-{kind}-{number}")).collect()
}

#[track_caller]
fn register(stack: &Stack, ids: &[String]) {
    for id in ids {
        // The first answer is waited for two seconds, which is not enough while a service starts.
        let told = until("the registration is answered", || {
            let told = stack.post("/v1/campaigns", 60, &campaign(id, "b-1", 1));
            (told.status != 202).then_some(told)
        });
        assert_eq!((told.status, &told.json["status"]), (201, &json!("completed")), "{id}: {}", told.json);
    }
}

#[test]
fn an_older_copy_takes_no_input_until_a_new_epoch_begins_and_then_nothing_is_dropped() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    register(&stack, &many("old"));
    // A copy of the database, as a dump makes one.
    stack.stop("campaign");
    stack.keep_copy("campaign");
    stack.start("campaign");
    register(&stack, &many("lost"));
    stack.stop("campaign");
    stack.put_copy_back("campaign");
    stack.start("campaign");

    // Each partition says what has happened and how to go on, to whoever decides something there; nothing is taken meanwhile.
    let resume = |number: u16| format!("/v1/subscriptions/campaign:{number}:campaign.commands/resume");
    let begin: Vec<String> = (0..4)
        .map(|number| {
            until("the partition is taken, and says that it is behind", || {
                let told = stack.decide_at("campaign", "ann", &resume(number), &json!({}));
                let detail = told.json["detail"].as_str()?.to_owned();
                let (_, command) = detail.split_once("begin a new epoch: alpes ")?;
                assert!(told.status == 503 && detail.contains("an older copy of the store was restored"), "{told:?}");
                Some(command.replace("WHY", "restored"))
            })
        })
        .collect();
    let told = stack.post("/v1/campaigns", 0, &campaign("c-meanwhile", "b-1", 1));
    assert_eq!((told.status, &told.json["status"]), (202, &json!("waiting")), "it is durable, and waits: {}", told.json);
    assert_eq!(stack.get("/v1/campaigns/c-meanwhile").status, 404);

    // Whoever asks what is wrong is told of each, with what to do, in a line.
    let doctor = |well: bool| {
        let asked =
            crate::support::bare().args(["doctor", "--json", "--url", stack.url("campaign")]).output().expect("it can be run");
        assert_eq!(asked.status.success(), well, "{asked:?}");
        let told: serde_json::Value = serde_json::from_slice(&asked.stdout).expect("it prints JSON");
        let found = told.as_array().expect("findings").iter().filter(|found| found["check"] == "new epochs");
        found.map(|found| found["what"].as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    let told = doctor(false);
    assert_eq!(told.len(), begin.len(), "a line for each partition: {told:?}");
    for (told, command) in told.iter().zip(&begin) {
        assert!(told.contains(&command.replace("restored", "WHY")) && !told.contains('\n'), "{told}");
    }

    // The command is run as it was told.
    for (number, command) in begin.iter().enumerate() {
        assert!(command.starts_with(&format!("streams new-epoch campaign/{number}/")), "{command}");
        let words: Vec<&str> = command.split_whitespace().chain(["--url", stack.url("campaign")]).collect();
        let begun = crate::support::bare().args(&words).output().expect("it can be run");
        assert!(begun.status.success(), "{command}: {begun:?}");
    }

    assert_eq!(doctor(true), ["no partition waits for one"]);

    // What had come meanwhile is taken, and every stream goes on; of what the copy does not know nothing is reserved any more.
    assert_eq!(stack.ended("c-meanwhile"), "completed");
    assert_eq!(stack.get("/v1/campaigns/c-old-1").json["status"], "active");
    assert_eq!(stack.get("/v1/campaigns/c-lost-1").status, 404);
    register(&stack, &many("new"));
    assert_eq!(stack.get("/v1/brands/b-1/accounts/USD").json["reserved"], "250.00", "25 campaigns with 10.00 each, none twice");
    for context in ["partner", "tracking"] {
        let letters = stack.get_at(context, "/v1/dead-letters").json;
        assert_eq!(letters["items"], json!([]), "{context}");
    }
    // Whoever listens hears of all that is new: tracking takes an event only of a campaign whose activation it has heard of.
    for id in many("new") {
        let enrolment = format!("p-{id}-1~{id}");
        let click = json!({"id": format!("{enrolment}~click"), "enrolment": enrolment, "kind": "click"});
        until("the campaign's activation has been heard", || {
            let told = stack.post("/v1/events", 1, &click);
            matches!(told.status, 200 | 201).then_some(())
        });
    }
}

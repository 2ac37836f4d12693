//! The stories of the demo: small brands of Colombia, and whoever promotes them.

use serde_json::{Value, json};

/// One campaign, what is done before it and after it, and what it shows.
#[derive(Debug)]
pub(super) struct Story {
    pub id: &'static str,
    pub brand: &'static str,
    pub currency: &'static str,
    pub shows: &'static str,
    pub before: &'static [Step],
    pub after: &'static [Step],
    /// Whether what comes after does not wait until it is registered.
    pub interrupt: bool,
    name: &'static str,
    amount: &'static str,
    people: &'static [&'static str],
    /// So many more people of whom little is known.
    crowd: usize,
}

/// Something that is asked beside the campaign itself.
#[derive(Debug)]
pub(super) enum Step {
    /// A partner is banned.
    Ban(&'static str),
    /// What a partner causes is blocked.
    Block(&'static str),
    /// The brand's limit in the story's currency is set.
    Limit(&'static str),
    /// Something happened in a partner's enrolment: who, the event's own part of its id, what, and its worth, if any.
    Event(&'static str, &'static str, &'static str, Option<&'static str>),
    /// The campaign is paused, resumed or finished.
    Do(&'static str),
    /// The campaign is cancelled, with a reason.
    Cancel(&'static str),
}

/// Who promotes: id, kind, name, profile.
const PEOPLE: &[(&str, &str, &str, &str)] = &[
    ("demo-valentina", "influencer", "Valentina Restrepo", "Café y viajes desde Medellín, 180 mil seguidores"),
    ("demo-camilo", "influencer", "Juan Camilo Ospina", "Ciclismo de montaña en Boyacá, 95 mil seguidores"),
    ("demo-sabores", "affiliate", "Sabores del Valle", "Blog de cocina de Cali, 60 mil visitas al mes"),
    ("demo-mariana", "ambassador", "Mariana Cárdenas", "Tejedora de Ráquira, embajadora de la ruana"),
    ("demo-barranquilla", "affiliate", "La Arenosa al Día", "Portal de planes en Barranquilla, 40 mil visitas al mes"),
    ("demo-bots", "influencer", "Seguidores Ya", "Un millón de seguidores, casi todos comprados"),
    ("demo-spam", "affiliate", "Clics del Sur", "Cupones, y más clics de los que caben en un día"),
];

/// All of them, in the order in which they are told.
pub(super) const STORIES: &[Story] = &[
    Story {
        id: "demo-cosecha",
        brand: "demo-cafe-sierra",
        currency: "COP",
        shows: "all of it happens; a click and two sales follow",
        name: "Cosecha de la Sierra Nevada",
        amount: "48000000.00",
        people: &["demo-valentina", "demo-sabores", "demo-camilo"],
        before: &[Step::Limit("200000000.00")],
        after: &[
            Step::Event("demo-valentina", "visita", "click", None),
            Step::Event("demo-valentina", "compra", "conversion", Some("120000.00")),
            Step::Event("demo-sabores", "compra", "conversion", Some("85000.00")),
        ],
        ..PLAIN
    },
    Story {
        id: "demo-feria",
        brand: "demo-ruana",
        currency: "COP",
        shows: "registered, then paused",
        name: "Ruanas en la Feria de las Flores",
        amount: "12500000.00",
        people: &["demo-mariana", "demo-bots"],
        before: &[Step::Limit("20000000.00")],
        after: &[Step::Do("pause")],
        ..PLAIN
    },
    Story {
        id: "demo-carnaval",
        brand: "demo-arepa",
        currency: "USD",
        shows: "registered, then finished: its budget is free again",
        name: "Arepas para el Carnaval de Barranquilla",
        amount: "3500.00",
        people: &["demo-barranquilla", "demo-sabores"],
        before: &[Step::Limit("50000.00")],
        after: &[Step::Do("finish")],
        ..PLAIN
    },
    Story {
        id: "demo-cancelada",
        brand: "demo-arepa",
        currency: "USD",
        shows: "registered, then cancelled: its budget is free again",
        name: "Arepas de medianoche",
        amount: "900.00",
        people: &["demo-barranquilla"],
        after: &[Step::Cancel("la marca cambió de idea")],
        ..PLAIN
    },
    Story {
        id: "demo-vetada",
        brand: "demo-cafe-sierra",
        currency: "COP",
        shows: "refused at row 2: a partner is banned",
        name: "Un millón de tintos",
        amount: "5000000.00",
        people: &["demo-valentina", "demo-bots"],
        before: &[Step::Ban("demo-bots")],
        ..PLAIN
    },
    Story {
        id: "demo-bloqueada",
        brand: "demo-cafe-sierra",
        currency: "COP",
        shows: "refused at row 3: what a partner causes is blocked",
        name: "Cupones de café",
        amount: "5000000.00",
        people: &["demo-camilo", "demo-spam"],
        before: &[Step::Block("demo-spam")],
        ..PLAIN
    },
    Story {
        id: "demo-sin-cupo",
        brand: "demo-ruana",
        currency: "COP",
        shows: "refused at row 4: the brand's limit has no room",
        name: "Ruanas para todo el país",
        amount: "80000000.00",
        people: &["demo-mariana", "demo-valentina"],
        before: &[Step::Limit("20000000.00")],
        ..PLAIN
    },
    Story {
        id: "demo-interrumpida",
        brand: "demo-arepa",
        currency: "USD",
        shows: "cancelled while it is being registered",
        name: "Mil voces por la arepa",
        amount: "2500.00",
        people: &[],
        crowd: 300,
        after: &[Step::Cancel("llegó tarde la aprobación")],
        interrupt: true,
        ..PLAIN
    },
];

const PLAIN: Story = Story {
    id: "",
    brand: "",
    currency: "COP",
    shows: "",
    before: &[],
    after: &[],
    interrupt: false,
    name: "",
    amount: "",
    people: &[],
    crowd: 0,
};

impl Story {
    /// The body that registers its campaign.
    pub fn campaign(&self) -> Value {
        let known = |wanted: &&str| PEOPLE.iter().find(|(id, ..)| id == wanted);
        let people = self
            .people
            .iter()
            .filter_map(known)
            .map(|(id, kind, name, profile)| json!({"id": id, "kind": kind, "name": name, "profile": profile}));
        let crowd = (1..=self.crowd)
            .map(|number| json!({"id": format!("demo-voz-{number:03}"), "kind": "influencer", "name": format!("Voz {number}")}));
        json!({
            "id": self.id,
            "name": self.name,
            "brand": self.brand,
            "budget": {"amount": self.amount, "currency": self.currency},
            "participants": people.chain(crowd).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_story_has_an_id_of_its_own_and_people_that_are_known() {
        let ids: BTreeSet<&str> = STORIES.iter().map(|story| story.id).collect();
        assert_eq!(ids.len(), STORIES.len());
        for story in STORIES {
            let people = story.campaign()["participants"].as_array().unwrap().len();
            assert!(people > 0 && people == story.people.len() + story.crowd, "{}", story.id);
        }
    }
}

//! The routes of seed 004, with its Spanish fields.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, delete, get, post};
use super::schema::{about, any_id, any_text, currency, id, joined, list, number, object, of, text};

pub(super) fn area() -> Area {
    Area {
        name: "seed 004",
        text: "Campaigns, partners (enrolments) and events in the words of the second document. A registration is accepted at once: \
               what becomes of it is told by `/v1/commands/{id}`. What is cancelled is gone here.",
        operations: operations(),
        schemas: schemas(),
    }
}

fn registers(operation: Operation, schema: &str, example: Value) -> Operation {
    operation.takes(schema, true, &[("la de la semilla", example)]).at_once().answers(200, "Aceptado", "It is accepted.")
}

/// A list: an array, so what comes with a page elsewhere stands in a header.
fn lists(operation: Operation, schema: &str) -> Operation {
    operation
        .says("A thousand at most; what is beyond is found at the `Link` with `rel=\"next\"`.")
        .query("cursor", any_text(), "Where the list begins: a `Link` has it.")
        .answers(200, schema, "All of them, as an array.")
}

fn one(operation: Operation, example: &str) -> Operation {
    operation.part("id", json!({"type": "string", "minLength": 1}), example, "Its id.").no(&[404])
}

/// Cancelling by GET, which the document has, and by DELETE.
fn removes(operation: Operation, example: &str) -> Operation {
    one(operation, example).no(&[403, 409, 412]).answers(200, "Aceptado", "It is cancelled, or is being undone.")
}

fn by_get(operation: Operation, example: &str) -> Operation {
    removes(operation, example).says("As DELETE. The answer has the header `Deprecation`.").deprecated()
}

fn operations() -> Vec<Operation> {
    let campaign = json!({
        "nombre": "Campaña Moda",
        "presupuesto": 15000.5,
        "divisa": "USD",
        "marca_id": "b-34567",
        "participantes": [{"id": "p-34567", "tipo": "Influencer", "nombre": "Alice Doe", "informacion_perfil": "Moda"}],
    });
    let partner = json!({"id_campaign": "c-67890", "nombre": "Blog Moda", "tipo": "afiliado", "informacion_perfil": "Blog"});
    let event = json!({"id_partner": "p-98765", "id_campana": "c-67890"});
    let recorded = "p-98765~c-67890~registration";
    vec![
        registers(post("/registrar-campaign", "registrarCampaign", "Registrar una campaña"), "RegistrarCampaign", campaign)
            .leads_to("obtenerCampaign", "id", "/id")
            .leads_to("eliminarCampaign", "id", "/id"),
        registers(post("/registrar-partner", "registrarPartner", "Registrar un partner"), "RegistrarPartner", partner)
            .says("A new person and its enrolment. No saga is started, no event recorded.")
            .leads_to("obtenerPartner", "id", "/id")
            .leads_to("eliminarPartner", "id", "/id"),
        registers(post("/registrar-evento", "registrarEvento", "Registrar un evento"), "RegistrarEvento", event),
        lists(get("/obtener-campaigns", "obtenerCampaigns", "Las campañas"), "ListaDeCampaigns"),
        one(get("/obtener-campaigns/{id}", "obtenerCampaign", "Una campaña"), "c-23456").tagged().answers(
            200,
            "CampaignDeSemilla",
            "La campaña.",
        ),
        lists(get("/obtener-partners", "obtenerPartners", "Los partners"), "ListaDePartners"),
        one(get("/obtener-partners/{id}", "obtenerPartner", "Un partner"), "p-98765~c-67890").tagged().answers(
            200,
            "PartnerDeSemilla",
            "El partner.",
        ),
        lists(get("/obtener-eventos", "obtenerEventos", "Los eventos"), "ListaDeEventos"),
        one(get("/obtener-eventos/{id}", "obtenerEvento", "Un evento"), recorded).tagged().answers(
            200,
            "EventoDeSemilla",
            "El evento.",
        ),
        removes(delete("/eliminar-evento/{id}", "eliminarEvento", "Eliminar un evento").at_once(), recorded),
        by_get(get("/eliminar-evento/{id}", "eliminarEventoConGet", "Eliminar un evento con GET"), recorded),
        removes(delete("/eliminar-partner/{id}", "eliminarPartner", "Eliminar un partner").at_once(), "p-98765~c-67890"),
        by_get(get("/eliminar-partner/{id}", "eliminarPartnerConGet", "Eliminar un partner con GET"), "p-98765~c-67890"),
        removes(delete("/eliminar-campaign/{id}", "eliminarCampaign", "Eliminar una campaña").at_once(), "c-23456"),
        by_get(get("/eliminar-campaign/{id}", "eliminarCampaignConGet", "Eliminar una campaña con GET"), "c-12345"),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let budget = || json!({"type": "number"});
    let new_participant = object(
        json!({"tipo": any_text(), "nombre": text(1, campaign::http::NAME_MAX_CHARS)}),
        json!({"id": id(), "informacion_perfil": text(0, campaign::http::PROFILE_MAX_CHARS)}),
    );
    let new_campaign = object(
        json!({
            "nombre": text(1, campaign::http::NAME_MAX_CHARS),
            "presupuesto": budget(),
            "divisa": any_text(),
            "marca_id": id(),
            "participantes": list(new_participant),
        }),
        json!({}),
    );
    let new_partner = object(
        json!({
            "id_campaign": id(),
            "nombre": text(1, partner::http::NAME_MAX_CHARS),
            "tipo": about(any_text(), "influencer, affiliate, afiliado, ambassador o embajador"),
            "informacion_perfil": text(0, partner::http::PROFILE_MAX_CHARS),
        }),
        json!({}),
    );
    let new_event = object(json!({"id_partner": about(joined(1, 2), "el partner, o la persona"), "id_campana": id()}), json!({}));
    let accepted = object(
        json!({
            "status": json!({"const": "ok"}),
            "id": about(any_id(), "of what it makes or cancels"),
            "command": about(any_text(), "what became of it: `/v1/commands/{id}`"),
        }),
        json!({"saga": about(any_id(), "the saga that it started")}),
    );
    let participant =
        object(json!({"id": id(), "tipo": any_text(), "nombre": any_text(), "informacion_perfil": any_text()}), json!({}));
    let campaign = object(
        json!({
            "id": id(),
            "nombre": any_text(),
            "presupuesto": budget(),
            "divisa": currency(),
            "marca_id": id(),
            "participantes": list(participant),
        }),
        json!({}),
    );
    let partner = object(
        json!({
            "id": joined(2, 2),
            "id_campaign": id(),
            "nombre": any_text(),
            "tipo": about(any_text(), "as it was sent"),
            "informacion_perfil": any_text(),
        }),
        json!({}),
    );
    let fecha = about(number(i64::MIN), "milliseconds since 1970");
    let event = object(json!({"id": any_id(), "id_partner": joined(2, 2), "id_campana": id(), "fecha": fecha}), json!({}));
    vec![
        ("RegistrarCampaign", new_campaign),
        ("RegistrarPartner", new_partner),
        ("RegistrarEvento", new_event),
        ("Aceptado", accepted),
        ("CampaignDeSemilla", campaign),
        ("ListaDeCampaigns", list(of("CampaignDeSemilla"))),
        ("PartnerDeSemilla", partner),
        ("ListaDePartners", list(of("PartnerDeSemilla"))),
        ("EventoDeSemilla", event),
        ("ListaDeEventos", list(of("EventoDeSemilla"))),
    ]
}

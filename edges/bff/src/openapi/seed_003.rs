//! The routes of seed 003, with its Spanish fields.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get, post};
use super::schema::{about, any_text, counted, currency, id, instant, list, object, of, text, word};
use crate::contracts::seed_003::{command_paths, query_paths};

pub(super) fn area() -> Area {
    Area {
        name: "seed 003",
        text: "The same campaigns in the words of the document that the project began with.",
        operations: operations(),
        schemas: schemas(),
    }
}

const STATUSES: [&str; 5] = ["draft", "active", "paused", "finished", "cancelled"];
const COMMAND: &str = "/campa%C3%B1a-comando";
const QUERY: &str = "/campa%C3%B1a-query";
const QUERY_ONE: &str = "/campa%C3%B1a-query/{id}";

fn others(paths: Vec<String>, but: &'static str) -> impl Iterator<Item = String> {
    paths.into_iter().filter(move |path| path != but)
}

fn operations() -> Vec<Operation> {
    let example = json!({
        "id": "c-23456",
        "nombre": "Campaña Moda Primavera 2025",
        "tipo": "Influencer",
        "estado": "draft",
        "fecha_inicio": "2025-09-10T00:00:00Z",
        "fecha_fin": "2025-12-10T23:59:59Z",
        "presupuesto": {"monto": 15000.00, "divisa": "USD"},
        "marca_id": "b-23456",
        "participantes": [
            {"id": "p-23456", "tipo": "Influencer", "nombre": "Alice Doe", "informacion_perfil": "Influencer de moda"},
        ],
    });
    vec![
        post(COMMAND, "registrarCampana", "Registrar una campaña")
            .says("As `POST /v1/campaigns`. The path is also taken with `ñ` as it is or as `n`, and with `commando`.")
            .also(others(command_paths(), COMMAND))
            .takes("NuevaCampana", true, &[("la de la semilla", example)])
            .answers(200, "Settled", "The saga was waited for, and has been undone.")
            .answers(201, "Settled", "The saga was waited for, and has completed."),
        get(QUERY, "listarCampanas", "Listar campañas")
            .says("As `GET /v1/campaigns`.")
            .also(others(query_paths(""), QUERY))
            .query("status", word(STATUSES), "Solo las que están así.")
            .query("brand", id(), "Solo las de esta marca.")
            .query("kind", any_text(), "Solo las de este tipo.")
            .query("name", text(1, campaign::http::NAME_MAX_CHARS), "Solo las cuyos nombres comienzan así.")
            .listed(["-created", "created", "name", "-name"])
            .answers(200, "PaginaDeCampanas", "Una página de campañas."),
        get(QUERY_ONE, "obtenerCampana", "Una campaña")
            .says("As `GET /v1/campaigns/{id}`.")
            .also(others(query_paths("/{id}"), QUERY_ONE))
            .part("id", id(), "c-23456", "La campaña.")
            .no(&[404])
            .tagged()
            .answers(200, "Campana", "La campaña."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let number = || json!({"type": "number"});
    let new_participant = object(
        json!({"tipo": any_text(), "nombre": text(1, campaign::http::NAME_MAX_CHARS)}),
        json!({"id": id(), "informacion_perfil": text(0, campaign::http::PROFILE_MAX_CHARS)}),
    );
    let new = object(
        json!({
            "nombre": text(1, campaign::http::NAME_MAX_CHARS),
            "presupuesto": object(json!({"monto": number(), "divisa": any_text()}), json!({})),
            "marca_id": id(),
            "participantes": list(new_participant),
        }),
        json!({
            "id": id(),
            "tipo": about(any_text(), "influencer, affiliate, afiliado, mixed, mixta o mixto"),
            "estado": word(["draft"]),
            "fecha_inicio": instant(),
            "fecha_fin": instant(),
        }),
    );
    let participant =
        object(json!({"id": id(), "tipo": any_text(), "nombre": any_text(), "informacion_perfil": any_text()}), json!({}));
    let campaign = object(
        json!({
            "id": id(),
            "nombre": any_text(),
            "tipo": any_text(),
            "estado": word(STATUSES),
            "presupuesto": object(json!({"monto": number(), "divisa": currency()}), json!({})),
            "marca_id": id(),
            "participantes": list(participant),
        }),
        json!({"fecha_inicio": instant(), "fecha_fin": instant()}),
    );
    vec![("NuevaCampana", new), ("Campana", campaign), ("PaginaDeCampanas", counted(of("Campana")))]
}

//! The seeds' routes name what is wrong in the seeds' own words.

use super::check;
use crate::harness::Edge;

#[tokio::test]
async fn seed_003_names_its_own_fields() {
    let edge = Edge::start();
    let good = include_str!("../../../../../walks/data/seed-003.json");
    for (piece, other, expected) in [
        ("\"nombre\": \"Campaña Moda Primavera 2025\",", "", (400, "field-missing", Some("nombre"))),
        ("\"marca_id\": \"b-12345\"", "\"marca_id\": 12345", (400, "type-wrong", Some("marca_id"))),
        ("\"divisa\": \"USD\"", "\"divisa\": \"USD\", \"x\": 1", (400, "field-unknown", Some("presupuesto.x"))),
        ("15000.00", "\"15000.00\"", (400, "type-wrong", Some("presupuesto.monto"))),
        ("15000.00", "true", (400, "type-wrong", Some("presupuesto.monto"))),
        ("15000.00", "-0.01", (422, "budget-not-positive", Some("presupuesto.monto"))),
        ("15000.00", "1.5e4", (422, "amount-invalid", Some("presupuesto.monto"))),
        ("15000.00", "15000.005", (422, "amount-invalid", Some("presupuesto.monto"))),
        ("15000.00", "1e400", (422, "amount-invalid", Some("presupuesto.monto"))),
        ("\"USD\"", "\"pesos\"", (422, "currency-unknown", Some("presupuesto.divisa"))),
        ("\"draft\"", "\"active\"", (422, "status-not-draft", Some("estado"))),
        ("2025-12-10T23:59:59Z", "2025-02-29T00:00:00Z", (422, "instant-invalid", Some("fecha_fin"))),
        ("p-54321", "p-98765", (422, "participant-twice", Some("participantes[1].id"))),
        ("\"Affiliate\"", "\"Advocate\"", (422, "kind-unknown", Some("participantes[1].tipo"))),
        ("\"Alice Doe\"", "\"\"", (422, "text-length", Some("participantes[0].nombre"))),
    ] {
        assert_eq!(good.matches(piece).count(), 1, "{piece}");
        check(&edge.post("/campana-comando", good.replace(piece, other)).await, expected, other);
    }
}

#[tokio::test]
async fn seed_004_names_its_own_fields() {
    let edge = Edge::start();
    let campaign = r#"{"nombre":"Moda","presupuesto":15000.00,"divisa":"USD","marca_id":"b-1",
        "participantes":[{"id":"p-1","tipo":"Influencer","nombre":"Alice","informacion_perfil":"x"}]}"#;
    let partner = r#"{"id_campaign":"c-1","nombre":"Alice","tipo":"influencer","informacion_perfil":"x"}"#;
    let event = r#"{"id_partner":"p-1","id_campana":"c-1"}"#;
    let long = format!("\"{}\"", "x".repeat(201));
    for (path, good, piece, other, expected) in [
        ("/registrar-campaign", campaign, "\"nombre\":\"Moda\",", "", (400, "field-missing", Some("nombre"))),
        ("/registrar-campaign", campaign, "15000.00", "\"15000\"", (400, "type-wrong", Some("presupuesto"))),
        ("/registrar-campaign", campaign, "15000.00", "-1", (422, "budget-not-positive", Some("presupuesto"))),
        ("/registrar-campaign", campaign, "15000.00", "15000.005", (422, "amount-invalid", Some("presupuesto"))),
        ("/registrar-campaign", campaign, "15000.00", "1e400", (422, "amount-invalid", Some("presupuesto"))),
        ("/registrar-campaign", campaign, "USD", "pesos", (422, "currency-unknown", Some("divisa"))),
        ("/registrar-campaign", campaign, "\"b-1\"", "\"b/1\"", (422, "id-invalid", Some("marca_id"))),
        ("/registrar-campaign", campaign, "\"b-1\"", "\"b-1\",\"estado\":\"draft\"", (400, "field-unknown", Some("estado"))),
        ("/registrar-campaign", campaign, "Influencer", "Advocate", (422, "kind-unknown", Some("participantes[0].tipo"))),
        ("/registrar-campaign", campaign, "{\"id\":\"p-1\"", "1,{\"id\":\"p-1\"", (400, "type-wrong", Some("participantes[0]"))),
        ("/registrar-campaign", campaign, "{\"nombre\":\"Moda\"", "{\"nombre\":\"Moda\"\"", (400, "json-malformed", None)),
        ("/registrar-partner", partner, "\"nombre\":\"Alice\",", "", (400, "field-missing", Some("nombre"))),
        ("/registrar-partner", partner, "\"Alice\"", "7", (400, "type-wrong", Some("nombre"))),
        ("/registrar-partner", partner, "\"Alice\"", &long, (422, "text-length", Some("nombre"))),
        ("/registrar-partner", partner, "\"influencer\"", "\"amigo\"", (422, "kind-unknown", Some("tipo"))),
        ("/registrar-partner", partner, "c-1", "../c", (422, "id-invalid", Some("id_campaign"))),
        ("/registrar-partner", partner, "\"x\"", "\"x\",\"id\":\"p\"", (400, "field-unknown", Some("id"))),
        ("/registrar-evento", event, "\"p-1\"", "null", (400, "type-wrong", Some("id_partner"))),
        ("/registrar-evento", event, "p-1", "p 1", (422, "id-invalid", Some("id_partner"))),
        ("/registrar-evento", event, "p-1", "p-1~c-2", (422, "event-elsewhere", Some("id_campana"))),
        ("/registrar-evento", event, "c-1", "", (422, "id-invalid", Some("id_campana"))),
        ("/registrar-evento", event, ",\"id_campana\":\"c-1\"", "", (400, "field-missing", Some("id_campana"))),
    ] {
        assert_eq!(good.matches(piece).count(), 1, "{piece}");
        check(&edge.post(path, good.replace(piece, other)).await, expected, &format!("{path} {other}"));
    }
    for path in ["/registrar-campaign", "/registrar-partner", "/registrar-evento"] {
        check(&edge.post(path, &b"{\"nombre\":\"\xff\"}"[..]).await, (400, "body-not-utf-8", None), path);
        check(&edge.get(path).await, (405, "method-not-allowed", None), path);
    }
    for kind in ["campaigns", "partners", "eventos"] {
        for id in ["nothing", "a%2Fb", "p~c~e~x", "%20"] {
            check(&edge.get(&format!("/obtener-{kind}/{id}")).await, (404, "unknown", None), kind);
        }
        check(&edge.get(&format!("/obtener-{kind}/%FF")).await, (400, "path-invalid", Some("id")), kind);
        check(&edge.get(&format!("/obtener-{kind}?limit=3")).await, (400, "query-invalid", Some("limit")), kind);
        check(&edge.get(&format!("/obtener-{kind}?cursor=3.c-1")).await, (400, "cursor-invalid", Some("cursor")), kind);
        check(&edge.post(&format!("/obtener-{kind}"), "{}").await, (405, "method-not-allowed", None), kind);
    }
    for path in ["/eliminar-campaign/a%2Fb", "/eliminar-partner/p-1", "/eliminar-evento/x"] {
        check(&edge.ask(&format!("DELETE {path}"), &[], "").await, (404, "unknown", None), path);
    }
}

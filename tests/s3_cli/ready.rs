//! `ready` and `status` on a real bucket: with an auditor's credentials and no key, and not through a store that is away or
//! whose clock is off.

use crate::{
    http::{Fault, Forward, Server},
    network::client,
    place::{Place, server},
};

#[test]
fn an_auditor_without_a_key_is_told_and_a_wrong_clock_is_no_yes() {
    let place = Place::with_vault(server());
    let config: toml::Table = std::fs::read_to_string(place.sandbox.config()).unwrap().parse().unwrap();
    let id = config["vault"]["id"].as_str().unwrap();
    place.backup("orders", b"what there is");
    place.run_as("auditor", &["ready", "orders", "--vault-id", id]).code(5).says("it has no signed drill");
    let mut drill = place.command("admin");
    place.finish(drill.args(["drill", "orders", "-i"]).arg(place.sandbox.identity())).ok();
    for role in ["auditor", "reader"] {
        let run = place
            .run_as(role, &["ready", "orders", "--max-age", "1h", "--drilled", "1h", "--vault-id", id, "--json"])
            .ok();
        assert_eq!(run.json()["result"]["sources"][0]["ready"], true);
    }
    let status = place.run_as("auditor", &["status", "--json"]).ok().json();
    assert_eq!(status["result"]["sources"][0]["owed"], serde_json::json!([]), "{status}");
    assert!(status["result"]["calls"]["get"].as_u64().unwrap() > 0, "{status}");
    let shown = place.run_as("reader", &["show", "latest", "--source", "orders", "--json"]).ok().json();
    assert!(shown["result"]["cost"]["bytes"].as_u64().unwrap() > 0, "{shown}");

    let skewed = Server::start(Forward(server().address()));
    for seconds in [600, -600] {
        skewed.plan(move |_, _| Some(Fault::Date(seconds)));
        let mut command = client(&place, "auditor", &skewed.endpoint());
        let run =
            place.finish(command.args(["ready", "orders", "--max-age", "1h", "--vault-id", id, "--json"])).code(5);
        let reasons = run.json()["result"]["sources"][0]["reasons"].clone();
        assert!(reasons.as_array().unwrap().iter().any(|reason| reason["code"] == "clock"), "{reasons}");
    }
    let mut command = client(&place, "auditor", "http://127.0.0.1:1");
    place.finish(command.args(["ready", "orders", "--json"])).code(75).json();
    // Whom the store refuses is told no yes either.
    let spec = place.forged();
    let mut command = place.sandbox.command();
    command.args(["--vault", &place.url(), "--endpoint", &server().endpoint(), "--path-style", "--credentials", &spec]);
    place.finish(command.args(["ready", "orders", "--json"])).code(1).json();
}

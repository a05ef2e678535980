//! A vault of the draft that came before version 1 is refused, with what to do.

use std::fs;

use crate::vaults::{Golden, fixtures};

#[test]
fn a_vault_of_the_draft_is_refused_with_what_to_do() {
    let golden = Golden::copy_of(&fixtures().join("draft"));
    golden.configure("writer.key", "db1");
    let before = golden.files();
    let (sandbox, out) = (&golden.sandbox, golden.sandbox.path("out"));
    let said = |run: crate::sandbox::Run| {
        let error = run.code(1).json()["error"].clone();
        assert_eq!(error["kind"], "draft-format", "{error}");
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        assert!(message.contains("\"1-draft\"") && message.contains("\"1\""), "{message}");
        assert!(message.contains("restored by the build that wrote it") && hint.contains("new vault"), "{error}");
    };
    said(sandbox.reader(&["snapshots", "--json"]));
    said(sandbox.reader(&["verify", "--depth", "decrypt", "--json"]));
    said(sandbox.reader(&["restore", "172ea50b3b93", "--to", out.to_str().unwrap(), "--json"]));
    said(sandbox.reader(&["prune", "--yes", "--json"]));
    said(sandbox.reader(&["renew", "--json"]));
    said(sandbox.writer_with(&["backup", "--name", "orders", "--stdin", "--json"], b"a line\n"));
    assert!(golden.files() == before && !out.exists());
    // A vault that is there is not made anew, whatever its version.
    let taken =
        sandbox.finish(sandbox.command().args(["init", "--vault", &sandbox.url(), "--out"]).arg(sandbox.path("new")));
    taken.code(2);
    assert!(golden.files() == before && fs::read_dir(sandbox.path("new")).is_err());
}

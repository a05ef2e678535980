//! G17 on real servers: a bucket on one server, a copy on a second with other roles, a copy of that on a disk; then what came
//! first is deleted, everything is restored and drilled from each of the others, and the first is made again from the disk.

use std::fs;

use strongroom::model::{LockMode, Span};

use crate::{
    place::{Place, server},
    sandbox::noise,
    seaweed::Seaweed,
};

/// How a copier reaches the bucket of a copy.
fn to<'a>(server: &Seaweed, identity: &str, url: &'a str, option: &str) -> Vec<String> {
    let spec = format!("file:{}", server.credentials(identity).display());
    [
        &format!("--{option}"),
        url,
        &format!("--{option}-credentials"),
        &spec,
        &format!("--{option}-endpoint"),
        &server.endpoint(),
        &format!("--{option}-path-style"),
    ]
    .map(ToString::to_string)
    .to_vec()
}

fn strings<'a>(args: &'a [&'a str], more: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

#[test]
fn g17_a_vault_is_copied_to_a_second_server_and_to_a_disk_and_each_restores_without_the_others() {
    for explicit in [false, true] {
        let place = if explicit { Place::with_explicit_vault(server()) } else { Place::with_vault(server()) };
        let second = Seaweed::start();
        let orders = noise(20 << 20, 3);
        place.backup("orders", &noise(18 << 20, 1));
        place.backup("orders", &orders);
        let database = place.sandbox.path("db.sqlite");
        let made = std::process::Command::new("python3")
            .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('create table t(a)'); c.executemany('insert into t values(?)', [(i,) for i in range(1000)]); c.commit()"])
            .arg(&database)
            .status();
        assert!(made.unwrap().success());
        let mut command = place.sandbox.command();
        command.arg("--config").arg(place.sandbox.config()).args(["backup", "--name", "db", "--sqlite"]).arg(&database);
        place.finish(&mut command).ok();

        let at_second = Place::of(&second, crate::sandbox::Sandbox::new(), "vault-copy".to_owned());
        let rt = tokio::runtime::Runtime::new().unwrap();
        rt.block_on(async {
            let store = at_second.store("admin").await;
            store.admin().create_bucket().await.unwrap();
            store.admin().enable_versioning().await.unwrap();
            if !explicit {
                // What is put there by others than the copier, such as evidence, is locked by default in such a vault.
                store.admin().set_default_lock(LockMode::Compliance, Span::days(65)).await.unwrap();
            }
        });
        let url = at_second.url();
        let copier = to(&second, "copier", &url, "to");
        let run = place.run_as("reader", &strings(&["replicate", "--json"], &copier)).ok().json();
        let report = &run["result"]["copies"][0]["report"];
        assert_eq!(report["copied"].as_array().unwrap().len(), 3, "{report}");
        println!("to the second server: {report}");
        let idle = place.run_as("reader", &strings(&["replicate", "--json"], &copier)).ok().json();
        let idle = &idle["result"]["copies"][0]["report"];
        assert_eq!((&idle["objects"], &idle["there"]), (&0.into(), &3.into()), "{idle}");
        println!("again: {idle}");
        at_second
            .run_as(
                "auditor",
                &[
                    "verify",
                    "--depth",
                    "read",
                    "--vault-id",
                    run["result"]["copies"][0]["report"]["vault"].as_str().unwrap(),
                ],
            )
            .ok();

        // From there to a disk.
        let disk = place.sandbox.path("disk");
        let disk_url = format!("file://{}", disk.display());
        at_second.run_as("reader", &["replicate", "--to", &disk_url]).ok();

        // What came first is gone: all of it, whatever locks it had.
        let identity = place.sandbox.identity();
        let id = identity.to_str().unwrap();
        let raw = place.raw("admin");
        rt.block_on(async {
            let client = raw.client();
            let listed = client.list_objects_v2().bucket(&place.bucket).send().await.unwrap();
            for object in listed.contents() {
                // Locked versions stay and are hidden; a server that is gone would have none.
                let _ = client.delete_object().bucket(&place.bucket).key(object.key().unwrap()).send().await;
            }
        });
        let from_second = |args: &[&str]| at_second.run_as("reader", args);
        let out = from_second(&["restore", "latest", "--source", "orders", "--to", "-", "-i", id]).ok();
        assert!(out.stdout == orders, "from the second server");
        // Whoever drills may leave evidence.
        at_second.run_as("copier", &["drill", "db", "-i", id]).ok();
        let mut at_disk = place.sandbox.command();
        at_disk.args(["--vault", &disk_url, "restore", "latest", "--source", "orders", "--to", "-", "-i", id]);
        assert!(place.finish(&mut at_disk).ok().stdout == orders, "from the disk");
        let mut drilled = place.sandbox.command();
        drilled.args(["--vault", &disk_url, "drill", "db", "-i", id]);
        place.finish(&mut drilled).ok();

        // A rotten pack on the disk heals from the second server; a bucket that lost one from the disk.
        let pack = fs::read_dir(disk.join("packs/w1")).unwrap().flatten().next().unwrap().path();
        let pack = fs::read_dir(pack).unwrap().flatten().map(|e| e.path()).find(|p| p.extension().is_none()).unwrap();
        let mut bytes = fs::read(&pack).unwrap();
        bytes[200] ^= 1;
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, bytes).unwrap();
        let mut repair = place.sandbox.command();
        repair.args(["--vault", &disk_url, "repair", "--json"]).args(to(&second, "reader", &url, "from"));
        let mended = place.finish(&mut repair).ok().json();
        assert_eq!(mended["result"]["objects"], 1, "{mended}");

        // A whole new bucket for the first, out of the disk; and then it is as it was.
        let again = Place::empty(server());
        rt.block_on(async {
            let store = again.store("admin").await;
            store.admin().create_bucket().await.unwrap();
            store.admin().enable_versioning().await.unwrap();
        });
        let again_url = again.url();
        let mut rebuild = place.sandbox.command();
        rebuild.args(["--vault", &disk_url, "replicate"]).args(to(server(), "copier", &again_url, "to"));
        place.finish(&mut rebuild).ok();
        let out = again.run_as("reader", &["restore", "latest", "--source", "orders", "--to", "-", "-i", id]).ok();
        assert!(out.stdout == orders, "from the bucket that was made again");

        // Somebody overwrites what is in that bucket; its versions are still there, so nothing is to be mended.
        let looked = strings(&["repair", "--json"], &["--from".to_owned(), disk_url.clone()])
            .into_iter()
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>();
        let looked: Vec<&str> = looked.iter().map(String::as_str).collect();
        let clean = again.run_as("copier", &looked).ok().json();
        assert_eq!(clean["result"]["objects"], 0, "{clean}");
    }
}

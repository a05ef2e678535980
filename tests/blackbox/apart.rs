//! One disk must not count as two, however a copy's place is spelled; and what is no copy is none.

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::{
    lab::Lab,
    mended::{at, below, names, replicate, url, vault, verify},
};

fn copy(name: &str, url: &str, more: &str) -> String {
    format!("[[copy]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}")
}

/// The writer's configuration with these copies alone.
fn configured(lab: &Lab, copies: &[(&str, &str)]) {
    let config = fs::read_to_string(lab.config()).unwrap();
    let rest = config.split("[[copy]]").next().unwrap();
    let copies: String = copies.iter().map(|(name, place)| copy(name, &url(lab, place), "")).collect();
    fs::write(lab.config(), format!("{rest}{copies}")).unwrap();
}

#[test]
fn two_copies_in_one_place_are_refused_however_each_is_spelled() {
    let lab = vault(1);
    for name in ["z", "disk"] {
        fs::create_dir(lab.path(name)).unwrap();
    }
    symlink(lab.path("disk"), lab.path("link")).unwrap();
    symlink(lab.path("unplugged"), lab.path("drawer")).unwrap();
    let all = |lab: &Lab| -> Vec<Command> {
        vec![lab.writer(["replicate"]), lab.writer(["status"]), lab.writer(["ready", "--copies", "2"])]
    };
    for (first, second, said) in [
        ("disk/c", "link/c", "a and b are in one place"),
        ("disk/c", "z/../disk/c", "a and b are in one place"),
        ("disk/c", "none/../link/c", "a and b are in one place"),
        ("drawer/c", "unplugged/c", "a and b are in one place"),
        ("disk/c", "link/c/sub", "b lies within the copy a"),
        ("disk/c/sub", "disk/c", "b contains the copy a"),
        ("disk/c", "vault/inner", "b lies within the vault"),
        ("disk/c", "none/../vault", "b is the vault itself"),
    ] {
        configured(&lab, &[("a", first), ("b", second)]);
        for mut command in all(&lab) {
            lab.run(&mut command).code(2).says(&[said]);
        }
        // One that is made by its name must not, either.
        lab.run(&mut lab.writer(["replicate", "a"])).code(2).says(&[said]);
    }
    for name in ["disk/c", "none", "unplugged", "vault/inner"] {
        assert!(!lab.path(name).exists(), "{name} was made");
    }
    // The vault within a copy.
    configured(&lab, &[("a", "")]);
    lab.run(&mut lab.writer(["replicate"])).code(2).says(&["a contains the vault"]);
    // When they are there, nothing is different.
    configured(&lab, &[("a", "disk/c")]);
    lab.run(&mut lab.writer(["replicate"])).ok();
    configured(&lab, &[("a", "disk/c"), ("b", "link/c")]);
    for mut command in all(&lab) {
        lab.run(&mut command).code(2).says(&["a and b are in one place"]);
    }
    // Nor does one lie within another that the configuration does not name.
    replicate(&lab, "link/c/packs/sub", &[]).code(2).says_anywhere(&["lies within the vault in"]);
    assert!(!lab.path("disk/c/packs/sub").exists());
    // Two are two, and a copy may be asked by itself with the configuration that names it.
    configured(&lab, &[("a", "disk/c"), ("b", "disk/cc")]);
    lab.run(&mut lab.writer(["replicate"])).ok();
    let status = lab.run(&mut lab.writer(["status", "--vault", &url(&lab, "disk/c")]));
    assert!(status.code != Some(2), "{}", status.said());
}

#[test]
fn two_copies_in_one_bucket_are_refused_by_the_spelling_of_their_server() {
    let lab = Lab::new();
    let config = fs::read_to_string(lab.config()).unwrap();
    let server = |text: &str| format!("endpoint = \"{text}\"\n");
    for (first, second, is) in [
        (("s3://bucket/a", ""), ("s3://bucket/a/", ""), "are in one place"),
        (("s3://bucket/a", "http://store:80"), ("s3://bucket/a", "HTTP://Store/"), "are in one place"),
        (("s3://bucket/a", "https://store"), ("s3://bucket/a", "https://store:443/"), "are in one place"),
        (("s3://bucket/a", ""), ("s3://bucket/a", "https://s3.eu-west-3.amazonaws.com"), "are in one place"),
        (("s3://bucket/a", ""), ("s3://bucket/a/b", ""), "lies within"),
        (("s3://bucket/a", "https://store"), ("s3://bucket", "https://STORE"), "contains"),
    ] {
        let of = |name: &str, (url, endpoint): (&str, &str)| {
            copy(name, url, &if endpoint.is_empty() { String::new() } else { server(endpoint) })
        };
        fs::write(lab.config(), format!("{config}{}{}", of("a", first), of("b", second))).unwrap();
        lab.run(&mut lab.writer(["replicate"])).code(2).says(&[is, "strongroom.toml:"]);
    }
}

#[test]
fn what_says_how_a_bucket_is_reached_is_refused_for_a_directory() {
    let lab = Lab::new();
    let config = fs::read_to_string(lab.config()).unwrap();
    for (key, value) in [
        ("endpoint", "\"https://store\""),
        ("region", "\"eu-west-3\""),
        ("path_style", "true"),
        ("path_style", "false"),
        ("credentials", "\"file:copier-s3.toml\""),
        ("checksum", "\"md5\""),
        ("conditional_put", "false"),
    ] {
        let copies = copy("a", "file:///mnt/disk/vault", &format!("{key} = {value}\n"));
        fs::write(lab.config(), format!("{config}{copies}")).unwrap();
        lab.run(&mut lab.writer(["replicate"])).code(2).says(&[&format!("`{key}`"), "is a directory"]);
        let copies = copy("a", "s3://bucket/a", &format!("{key} = {value}\n"));
        fs::write(lab.config(), format!("{config}{copies}")).unwrap();
        assert!(!lab.run(&mut lab.writer(["replicate"])).said().contains("is a directory"));
    }
}

#[test]
fn a_refused_target_leaves_no_directory_behind() {
    let lab = vault(1);
    // The vault itself, another vault, and nothing at all.
    fs::create_dir(lab.path("other")).unwrap();
    lab.run(&mut lab.program(["init", "--vault", &url(&lab, "other/v"), "--out", &lab.text("other/etc")])).ok();
    for name in ["none/../vault", "none/../other/v", "none/deeper/../../fresh"] {
        let run = replicate(&lab, name, &[]).code(2);
        assert!(run.said().contains("is the vault itself") || run.said().contains("is not there"), "{}", run.said());
        assert!(!lab.path("none").exists() && !lab.path("fresh").exists(), "{name}");
    }
    let init = lab.run(&mut lab.program(["init", "--vault", &url(&lab, "none/../fresh"), "--out", &lab.text("e")]));
    init.code(2).says(&["goes through a directory that is not there", "/fresh"]);
    assert!(!lab.path("none").exists() && !lab.path("e").exists());
    // Nothing is made where the source is none.
    lab.run(&mut at(&lab, "nowhere", &["replicate", "--to", &url(&lab, "fresh")])).code(10);
    let id = "ab".repeat(32);
    lab.run(&mut at(&lab, "vault", &["--vault-id", &id, "replicate", "--to", &url(&lab, "fresh")]));
    assert!(!lab.path("fresh").exists());
}

#[test]
fn a_tree_of_hard_links_is_no_copy() {
    let lab = vault(2);
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    run(lab.around("cp").arg("-al").args([lab.path("vault"), lab.path("linked")]));
    replicate(&lab, "linked", &["--adopt"]).code(2).says_anywhere(&["hard links", "no copy"]);
    // One file of many is enough.
    run(lab.around("cp").arg("-a").args([lab.path("vault"), lab.path("mixed")]));
    let pack = below(&lab, "vault", "packs/").remove(0);
    let twin = lab.path("mixed").join(pack.strip_prefix(lab.path("vault")).unwrap());
    fs::remove_file(&twin).unwrap();
    fs::hard_link(&pack, &twin).unwrap();
    replicate(&lab, "mixed", &["--adopt"]).code(2).says_anywhere(&["1 files", "hard links"]);
    // Both say that they share.
    fs::remove_dir_all(lab.path("linked")).unwrap();
    for place in ["vault", "mixed"] {
        let seen = verify(&lab, place, "locks").ok();
        assert!(names(&seen, "store.shared", "packs/"), "{}", seen.said());
    }
    fs::remove_file(&twin).unwrap();
    fs::copy(&pack, &twin).unwrap();
    replicate(&lab, "mixed", &["--adopt"]).ok();
    for place in ["vault", "mixed"] {
        assert!(!verify(&lab, place, "locks").ok().said().contains("store.shared"));
    }
}

//! Copies of a part: what they answer for, and who may say that they are one.

use std::fs;

use crate::{
    lab::{Lab, noise, tree},
    mended::{below, record, repair, replicate, vault, verify},
};

/// Takes a header and the record of its lock away.
fn lose(lab: &Lab, place: &str, no: usize) -> std::path::PathBuf {
    let header = below(lab, place, "snapshots/").remove(no);
    fs::remove_file(&header).unwrap();
    fs::remove_file(record(&header)).unwrap();
    header
}

fn extents(lab: &Lab, place: &str) -> Vec<String> {
    let name = |name: String| (!name.ends_with(".lock")).then(|| name[34..39].to_owned());
    tree(&lab.path(place).join("copies")).into_iter().filter_map(name).collect()
}

#[test]
fn junk_below_copies_makes_no_part() {
    let lab = vault(3);
    lose(&lab, "vault", 1);
    lose(&lab, "copy", 1);
    let forge = |place: &str, name: &str, text: &str| {
        fs::create_dir_all(lab.path(place).join("copies")).unwrap();
        fs::write(lab.path(place).join("copies").join(name), text).unwrap();
    };
    let whole = tree(&lab.path("copy/copies")).into_iter().find(|name| !name.ends_with(".lock")).unwrap();
    let text = fs::read_to_string(lab.path("copy/copies").join(&whole)).unwrap();
    let named = |times: &str, text: &str| format!("{times}-part-{}.json", blake3::hash(text.as_bytes()).to_hex());
    let soon = &whole[..33];
    let far = "20360101T000000Z-20360101T020000Z";
    let other = text.replace(&text[text.find("\"vault\"").unwrap()..text.find("\"from\"").unwrap()], "");
    let future = text.replace("\"part\":false", "\"part\":true");
    for place in ["vault", "copy"] {
        // Not the bytes of its name, no record at all, one that says something else than its name, and one of the future.
        forge(place, &format!("{soon}-part-{}.json", "ab".repeat(32)), "junk");
        forge(place, &format!("{far}-part-{}.json", "ab".repeat(32)), "junk");
        forge(place, &named(soon, "junk"), "junk");
        forge(place, &named(soon, &other), &other);
        forge(place, &named(soon, &text), &text);
        forge(place, &named(far, &future), &future);
        let run = verify(&lab, place, "locks").code(4).says_anywhere(&["header.missing"]);
        assert!(!run.said().contains("chain.part"), "{}", run.said());
    }
    let run = replicate(&lab, "copy", &[]);
    assert!(!run.said().contains("nothing says"), "{}", run.said());
}

#[test]
fn a_copy_that_was_whole_answers_for_what_it_had() {
    let lab = vault(4);
    let lost = lose(&lab, "copy", 1);
    // A pass for a part that leaves out nothing but what is lost makes no part.
    lab.backup("y", &noise(20, 100_000));
    replicate(&lab, "copy", &["--source", "y"]).ok();
    assert!(!extents(&lab, "copy").contains(&"part-".to_owned()), "{:?}", extents(&lab, "copy"));
    verify(&lab, "copy", "locks").code(4).says_anywhere(&["header.missing"]);
    // One that does makes one from there on, also for the passes after it.
    for no in 21..24 {
        lab.backup("x", &noise(no, 100_000));
        if no > 21 {
            replicate(&lab, "copy", &["--newest", "1"]).ok();
            assert!(extents(&lab, "copy").contains(&"part-".to_owned()), "{:?}", extents(&lab, "copy"));
            let run = verify(&lab, "copy", "locks").code(4).says_anywhere(&["header.missing"]);
            assert!(run.said().contains("chain.part"), "{}", run.said());
        }
    }
    let before = below(&lab, "copy", "snapshots/").len();
    let run = repair(&lab, "copy", "vault").ok();
    assert!(lost.exists(), "{}", run.said());
    assert_eq!(below(&lab, "copy", "snapshots/").len(), before + 1, "what was never there stays away: {}", run.said());
    let run = verify(&lab, "copy", "locks").ok();
    assert!(run.said().contains("chain.part"), "{}", run.said());
}

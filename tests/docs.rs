//! What the documentation says of the program is true: commands, options, exit codes, examples and links.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use strongroom::{cli::args::COMMANDS, model::codes};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(relative: impl AsRef<Path>) -> String {
    let path = package().join(relative);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// README.md and every page of docs, by their paths.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    for entry in fs::read_dir(package().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            paths.push(Path::new("docs").join(name));
        }
    }
    paths.into_iter().map(|path| (path.clone(), text(path))).collect()
}

/// The blocks of `page` that are marked as `language`.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fence: Option<(bool, Vec<&str>)> = None;
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), fence.as_mut()) {
            (Some(mark), None) => fence = Some((mark == language, Vec::new())),
            (Some(_), Some((wanted, lines))) => {
                if *wanted {
                    found.push(lines.join("\n"));
                }
                fence = None;
            }
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    assert!(fence.is_none(), "a block is not closed");
    found
}

/// The words of every command in a shell example, cut at pipes and the like.
fn commands(example: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in example.replace("\\\n", " ").lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let words = line.split_whitespace().filter(|_| !line.starts_with('#'));
        let mut command: Vec<String> = Vec::new();
        for word in words.chain(["|"]) {
            if matches!(word, "|" | "||" | "&&" | ";" | "&") {
                found.extend((!command.is_empty()).then(|| std::mem::take(&mut command)));
            } else if word != "$" && word != "sudo" {
                command.push(word.to_owned());
            }
        }
    }
    found
}

fn help(words: &[&str]) -> String {
    let output = Command::cargo_bin("strongroom").unwrap().env_clear().args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "strongroom {words:?} --help: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is wrong with a command of the documentation, if anything.
fn judge(words: &[String], helps: &mut BTreeMap<String, String>) -> Option<String> {
    let (program, rest) = words.split_first()?;
    if program.starts_with("scripts/") {
        let mode = fs::metadata(package().join(program)).map(|meta| meta.permissions().mode());
        return (mode.unwrap_or(0) & 0o111 == 0).then(|| format!("{program} is not a program"));
    }
    if program != "strongroom" {
        return None;
    }
    let own: Vec<&str> = rest.iter().map(String::as_str).take_while(|word| *word != "--").collect();
    let command = own.iter().find(|word| COMMANDS.contains(word)).copied();
    let Some(command) = command.or_else(|| own.iter().any(|w| matches!(*w, "--help" | "--version")).then_some(""))
    else {
        return Some(format!("{words:?} names no command"));
    };
    let mut path: Vec<&str> = [command].into_iter().filter(|word| !word.is_empty()).collect();
    let groups = helps.entry(command.to_owned()).or_insert_with(|| help(&path)).contains("\nCommands:");
    // The options of one that has commands of its own are theirs.
    path.extend(own.iter().skip_while(|word| **word != command).nth(1).filter(|_| groups && !path.is_empty()));
    let help = helps.entry(path.join(" ")).or_insert_with(|| help(&path));
    let known = |option: &str| help.split([' ', ',', '\n', '=', '[']).any(|word| word == option);
    let options = own.iter().filter(|word| word.starts_with('-') && word.len() > 1);
    let unknown = options.map(|word| word.split('=').next().unwrap_or_default()).find(|option| !known(option));
    unknown.map(|option| format!("{command} has no {option}"))
}

#[test]
fn every_command_in_an_example_exists() {
    let (mut seen, mut wrong, mut helps) = (0, Vec::new(), BTreeMap::new());
    for (path, page) in pages() {
        for words in blocks(&page, "sh").iter().flat_map(|example| commands(example)) {
            seen += 1;
            wrong.extend(judge(&words, &mut helps).map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_example_is_seen() {
    let judged = |line: &str| judge(&commands(line)[0], &mut BTreeMap::new());
    for good in [
        "strongroom restore latest --source x -i key --vault file:///v --to -",
        "sudo strongroom backup --name x -- dump --no-such-option",
        "$ scripts/demo --keep",
        "strongroom --version",
        "anything --else",
    ] {
        assert_eq!(judged(good), None, "{good}");
    }
    for bad in [
        "strongroom journal run --until-idel",
        "strongroom restroe latest",
        "strongroom restore --form x",
        "strongroom verify -x",
        "scripts/no-such",
    ] {
        assert!(judged(bad).is_some(), "{bad}");
    }
}

#[test]
fn the_readme_names_every_command_and_exit_code() {
    let readme = text("README.md");
    for command in COMMANDS {
        assert!(readme.contains(&format!("\n| `{command}` |")), "README.md has no line for {command}");
    }
    let help = help(&[]);
    let codes: Vec<(&str, &str)> = help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .filter_map(|line| line.trim().split_once("  "))
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .collect();
    assert!(codes.len() > 5, "{codes:?}");
    for (code, meaning) in codes {
        assert!(readme.contains(&format!("\n| {code} | {meaning} |")), "README.md has no line for exit code {code}");
    }
}

#[test]
fn the_configuration_of_the_readme_is_understood() {
    let readme = text("README.md");
    let examples = blocks(&readme, "toml");
    assert_eq!(examples.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("strongroom.toml");
    let vault = dir.path().join("none");
    let run = |text: &str| {
        fs::write(&config, text.replace("file:///srv/vault", &format!("file://{}", vault.display()))).unwrap();
        let mut command = Command::cargo_bin("strongroom").unwrap();
        command.env_clear().arg("--config").arg(&config).arg("snapshots").output().unwrap().status.code()
    };
    assert_eq!(run(&examples[0]), Some(10), "it is read, and there is no vault where it says");
    assert_eq!(run(&examples[0].replace("timeout", "timeuot")), Some(2), "a misspelt key is not");
}

#[test]
fn every_link_leads_somewhere() {
    let (mut seen, mut broken) = (0, Vec::new());
    for (path, page) in pages() {
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            seen += 1;
            if !package().join(path.parent().unwrap()).join(target).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(seen > 5, "only {seen} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let decisions = text("docs/decisions.md");
    let first_cells: Vec<&str> =
        decisions.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let named: Vec<&str> = first_cells.iter().flat_map(|cell| cell.split(", ")).collect();
    for section in ["dependencies", "dev-dependencies"] {
        for name in manifest[section].as_table().unwrap().keys() {
            assert!(named.contains(&name.as_str()), "docs/decisions.md does not say why {name} is there");
        }
    }
}

/// The codes of findings as the sources spell them: what stands where `Finding::new` and `finding` take one.
fn codes_in(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("Severity::") {
        let rest: String = source[at..].split_inclusive(';').next().unwrap().chars().take(200).collect();
        let Some((_, after)) = rest.split_once(',') else { continue };
        let Some(literal) = after.trim_start().strip_prefix('"') else { continue };
        let code = literal.split('"').next().unwrap();
        // Severities are named in other places, too; a code has a dot.
        if code.contains('.') && !code.contains(' ') {
            found.push(code.to_owned());
        }
    }
    found
}

#[test]
fn every_finding_is_explained() {
    let page = text("docs/audit.md");
    for known in codes::CODES {
        let row = format!("| `{}` | {} | {} | {} |", known.code, known.severity.as_str(), known.means, known.next);
        assert!(page.contains(&row), "docs/audit.md lacks the row of src/model/codes.rs:\n{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
    let documented =
        rows.filter(|row| ["error", "weak", "warning", "info"].iter().any(|s| row.contains(&format!("| {s} |"))));
    assert_eq!(documented.count(), codes::CODES.len(), "docs/audit.md has rows of codes that are no more");
    let mut used = 0;
    let mut pending = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("codes.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for code in codes_in(code).into_iter().filter(|_| !path.to_string_lossy().contains("tests")) {
                // `lock.{what}` and the like are spelled out in the table.
                let begin = code.split('{').next().unwrap().to_owned();
                let end = code.rsplit('}').next().unwrap().to_owned();
                let known = codes::CODES.iter().any(|k| k.code.starts_with(&begin) && k.code.ends_with(&end));
                assert!(known, "{}: finding {code:?} is not in src/model/codes.rs", path.display());
                used += 1;
            }
        }
    }
    assert!(used > 40, "{used} findings were seen");
}

/// What a page on CI says, run word for word where its scratch files lie elsewhere: the owner's command, and the jobs of both
/// services with their secrets.
#[test]
fn the_workflows_of_docs_ci_drill() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir(at("temp")).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_strongroom"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env!("PATH"));
    let run = |script: &str, variables: &[(&str, String)]| {
        let mut sh = std::process::Command::new("sh");
        sh.args(["-euc", script]).current_dir(dir.path()).env_clear().env("PATH", &path).env("HOME", at("home"));
        let output = sh.env("RUNNER_TEMP", at("temp")).envs(variables.iter().cloned()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}\n{}{said}", String::from_utf8_lossy(&output.stdout));
    };
    let vault = format!("file://{}", at("vault"));
    run(
        &format!(
            "strongroom init --vault {vault} --out . && mkdir safe && mv recovery.key safe && echo of today >notes"
        ),
        &[],
    );
    run("strongroom --config strongroom.toml backup --name notes --path notes", &[]);
    let owner = blocks(&text("docs/ci/README.md"), "sh").concat();
    run(&owner.replace("recovery.key", "safe/recovery.key"), &[("STRONGROOM_VAULT", vault)]);
    // The owner hands these over.
    let secret = |name: &str, from: &str| {
        fs::rename(at(from), at(name)).unwrap();
        (at(name), fs::read_to_string(at(name)).unwrap().trim_end().to_owned())
    };
    let (member, identity) = (secret("secret.member", "ci/ci.key"), secret("secret.identity", "safe/recovery.key"));
    let store = "access_key_id = \"a\"\nsecret_access_key = \"b\"\n".to_owned();
    fs::write(at("secret.store"), &store).unwrap();

    let hub = text("docs/ci/github-actions.yml");
    let steps: Vec<String> = hub.split("run: |\n").skip(1).map(unindented).collect();
    let given = [("IDENTITY", identity.1), ("MEMBER", member.1), ("STORE", store)];
    let [keys, drill] = steps.as_slice() else { panic!("{steps:?}") };
    run(keys, &given);
    run(drill, &[]);
    assert!(fs::read_to_string(at("drill.md")).unwrap().contains("notes"));
    fs::remove_file(at("ci/ci.key")).unwrap();

    let lab = text("docs/ci/gitlab-ci.yml").replace("/tmp/", &at("temp/"));
    let keys: Vec<&str> = lab.lines().filter_map(|line| line.trim().strip_prefix("- install ")).collect();
    assert_eq!(keys.len(), 3, "{lab}");
    let keys: Vec<String> = keys.iter().map(|line| format!("install {line}\n")).collect();
    let drill = lab.split("script:\n    - strongroom").nth(1).unwrap().split("artifacts:").next().unwrap();
    let files = [
        ("STRONGROOM_MEMBER_KEY", member.0),
        ("STRONGROOM_DRILL_IDENTITY", identity.0),
        ("STRONGROOM_STORE_CREDENTIALS", at("secret.store")),
    ];
    run(&format!("{}strongroom{}", keys.concat(), drill.replace('\n', " ")), &files);
    assert!(fs::read_to_string(at("drill.xml")).unwrap().contains("testsuite"));
}

/// The lines of a block, up to the first that stands further left than its first.
fn unindented(block: &str) -> String {
    let margin = block.len() - block.trim_start().len();
    let lines =
        block.lines().take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() >= margin);
    lines.map(|line| line.get(margin..).unwrap_or_default().to_owned() + "\n").collect()
}

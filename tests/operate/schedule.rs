//! `schedule`: units that systemd takes without a word, and that confine what they run.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::{
    lab::{member, with_shop},
    sandbox::Sandbox,
};

/// A writer's box: its state is not beside its configuration.
fn writer(more: &str) -> Sandbox {
    let sandbox = with_shop(more);
    let text = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), text.replace("state = \"state\"", "state = \"/var/lib/strongroom/state\"")).unwrap();
    sandbox
}

/// The units in a directory, by name.
fn units(dir: &Path) -> BTreeMap<String, String> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    all.map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap())).collect()
}

/// What systemd says of units, and how exposed it finds the worst of them.
fn analyzed(dir: &Path) -> Option<(String, Vec<(String, f64)>)> {
    let run = |args: &[&str], files: &[String]| Command::new("systemd-analyze").args(args).args(files).output();
    let list = |end: &str| -> Vec<String> {
        units(dir).into_keys().filter(|name| name.ends_with(end)).map(|n| dir.join(n).display().to_string()).collect()
    };
    let mut all = list(".service");
    all.extend(list(".timer"));
    all.extend(list(".socket"));
    // An instance, as it would be started.
    all.retain(|path| !path.contains('@'));
    let verified = run(&["verify", "--man=no", "--recursive-errors=one"], &all).ok()?;
    let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    let mut exposed = Vec::new();
    for unit in list(".service") {
        let run = run(&["security", "--offline=true", "--no-pager"], std::slice::from_ref(&unit)).ok()?;
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let level = text.split("Overall exposure level for").nth(1).and_then(|rest| rest.split(": ").nth(1));
        let level = level.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&run.stderr)));
        exposed.push((unit, level.split_whitespace().next().unwrap().parse().unwrap()));
    }
    Some((said, exposed))
}

fn sound(dir: &Path) {
    let (said, exposed) = analyzed(dir).expect("systemd-analyze, which Debian has in the package systemd");
    assert_eq!(said.trim(), "", "systemd-analyze verify has something to say");
    for (unit, level) in exposed {
        assert!(level < 2.5, "{unit} is exposed: {level}");
    }
}

#[test]
fn each_copy_gets_a_run_of_its_own() {
    let sandbox = writer("");
    let etc = sandbox.path("etc").display().to_string();
    let text = "[vault]\nurl = \"s3://acme-vault/prod\"\nregion = \"eu-west-3\"\ncredentials = \"file:reader-s3.toml\"\n\
         [[copy]]\nname = \"paris\"\nurl = \"s3://other-vault/prod\"\nregion = \"eu-west-3\"\ncredentials = \"file:copier-s3.toml\"\n\
         [[copy]]\nname = \"disk-a\"\nurl = \"file:///mnt/disk-a/vault\"\nremovable = true\n\
         [[copy]]\nname = \"shelf\"\nurl = \"file:///srv/shelf\"\n";
    let config = sandbox.path("etc/copier.toml");
    fs::write(&config, text).unwrap();
    let (dir, config) = (sandbox.path("units"), config.display().to_string());
    let run = |args: &[&str]| {
        let mut command = sandbox.command();
        sandbox.finish(command.args(["--config", &config, "schedule", "--role", "copier"]).args(args))
    };
    let told = run(&["--systemd", &dir.display().to_string()]).ok().out();
    assert!(told.contains("strongroom-replicate-paris.timer"), "{told}");
    let made = units(&dir);
    let names: Vec<&str> = made.keys().map(String::as_str).filter(|name| name.ends_with(".service")).collect();
    let wanted = ["disk-a", "paris", "shelf"].map(|name| format!("strongroom-replicate-{name}.service"));
    assert_eq!(names, [&["strongroom-failed@.service".to_owned()][..], &wanted].concat());
    let paris = &made["strongroom-replicate-paris.service"];
    for line in [
        format!("LoadCredential=strongroom.toml:{etc}/copier.toml"),
        format!("LoadCredential=reader-s3.toml:{etc}/reader-s3.toml"),
        format!("LoadCredential=copier-s3.toml:{etc}/copier-s3.toml"),
    ] {
        assert!(paris.lines().any(|found| found == line), "{line} is not in\n{paris}");
    }
    assert!(
        paris.contains("--no-progress replicate paris\n") && paris.contains("StateDirectory=strongroom\n"),
        "{paris}"
    );
    // A disk that is not there is no failure, so its run does not wait for it.
    let disk = &made["strongroom-replicate-disk-a.service"];
    assert!(disk.contains("ReadWritePaths=-/mnt/disk-a/vault") && !disk.contains("RequiresMountsFor="), "{disk}");
    assert!(made["strongroom-replicate-shelf.service"].contains("RequiresMountsFor=/srv/shelf"));
    sound(&dir);
    let cron = run(&["--cron"]).ok().out();
    assert_eq!(cron.matches("30 3 * * * strongroom ").count(), 3, "{cron}");
    assert!(cron.contains("replicate disk-a"), "{cron}");
    // Without a copy there is nothing; and other boxes run what their configuration names.
    fs::write(&config, "[vault]\nurl = \"file:///srv/vault\"\n").unwrap();
    run(&["--cron"]).code(2).says("has no [[copy]]");
    let more = "[[copy]]\nname = \"b\"\nurl = \"file:///srv/b\"\n";
    let own = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), format!("{own}\n{more}")).unwrap();
    assert!(sandbox.writer(&["schedule", "--role", "writer", "--cron"]).ok().out().contains("replicate b"));
}

#[test]
fn a_writers_units_are_sound_and_hand_over_what_it_needs() {
    let sandbox = writer("every = \"6h\"\n");
    let dir = sandbox.path("units");
    let to = dir.display().to_string();
    let told = sandbox.writer(&["schedule", "--role", "writer", "--systemd", &to]).ok().out();
    assert!(told.contains("systemctl enable --now strongroom-backup.timer strongroom-doctor.timer"), "{told}");
    let made = units(&dir);
    let names: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "strongroom-backup.service",
            "strongroom-backup.timer",
            "strongroom-doctor.service",
            "strongroom-doctor.timer",
            "strongroom-failed@.service",
            "strongroom-sysusers.conf"
        ]
    );
    let service = &made["strongroom-backup.service"];
    let etc = sandbox.path("etc").display().to_string();
    for line in [
        "User=strongroom".to_owned(),
        format!("LoadCredential=strongroom.toml:{etc}/strongroom.toml"),
        format!("LoadCredential=writer.key:{etc}/writer.key"),
        format!("ReadWritePaths=-{}", sandbox.path("vault").display()),
        "ProtectSystem=strict".to_owned(),
        "NoNewPrivileges=yes".to_owned(),
        "PrivateTmp=yes".to_owned(),
        "OnFailure=strongroom-failed@%n.service".to_owned(),
        "RuntimeMaxSec=12h".to_owned(),
        "MemoryMax=2G".to_owned(),
    ] {
        assert!(service.lines().any(|has| has == line), "no {line} in:\n{service}");
    }
    assert!(service.contains("--config %d/strongroom.toml --no-progress backup\n"), "{service}");
    let timer = &made["strongroom-backup.timer"];
    for line in ["OnCalendar=*-*-* 00/6:05:00", "Persistent=true", "RandomizedDelaySec=600"] {
        assert!(timer.lines().any(|has| has == line), "no {line} in:\n{timer}");
    }
    sound(&dir);
    // Again it is the same; what somebody changed is not written over.
    sandbox.writer(&["schedule", "--role", "writer", "--to", &to]).ok();
    fs::write(dir.join("strongroom-backup.timer"), "other").unwrap();
    sandbox.writer(&["schedule", "--role", "writer", "--to", &to]).code(2).says("says something else");
    assert_eq!(fs::read_to_string(dir.join("strongroom-backup.timer")).unwrap(), "other");
}

#[test]
fn what_a_unit_could_not_do_is_refused_before() {
    let sandbox = with_shop("");
    let to = sandbox.path("units").display().to_string();
    sandbox
        .writer(&["schedule", "--role", "writer", "--to", &to])
        .code(2)
        .says("`state` is")
        .says("/var/lib/strongroom");
    let text = fs::read_to_string(sandbox.config()).unwrap();
    let text = text.replace("state = \"state\"", "state = \"/var/lib/strongroom/state\"");
    fs::write(sandbox.config(), text.replace("key = \"writer.key\"", "key = \"/elsewhere/writer.key\"")).unwrap();
    sandbox.writer(&["schedule", "--role", "writer", "--to", &to]).code(2).says("does not lie beside");
    fs::write(sandbox.config(), &text).unwrap();
    sandbox.writer(&["schedule", "--role", "writer", "--user", "a b; rm", "--to", &to]).code(2);
    sandbox.writer(&["schedule", "--role", "writer"]).code(2);
    assert!(!sandbox.path("units").exists() || units(&sandbox.path("units")).is_empty());
}

#[test]
fn a_keepers_box_gets_what_its_configurations_allow() {
    let sandbox = with_shop("");
    let etc = sandbox.path("keep");
    fs::create_dir(&etc).unwrap();
    // A keeper signs nothing, so it has no key and no member's configuration.
    fs::write(etc.join("keeper.toml"), format!("[vault]\nurl = {:?}\n", sandbox.url())).unwrap();
    for role in ["pruner", "auditor", "driller"] {
        let config = member(&sandbox, role, role);
        for entry in fs::read_dir(Path::new(&config).parent().unwrap()).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let to = if Path::new(&name).extension().is_some_and(|extension| extension == "toml") {
                format!("{role}.toml")
            } else {
                name
            };
            fs::copy(entry.path(), etc.join(to)).unwrap();
        }
    }
    let config = etc.join("keeper.toml").display().to_string();
    let key = sandbox.path("safe/drill.key").display().to_string();
    let dir = sandbox.path("units");
    let to = dir.display().to_string();
    sandbox.run(&["--config", &config, "schedule", "--role", "keeper", "--identity", &key, "--to", &to]).ok();
    let made = units(&dir);
    for task in ["renew", "prune", "verify", "watch", "status", "drill"] {
        for end in ["service", "timer"] {
            assert!(made.contains_key(&format!("strongroom-{task}.{end}")), "{task} {end}");
        }
    }
    let drill = &made["strongroom-drill.service"];
    assert!(drill.contains(&format!("LoadCredential=identity:{key}\n")));
    // What confines needs these; without them no drill runs there.
    assert!(drill.contains("RestrictNamespaces=user mnt pid net ipc\n") && drill.contains(" capset\n"), "{drill}");
    assert!(made["strongroom-drill.service"].contains("drill -i %d/identity\n"));
    assert!(
        made["strongroom-renew.service"].contains("/keeper.toml\n")
            && made["strongroom-prune.service"].contains("prune --yes\n")
    );
    assert!(made["strongroom-watch.timer"].contains("OnCalendar=*-*-* *:00/10:00"));
    sound(&dir);

    // What is not there is left out, and said.
    for role in ["pruner", "driller"] {
        fs::remove_file(etc.join(format!("{role}.toml"))).unwrap();
    }
    let dir = sandbox.path("fewer");
    let to = dir.display().to_string();
    let run = sandbox.run(&["--config", &config, "schedule", "--role", "keeper", "--to", &to]).ok();
    assert!(
        run.stderr.contains("pruner.toml is not there") && run.stderr.contains("[schedule.partial]"),
        "{}",
        run.stderr
    );
    let made = units(&dir);
    assert!(made.contains_key("strongroom-renew.service") && !made.contains_key("strongroom-prune.service"));
    assert!(!made.contains_key("strongroom-drill.service") && !made["strongroom-watch.service"].contains(" -i "));

    let cron = sandbox.run(&["--config", &config, "schedule", "--role", "keeper", "--cron"]).ok().out();
    assert!(cron.contains("0 4 * * * strongroom ") && cron.contains("keeper.toml --no-progress renew\n"), "{cron}");
    let jobs = cron.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit() || c == '*'));
    assert_eq!(jobs.count(), 4, "{cron}");
}

#[test]
fn files_that_systemd_hands_over_are_read_whatever_their_mode() {
    let sandbox = writer("");
    let text = fs::read_to_string(sandbox.config()).unwrap();
    let state = sandbox.path("state").display().to_string();
    let passed = sandbox.path("credentials");
    fs::create_dir(&passed).unwrap();
    fs::write(passed.join("strongroom.toml"), text.replace("/var/lib/strongroom/state", &state)).unwrap();
    fs::copy(sandbox.path("etc/writer.key"), passed.join("writer.key")).unwrap();
    for name in ["strongroom.toml", "writer.key"] {
        fs::set_permissions(passed.join(name), fs::Permissions::from_mode(0o440)).unwrap();
    }
    let config = passed.join("strongroom.toml").display().to_string();
    sandbox.run(&["--config", &config, "backup", "shop"]).code(2).says("can be read by others");
    let mut command = sandbox.command();
    command.env("CREDENTIALS_DIRECTORY", &passed).args(["--config", &config, "backup", "shop"]);
    sandbox.finish(&mut command).ok();
    // A link leads out of what systemd handed over.
    fs::remove_file(passed.join("writer.key")).unwrap();
    fs::set_permissions(sandbox.path("etc/writer.key"), fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(sandbox.path("etc/writer.key"), passed.join("writer.key")).unwrap();
    let mut command = sandbox.command();
    command.env("CREDENTIALS_DIRECTORY", &passed).args(["--config", &config, "backup", "shop"]);
    sandbox.finish(&mut command).code(2).says("can be read by others");
}

#[test]
fn requests_are_heard_by_a_socket_that_systemd_hands_over_and_journals_run_all_the_time() {
    let sandbox = writer("");
    sandbox.configure("[metrics]\nfile = \"/var/lib/strongroom/metrics/s.prom\"\n");
    sandbox.configure("[[webhook]]\nname = \"ops\"\nurl = \"https://a.example\"\nsecret = \"ops.secret\"\n");
    sandbox.configure("\n[[source]]\nname = \"log\"\nkind = \"mariadb\"\nsocket = \"/run/x.sock\"\njournal = true\n");
    sandbox.configure("\n[request]\nusers = [1000]\nsources = { shop = \"10m\" }\n");
    let dir = sandbox.path("units");
    let told = sandbox.writer(&["schedule", "--role", "writer", "--systemd", &dir.display().to_string()]).ok().out();
    assert!(told.contains("/*.socket /etc/systemd/system/") && told.contains(" strongroom-request.socket"), "{told}");
    let units = units(&dir);
    let backup = &units["strongroom-backup.service"];
    assert!(backup.contains("LoadCredential=ops.secret:"), "{backup}");
    // Its own state can be written anyway, and need not be there yet.
    assert!(!backup.contains("ReadWritePaths=-/var/lib/strongroom"), "{backup}");
    let (socket, service) = (&units["strongroom-request.socket"], &units["strongroom-request.service"]);
    assert!(socket.contains("ListenStream=/run/strongroom/request.sock") && socket.contains("Accept=no"), "{socket}");
    assert!(service.contains("StandardInput=socket") && service.contains("request serve"), "{service}");
    assert!(!units.contains_key("strongroom-request.timer") && !units.contains_key("strongroom-journal.timer"));
    let journal = &units["strongroom-journal.service"];
    assert!(journal.contains("Type=notify") && journal.contains("journal run"), "{journal}");
    sound(&dir);
}

#[test]
fn systemd_reads_the_paths_that_were_meant_whatever_they_hold() {
    let sandbox = writer("");
    sandbox.configure("[metrics]\nfile = '/srv/we ird\\ \"q\" 5%h/s.prom'\n");
    sandbox.configure(
        "\n[request]\nsocket = '/run/strong room\\ %h/r.sock'\nusers = [1000]\nsources = { shop = \"10m\" }\n",
    );
    // A blank, a specifier, a quote, a backslash.
    let etc = sandbox.path("e t\\c %h \"x\"");
    fs::rename(sandbox.path("etc"), &etc).unwrap();
    let bin = sandbox.path("b i%n");
    fs::create_dir(&bin).unwrap();
    fs::copy("/bin/true", bin.join("strong$room")).unwrap();
    let (config, program) = (etc.join("strongroom.toml").display().to_string(), bin.join("strong$room"));
    let dir = sandbox.path("units");
    let to = dir.display().to_string();
    let program = program.display().to_string();
    let args = ["--config", &config, "schedule", "--role", "writer", "--to", &to, "--program", &program];
    sandbox.run(&args).ok();
    let made = units(&dir);
    let service = &made["strongroom-backup.service"];
    // These take the rest of the line as it is, specifiers aside.
    let raw = etc.display().to_string().replace('%', "%%");
    assert!(service.contains(&format!("LoadCredential=strongroom.toml:{raw}/strongroom.toml\n")), "{service}");
    assert!(service.contains(&format!("LoadCredential=writer.key:{raw}/writer.key\n")), "{service}");
    // What systemd made of the others; it starts no program that is not there.
    sound(&dir);
    let read = |unit: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "--recursive-errors=no"]).env("SYSTEMD_LOG_LEVEL", "debug");
        command.args(made.keys().filter(|n| !n.contains('@') && !n.ends_with("conf")).map(|n| dir.join(n)));
        let said = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
        let said = said.split(&format!("-> Unit {unit}:")).nth(1).unwrap_or_else(|| panic!("{said}")).to_owned();
        said.split("-> Unit ").next().unwrap().to_owned()
    };
    let told = read("strongroom-backup.service");
    assert!(told.contains("RequiresMountsFor: /srv/we ird\\ \"q\" 5%h (origin-file)"), "{told}");
    assert!(told.contains("-/srv/we ird\\ \"q\" 5%h"), "{told}");
    assert!(told.contains("b i%n/strong\\$room\" --config /run/credentials/"), "{told}");
    let told = read("strongroom-request.socket");
    assert!(told.contains("ListenStream: /run/strong room\\\\ %h/r.sock"), "{told}");
}

#[test]
fn what_a_unit_can_not_express_is_refused_and_relative_paths_become_whole() {
    let sandbox = writer("");
    let to = sandbox.path("units").display().to_string();
    let args = ["schedule", "--role", "writer", "--to", &to, "--program"];
    let with = |program: &str| sandbox.writer(&[&args[..], &[program]].concat());
    with("/opt/it's/strongroom").code(2).says("ExecStart=").says("quote");
    with("/opt/a\nb/strongroom").code(2).says("control character");
    with("strongroom").code(2).says("a name, and not a path");
    with("missing/../strongroom").code(2).says("without `..`");
    assert!(!Path::new(&to).exists());
    let driller = member(&sandbox, "driller", "driller");
    let mut command = sandbox.command();
    command
        .current_dir(sandbox.path("safe"))
        .args(["--config", &driller, "schedule", "--role", "driller", "--to", &to]);
    sandbox.finish(command.args(["-i", "rel.key", "--program", "bin/../prog/strongroom"])).code(2);
    fs::create_dir(sandbox.path("safe/prog")).unwrap();
    let mut command = sandbox.command();
    command
        .current_dir(sandbox.path("safe"))
        .args(["--config", &driller, "schedule", "--role", "driller", "--to", &to]);
    sandbox.finish(command.args(["-i", "rel.key", "--program", "./prog/strongroom"])).ok();
    let service = &units(Path::new(&to))["strongroom-drill.service"];
    let safe = sandbox.path("safe").display().to_string();
    assert!(service.contains(&format!("LoadCredential=identity:{safe}/rel.key\n")), "{service}");
    assert!(service.contains(&format!("ExecStart={safe}/prog/strongroom --config")), "{service}");
}

#[test]
fn a_crontab_quotes_for_the_shell() {
    let sandbox = writer("");
    let etc = sandbox.path("e t'c $x");
    fs::rename(sandbox.path("etc"), &etc).unwrap();
    let config = etc.join("strongroom.toml").display().to_string();
    let program = sandbox.path("b\\i n/5%\"x");
    fs::create_dir(program.parent().unwrap()).unwrap();
    fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.display().to_string();
    let cron =
        sandbox.run(&["--config", &config, "schedule", "--role", "writer", "--cron", "--program", &program]).ok();
    let cron = cron.out();
    let line = cron.lines().find(|line| line.ends_with(" backup")).unwrap_or_else(|| panic!("{cron}"));
    // Five fields and the user; cron takes the backslash before a % away.
    let command = line.splitn(7, ' ').nth(6).unwrap().replace("\\%", "%");
    let out = Command::new("sh").arg("-c").arg(&command).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        format!("--config\n{config}\n--no-progress\nbackup\n"),
        "{command}"
    );
}

#[test]
fn nothing_to_schedule_is_an_error_and_a_file_in_the_way_is_named() {
    let sandbox = writer("");
    let driller = member(&sandbox, "driller", "driller");
    for how in [&["--cron"][..], &["--to", "units"]] {
        let args = ["--config", &driller, "schedule", "--role", "driller"];
        sandbox.run(&[&args[..], how].concat()).code(2).says("nothing to schedule").says("give -i FILE");
    }
    let file = sandbox.path("passwd");
    fs::write(&file, "root").unwrap();
    let file = file.display().to_string();
    sandbox.writer(&["schedule", "--role", "writer", "--to", &file]).code(2).says(&format!("{file}: File exists"));
}

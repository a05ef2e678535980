//! A vault on a server that lies when it is told to, and lets everybody do everything.

use std::fs;

use assert_cmd::Command;

use crate::{
    fakes3::{FakeS3, Lies},
    sandbox::{Run, Sandbox},
    seaweed::write_private,
};

pub struct FakePlace {
    pub fake: FakeS3,
    pub sandbox: Sandbox,
}

impl FakePlace {
    /// A vault with explicit locks, made while the server was honest.
    pub fn new() -> Self {
        let (fake, sandbox) = (FakeS3::start(Lies::default()), Sandbox::new());
        write_private(&sandbox.path("keys.toml"), "access_key_id = a\nsecret_access_key = not-checked-here-at-all\n");
        let place = Self { fake, sandbox };
        let (out, spec) = (place.sandbox.path("etc"), place.spec());
        let mut init = place.command();
        init.args(["init", "--lock-by", "explicit", "--writer", "w1", "--writer-credentials", &spec, "--out"]).arg(out);
        place.sandbox.finish(&mut init).ok();
        fs::rename(place.sandbox.path("etc/recovery.key"), place.sandbox.identity()).unwrap();
        place
    }

    fn spec(&self) -> String {
        format!("file:{}", self.sandbox.path("keys.toml").display())
    }

    /// The program with the server, the vault and credentials.
    pub fn command(&self) -> Command {
        let mut command = self.sandbox.command();
        command.args(["--endpoint", &self.fake.endpoint(), "--path-style", "--vault", "s3://vault/prod"]);
        command.args(["--credentials", &self.spec()]);
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        self.sandbox.finish(self.command().args(args))
    }

    pub fn backup(&self, bytes: &[u8]) -> Run {
        self.sandbox.writer_with(&["backup", "--name", "orders", "--stdin", "--json"], bytes)
    }

    pub fn restore(&self) -> Run {
        let identity = self.sandbox.identity();
        self.run(&["restore", "latest", "--source", "orders", "--to", "-", "-i", identity.to_str().unwrap()])
    }
}

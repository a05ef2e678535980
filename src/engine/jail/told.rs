//! How what a drill started was confined: as the steps told it that became the programs, not as it was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{BufRead, BufReader},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    super::{EngineError, Result},
    Warden,
    spec::Held,
};

/// Where steps write what holds, and what is known of programs that go through none.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    file: Option<PathBuf>,
    noted: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

impl Log {
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    pub(super) fn note(&self, what: &str, how: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.entry(how.to_owned()).or_default().insert(what.to_owned());
    }
}

impl Warden {
    /// The same for one drill, whose steps tell in `file`. That must not lie where anything that is confined can write.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn logged(&self, file: PathBuf) -> Result<Self> {
        let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&file);
        made.map_err(|e| EngineError::at("can't make a file", &file, e))?;
        Ok(Self { log: Log { file: Some(file), noted: Arc::default() }, ..self.clone() })
    }

    /// Notes how something is confined that goes through no step.
    pub(in super::super) fn note(&self, what: &str, how: &str) {
        self.log.note(what, how);
    }

    /// How what was started was confined, program by program.
    #[must_use]
    pub fn told(&self) -> String {
        let mut all = self.log.noted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let file = self.log.file.as_ref().and_then(|path| File::open(path).ok());
        for line in file.into_iter().flat_map(|file| BufReader::new(file).lines().map_while(std::result::Result::ok)) {
            let (what, how) = match serde_json::from_str::<Held>(&line) {
                Ok(held) => (held.program.clone(), held.to_string()),
                Err(_) => ("a program".to_owned(), "the report of the sandbox is not understood".to_owned()),
            };
            all.entry(how).or_default().insert(what);
        }
        if all.is_empty() {
            return "nothing was started".to_owned();
        }
        let one = |(how, what): (&String, &BTreeSet<String>)| {
            let what: Vec<&str> = what.iter().map(String::as_str).filter(|what| !what.is_empty()).collect();
            if what.is_empty() { how.clone() } else { format!("{}: {how}", what.join(", ")) }
        };
        all.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn what_is_told_is_what_the_steps_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let warden = Warden::default().logged(dir.path().join("log")).unwrap();
        assert_eq!(warden.told(), "nothing was started");
        let held = |program: &str, network: bool| Held {
            program: program.to_owned(),
            landlock: 6,
            seccomp: true,
            no_new_privileges: true,
            network,
            namespaces: ["user", "mnt"].map(str::to_owned).into(),
            user: 7,
        };
        let mut file = fs::OpenOptions::new().append(true).open(dir.path().join("log")).unwrap();
        for held in [held("psql", false), held("postgres", false), held("psql", false), held("sh", true)] {
            writeln!(file, "{}", serde_json::to_string(&held).unwrap()).unwrap();
        }
        warden.note("", "none: --unconfined");
        let how = "landlock abi 6, seccomp, no-new-privileges, namespaces mnt+user";
        let want = format!("postgres, psql: {how}, uid 7; sh: {how}, with the network, uid 7; none: --unconfined");
        assert_eq!(warden.told(), want);
    }
}

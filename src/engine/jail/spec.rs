//! What a confined program may have: one argument of the step that confines it; and what the step tells of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// How much of the network and of sockets a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// It may listen, and connect to nothing: what runs the code that a dump may hold.
    Server,
    /// It may connect to sockets of the file system.
    Client,
    /// It may have the network: what talks to a server that somebody lends.
    Network,
}

/// What must hold of a program before it is started. A filter of system calls and no new privileges always must.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Needs {
    /// The oldest version of Landlock.
    pub(crate) landlock: i32,
    /// Namespaces other than those of strongroom, which are `outside`.
    pub(crate) namespaces: BTreeSet<String>,
}

/// What a confined program may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// The directory where everything happens: to read and to write.
    pub(crate) home: PathBuf,
    /// More of that kind.
    pub(crate) writes: Vec<PathBuf>,
    /// What it may only read, besides the system's programs and libraries.
    pub(crate) reads: Vec<PathBuf>,
    /// Links that its root directory has: what they are called, and where they lead.
    #[serde(default)]
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    /// The user and the group that it runs as, if not as this one.
    pub(crate) user: Option<(u32, u32)>,
    /// Arguments of `unshare` for namespaces that are still to be made.
    pub(crate) apart: Vec<String>,
    /// Whether it gets a root directory that holds nothing else. That takes a mount namespace.
    pub(crate) view: bool,
    /// How much of the network it gets.
    pub(crate) way: Way,
    /// Whether it is a program of an engine, which brings libraries along.
    pub(crate) engine: bool,
    /// The home of whoever runs the drill: never among what belongs to a program.
    pub(crate) person: Option<PathBuf>,
    /// Whether it may start nothing but itself.
    pub(crate) alone: bool,
    /// Strongroom's own namespaces, by their kind.
    pub(crate) outside: BTreeMap<String, String>,
    /// What must hold.
    pub(crate) needs: Needs,
    /// A file that it does not see, where the step writes what holds.
    pub(crate) report: Option<PathBuf>,
}

/// What holds of a program: found by the step that became it, after everything was given up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The program's name.
    pub(crate) program: String,
    /// The version of Landlock that holds it, 0 for none.
    pub(crate) landlock: i32,
    /// Whether a filter of system calls holds it.
    pub(crate) seccomp: bool,
    /// Whether it can gain no privileges.
    pub(crate) no_new_privileges: bool,
    /// Whether it may have the network.
    pub(crate) network: bool,
    /// Namespaces of its own.
    pub(crate) namespaces: BTreeSet<String>,
    /// The number of its user.
    pub(crate) user: u32,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "landlock abi {}", self.landlock)?;
        if self.seccomp {
            f.write_str(", seccomp")?;
        }
        if self.no_new_privileges {
            f.write_str(", no-new-privileges")?;
        }
        if self.namespaces.is_empty() {
            f.write_str(", no namespaces")?;
        } else {
            let kinds: Vec<&str> = self.namespaces.iter().map(String::as_str).collect();
            write!(f, ", namespaces {}", kinds.join("+"))?;
        }
        if self.network {
            f.write_str(", with the network")?;
        }
        write!(f, ", uid {}", self.user)
    }
}

//! Who is at the other end of the socket: the kernel says so, and who may ask stands in the configuration.

use std::{collections::BTreeSet, fs, os::fd::AsFd};

use serde::Deserialize;

/// Where names of users and groups are looked up. Those of a directory service are named by their numbers.
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user or a group, by name or by number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a user or a group is a name, or a number that is not negative")]
pub enum Who {
    /// Its number.
    Number(u32),
    /// Its name.
    Name(String),
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The group that it runs with.
    pub gid: u32,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If it can't tell.
    pub fn of(socket: impl AsFd) -> std::io::Result<Self> {
        let found = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Self { uid: found.uid.as_raw(), gid: found.gid.as_raw() })
    }

    /// For people.
    #[must_use]
    pub fn told(&self) -> String {
        let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
        match user_of(&passwd, self.uid) {
            Some(name) => format!("{name} (uid {})", self.uid),
            None => format!("uid {}", self.uid),
        }
    }
}

/// Who may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
    /// Members of these groups, too, whatever group they run with.
    groups: BTreeSet<String>,
}

impl Allowed {
    /// Looks names up.
    ///
    /// # Errors
    /// If one is not known here.
    pub fn find(users: &[Who], groups: &[Who]) -> Result<Self, String> {
        let (passwd, group) =
            (fs::read_to_string(PASSWD).unwrap_or_default(), fs::read_to_string(GROUP).unwrap_or_default());
        Self::find_in(users, groups, (&passwd, &group))
    }

    fn find_in(users: &[Who], groups: &[Who], (passwd, group): (&str, &str)) -> Result<Self, String> {
        let mut allowed = Self::default();
        for who in users {
            allowed.uids.insert(number(who, passwd, "user")?);
        }
        for who in groups {
            let gid = number(who, group, "group")?;
            allowed.gids.insert(gid);
            allowed.groups.extend(
                lines(group).filter(|fields| id(fields) == Some(gid)).filter_map(|f| Some((*f.first()?).to_owned())),
            );
        }
        Ok(allowed)
    }

    /// Whether `peer` may ask.
    #[must_use]
    pub fn may(&self, peer: &Peer) -> bool {
        self.may_by(peer, || {
            (fs::read_to_string(PASSWD).unwrap_or_default(), fs::read_to_string(GROUP).unwrap_or_default())
        })
    }

    fn may_by(&self, peer: &Peer, files: impl FnOnce() -> (String, String)) -> bool {
        if self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid) {
            return true;
        }
        if self.groups.is_empty() {
            return false;
        }
        let (passwd, group) = files();
        let Some(name) = user_of(&passwd, peer.uid) else { return false };
        lines(&group).any(|fields| {
            let within = fields.first().is_some_and(|group| self.groups.contains(*group));
            within && fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
        })
    }
}

fn lines(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split(':').collect())
}

fn id(fields: &[&str]) -> Option<u32> {
    fields.get(2)?.parse().ok()
}

fn user_of(passwd: &str, uid: u32) -> Option<String> {
    lines(passwd).find(|fields| id(fields) == Some(uid)).and_then(|fields| Some((*fields.first()?).to_owned()))
}

fn number(who: &Who, file: &str, what: &str) -> Result<u32, String> {
    match who {
        Who::Number(number) => Ok(*number),
        Who::Name(name) => lines(file)
            .find(|fields| fields.first() == Some(&name.as_str()))
            .and_then(|fields| id(&fields))
            .ok_or_else(|| format!("there is no {what} {name:?} in this host's files; one of a directory service is named by its number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_members_of_groups_may_ask_and_nobody_else() {
        let passwd = "root:x:0:0::/:/\ndeploy:x:1001:1001::/:/\nci:x:1002:1002::/:/\neve:x:1003:1003::/:/\n";
        let group = "root:x:0:\nagents:x:2000:ci,other\neve:x:1003:\n";
        let named = |name: &str| Who::Name(name.to_owned());
        let allowed =
            Allowed::find_in(&[named("deploy"), Who::Number(7)], &[named("agents")], (passwd, group)).unwrap();
        let may = |uid, gid| allowed.may_by(&Peer { uid, gid }, || (passwd.to_owned(), group.to_owned()));
        assert!(may(1001, 5) && may(7, 5) && may(1002, 1002) && may(1003, 2000));
        assert!(!may(1003, 1003) && !may(0, 0) && !may(9999, 9999));
        assert!(Allowed::find_in(&[named("nobody-here")], &[], (passwd, group)).is_err());
        assert!(!Allowed::default().may_by(&Peer { uid: 0, gid: 0 }, || (passwd.to_owned(), group.to_owned())));
    }
}

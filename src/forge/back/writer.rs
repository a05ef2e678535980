//! What makes things in one repository of a forge, each once: where it is not known whether something was made, it is looked for.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{
    super::{
        Provider, RepositoryRows, SourceError,
        client::{Client, Got},
        json::broken,
        lines::Lines,
        paging::{Pages, Turn},
        send::Sent,
    },
    Back, BackError, BackResult, RepositoryBack,
    words::text,
};

/// The first pause after trouble; the next are twice as long.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// What a label is painted with whose colour nobody knows.
pub(super) const GREY: &str = "cccccc";

/// The longest description.
const ABOUT: usize = 2000;
/// What is said of a repository that is less open than it was.
pub(super) const WAS_OPEN: &str = "it was public, and is made private: open it when it is looked at";

/// What a forge said that does not take something.
pub(super) type Refusal = (u16, String);

/// See the module.
pub(super) struct Writer<'a> {
    pub(super) client: &'a mut Client,
    pub(super) provider: Provider,
    pub(super) api: String,
    pub(super) owner: String,
    /// Where the restored streams are.
    pub(super) from: &'a Path,
    /// Its name in the snapshot.
    pub(super) name: &'a str,
    pub(super) report: RepositoryBack,
    /// Labels by name, as issues are given them.
    labels: BTreeMap<String, Value>,
    /// Milestones by title, as issues are given them.
    milestones: BTreeMap<String, Value>,
    /// Whether a branch or tag is there.
    refs: HashMap<String, bool>,
    /// The repository, where it was there before.
    pub(super) found: Option<Value>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        (back, client): (&Back, &'a mut Client),
        (from, one): (&'a Path, &'a RepositoryRows),
        report: RepositoryBack,
    ) -> Self {
        let provider = back.spoken();
        let api = provider.api(&back.url);
        let (owner, name) = (back.owner.clone(), one.name.as_str());
        let (labels, milestones, refs) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        Self { client, provider, api, owner, from, name, report, labels, milestones, refs, found: None }
    }

    /// A place below the repository.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{}{path}", self.api, self.provider.one(&self.report.into))
    }

    /// What the mark of a number says.
    pub(super) fn called(&self, number: i64) -> String {
        format!("{}#{number}", self.name)
    }

    /// The same where GitHub takes files.
    pub(super) fn uploads(&self, path: &str) -> String {
        let place = match &self.client.uploads {
            Some(place) => place.clone(),
            None => self.api.replace("/api/v3", "/api/uploads"),
        };
        format!("{place}/repos/{}{path}", self.provider.in_path(&self.report.into))
    }

    /// Where a stream of the snapshot is.
    pub(super) fn stream(&self, kind: &str) -> PathBuf {
        self.from.join(self.name).join(format!("{kind}.jsonl"))
    }

    pub(super) fn lines(&self, kind: &str) -> BackResult<Lines> {
        let path = self.stream(kind);
        Ok(Lines::open(&path).map_err(|e| SourceError::at("can't be read", &path, e))?)
    }

    /// The one value at `url`, if it is there.
    pub(super) fn find(&mut self, url: &str) -> BackResult<Option<Value>> {
        let (got, line) = self.client.one(url, None)?;
        match got {
            Got::Read(_) | Got::Same => Ok(Some(serde_json::from_slice(&line).unwrap_or_default())),
            Got::Refused(404 | 410, _) => Ok(None),
            got => Err(unread(got, url)),
        }
    }

    /// Gives all entries of the list at `path` to `each`.
    pub(super) fn each(&mut self, path: &str, each: &mut dyn FnMut(Value)) -> BackResult<()> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let (mut url, mut pages) = (self.url(&format!("{path}{sign}{}", self.provider.page())), Pages::default());
        loop {
            let mut page = Vec::new();
            let cell = std::cell::RefCell::new(&mut page);
            let got = self.client.list(
                &url,
                None,
                &mut |line| {
                    let value = serde_json::from_slice(line).map_err(|_| broken("has an entry that is not JSON"))?;
                    cell.borrow_mut().push(value);
                    Ok(())
                },
                &mut || {
                    cell.borrow_mut().clear();
                    Ok(())
                },
            )?;
            let head = match got {
                Got::Read(head) => head,
                // Such as of a kind that is switched off.
                Got::Same | Got::Refused(404, _) => return Ok(()),
                got => return Err(unread(got, &url)),
            };
            let named =
                page.first().map(|value: &Value| value.get("id").or(value.get("name")).unwrap_or(value).to_string());
            let turn = pages.after(&url, &head, (page.len(), named));
            for value in page {
                each(value);
            }
            match turn {
                Turn::Next(next) => url = next,
                Turn::End => return Ok(()),
                Turn::Cut(why) => {
                    return Err(SourceError::new(format!("is a list that does not end: {why}"), url).into());
                }
            }
        }
    }

    /// Has something made, once. Where nobody knows whether it was, `look` looks for it.
    ///
    /// # Errors
    /// If the forge is down, or somebody asks to stop.
    pub(super) fn once(
        &mut self,
        send: &mut dyn FnMut(&mut Client) -> super::super::Result<Sent>,
        look: &mut dyn FnMut(&mut Self) -> BackResult<Option<Value>>,
    ) -> BackResult<Result<Value, Refusal>> {
        let (mut pause, mut trouble) = (PAUSE, Duration::ZERO);
        loop {
            match send(self.client)? {
                Sent::Done(value) => return Ok(Ok(value)),
                Sent::Refused(status @ (401 | 403), said) => {
                    let what = format!("the forge refuses to make it ({status} {said}); the token needs to write");
                    return Err(SourceError::new(what, self.report.into.clone()).into());
                }
                Sent::Refused(status, said) => return Ok(Err((status, said))),
                Sent::Unsure(why) => {
                    trouble += pause;
                    if trouble > self.client.patience() {
                        return Err(SourceError::new(why, self.report.into.clone()).into());
                    }
                    let url = self.api.clone();
                    self.client.pause(pause, &url)?;
                    pause = (pause * 2).min(LONGEST);
                    if let Some(found) = look(self)? {
                        return Ok(Ok(found));
                    }
                }
            }
        }
    }

    /// Makes something at `path`, once: where nobody knows whether it was made, the list `listed` is looked through.
    pub(super) fn create(
        &mut self,
        (path, value): (&str, &Value),
        listed: &str,
        is_it: &dyn Fn(&Value) -> bool,
    ) -> BackResult<Result<Value, Refusal>> {
        let url = self.url(path);
        self.once(&mut |client| client.send("POST", &url, value), &mut |writer| {
            let mut found = None;
            writer.each(listed, &mut |value| {
                if is_it(&value) {
                    found = Some(value);
                }
            })?;
            Ok(found)
        })
    }

    /// Sends what may be sent twice.
    pub(super) fn change(&mut self, method: &str, path: &str, value: &Value) -> BackResult<Result<Value, Refusal>> {
        let url = self.url(path);
        self.once(&mut |client| client.send(method, &url, value), &mut |_| Ok(None))
    }

    /// Makes the repository if it is not there. Tells whether it was made now.
    pub(super) fn repository(&mut self, listing: &str, described: &Value) -> BackResult<bool> {
        let url = self.url("");
        if let Some(found) = self.find(&url)? {
            self.found = Some(found);
            self.report.there("repository");
            return Ok(false);
        }
        let name = self.report.into.rsplit('/').next().unwrap_or_default().to_owned();
        // Never more open than it may have been.
        let mut value = json!({"name": name, "private": true, "description": text(described, "description")});
        if self.provider == Provider::Gitea && !text(described, "default_branch").is_empty() {
            put(&mut value, "default_branch", json!(text(described, "default_branch")));
        }
        if is_open(described) {
            self.report.differs("repository", self.name, WAS_OPEN);
        }
        let sent = self.once(&mut |client| client.send("POST", listing, &value), &mut |writer| {
            let url = writer.url("");
            writer.find(&url)
        })?;
        match sent {
            Ok(_) => {
                self.report.made("repository");
                Ok(true)
            }
            Err((status, said)) => {
                let what = format!("the forge does not make this repository ({status} {said})");
                Err(SourceError::new(what, self.report.into.clone()).into())
            }
        }
    }

    /// Gives a repository that was there, such as one that its code made, what it is made with else: its description, and its
    /// default branch if that is there.
    pub(super) fn settings(&mut self, described: &Value) -> BackResult<()> {
        let Some(found) = self.found.take() else { return Ok(()) };
        if is_open(described) && !is_open(&found) {
            self.report.differs("repository", self.name, WAS_OPEN);
        }
        let about: String = text(described, "description").chars().take(ABOUT).collect();
        let mut value = json!({});
        if !about.is_empty() && text(&found, "description").is_empty() {
            put(&mut value, "description", json!(about));
        }
        let branch = text(described, "default_branch");
        if !branch.is_empty() && text(&found, "default_branch") != branch && self.has_ref("branch", branch)? {
            put(&mut value, "default_branch", json!(branch));
        }
        if value == json!({}) {
            return Ok(());
        }
        let method = if self.provider == Provider::Gitlab { "PUT" } else { "PATCH" };
        match self.change(method, "", &value)? {
            Ok(_) => self.report.made("settings"),
            Err(why) => {
                let why = format!("its description or default branch: {}", refused(&why));
                self.report.lacks("repository", self.name, &why);
            }
        }
        Ok(())
    }

    /// Makes the labels of the repository.
    pub(super) fn labels(&mut self) -> BackResult<()> {
        let by_id = self.provider == Provider::Gitea;
        let mut there = BTreeMap::new();
        self.each("/labels", &mut |value| {
            let handle = if by_id { value.get("id").cloned().unwrap_or_default() } else { json!(text(&value, "name")) };
            there.insert(text(&value, "name").to_owned(), handle);
        })?;
        self.labels = there;
        let mut lines = self.lines("labels")?;
        while let Some((_, label)) = lines.next().map_err(|e| self.unreadable("labels", e))? {
            if self.labels.contains_key(text(&label, "name")) {
                self.report.there("labels");
            } else {
                self.label(&label)?;
            }
        }
        Ok(())
    }

    pub(super) fn unreadable(&self, kind: &str, error: std::io::Error) -> SourceError {
        SourceError::at("can't be read", &self.stream(kind), error)
    }

    /// What an issue is given a label by, which is made if it is not there.
    pub(super) fn label(&mut self, label: &Value) -> BackResult<Option<Value>> {
        let name = text(label, "name").to_owned();
        if let Some(known) = self.labels.get(&name) {
            return Ok(Some(known.clone()));
        }
        let colour = text(label, "color").trim_start_matches('#');
        let colour = if colour.is_empty() { GREY } else { colour };
        let mut value = json!({"name": name, "color": colour, "description": text(label, "description")});
        if let Some(alone) = label.get("exclusive").filter(|_| self.provider == Provider::Gitea) {
            put(&mut value, "exclusive", alone.clone());
        }
        let sent = self.create(("/labels", &value), "/labels", &|value| text(value, "name") == name)?;
        match sent {
            Ok(made) => {
                self.report.made("labels");
                let by_id = self.provider == Provider::Gitea;
                let handle = if by_id { made.get("id").cloned().unwrap_or_default() } else { json!(name) };
                self.labels.insert(name, handle.clone());
                Ok(Some(handle))
            }
            Err(why) => {
                self.report.lacks("labels", &name, &refused(&why));
                Ok(None)
            }
        }
    }

    /// Makes the milestones.
    pub(super) fn milestones(&mut self) -> BackResult<()> {
        let field = if self.provider == Provider::Gitea { "id" } else { "number" };
        let mut there = BTreeMap::new();
        self.each("/milestones?state=all", &mut |value| {
            there.insert(text(&value, "title").to_owned(), value.get(field).cloned().unwrap_or_default());
        })?;
        self.milestones = there;
        let mut lines = self.lines("milestones")?;
        while let Some((_, one)) = lines.next().map_err(|e| self.unreadable("milestones", e))? {
            let title = text(&one, "title").to_owned();
            if self.milestones.contains_key(&title) {
                self.report.there("milestones");
                continue;
            }
            let mut value =
                json!({"title": title, "state": text(&one, "state"), "description": text(&one, "description")});
            if let Some(due) = one.get("due_on").filter(|due| due.is_string()) {
                put(&mut value, "due_on", due.clone());
            }
            let is_it = |value: &Value| text(value, "title") == title;
            let sent = self.create(("/milestones", &value), "/milestones?state=all", &is_it)?;
            match sent {
                Ok(made) => {
                    self.report.made("milestones");
                    self.milestones.insert(title, made.get(field).cloned().unwrap_or_default());
                }
                Err(why) => self.report.lacks("milestones", &title, &refused(&why)),
            }
        }
        Ok(())
    }

    /// What an issue is given its milestone by.
    pub(super) fn milestone(&self, entry: &Value) -> Option<Value> {
        self.milestones.get(text(entry.get("milestone")?, "title")).cloned()
    }

    /// Whether a branch, or a tag, is there.
    pub(super) fn has_ref(&mut self, kind: &str, name: &str) -> BackResult<bool> {
        let path = match (kind, self.provider) {
            ("tag", Provider::Gitlab) => format!("/repository/tags/{}", super::link::segment(name)),
            (_, Provider::Gitlab) => format!("/repository/branches/{}", super::link::segment(name)),
            ("tag", Provider::Gitea) => format!("/tags/{}", super::link::segment(name)),
            ("tag", _) => {
                format!("/git/ref/tags/{}", name.split('/').map(super::link::segment).collect::<Vec<_>>().join("/"))
            }
            _ => format!("/branches/{}", super::link::segment(name)),
        };
        if let Some(known) = self.refs.get(&path) {
            return Ok(*known);
        }
        let url = self.url(&path);
        // GitHub says 409 of a repository without any commit.
        let there = match self.client.one(&url, None)?.0 {
            Got::Read(_) | Got::Same => true,
            Got::Refused(404 | 409 | 410 | 422, _) => false,
            got => return Err(unread(got, &url)),
        };
        self.refs.insert(path, there);
        Ok(there)
    }

    /// Notes that a branch was made.
    pub(super) fn knows_branch(&mut self, name: &str) {
        self.refs.insert(format!("/repository/branches/{}", super::link::segment(name)), true);
    }

    /// The error of something that nobody of ours made.
    pub(super) fn occupied(&self, what: &str) -> BackError {
        BackError::Occupied {
            what: format!("{} has {what}, which no restore of {} made", self.report.into, self.name),
            next: format!(
                "name another owner than {} behind the forge's URL, or delete what is there; numbers would not be those of the \
                 snapshot",
                self.owner
            ),
        }
    }
}

/// Whether a forge says that others than its members read a repository.
pub(super) fn is_open(described: &Value) -> bool {
    described.get("private").and_then(Value::as_bool) == Some(false)
        || matches!(text(described, "visibility"), "public" | "internal")
}

pub(super) fn unread(got: Got, url: &str) -> BackError {
    let why = match got {
        Got::Refused(status, said) => format!("is refused ({status} {said})"),
        Got::Failed(why) => format!("can't be read: {why}"),
        Got::Read(_) | Got::Same => "is not there".to_owned(),
    };
    SourceError::new(why, url).into()
}

/// A refusal, for the report.
pub(super) fn refused((status, said): &Refusal) -> String {
    format!("the forge does not take it: {status} {said}").trim_end().to_owned()
}

/// Sets a field.
pub(super) fn put(value: &mut Value, field: &str, with: Value) {
    value.as_object_mut().unwrap_or(&mut Map::new()).insert(field.to_owned(), with);
}

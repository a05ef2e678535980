//! Back into GitLab, whose API differs from those of the others: issues and merge requests are counted apart, an owner may
//! set the numbers of issues and the times of what is said, and lines of a text may be commands.

mod files;
mod issues;
mod merges;
mod project;
mod releases;
mod said;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

pub(super) use self::project::{Namespace, namespace};
use super::{
    super::{Manifest, Provider, RepositoryRows},
    BackResult,
    words::text,
    writer::{GREY, Writer, put, refused},
};

/// The longest title.
const TITLE: usize = 255;

/// What makes things in one project.
struct Lab<'w, 'a> {
    w: &'w mut Writer<'a>,
    /// Whether the snapshot is one of GitLab.
    alike: bool,
    /// What whole links to the project's files began with.
    homes: Vec<String>,
    labels: BTreeSet<String>,
    /// Milestones by title.
    milestones: BTreeMap<String, Value>,
    /// Files that were sent, by where they lie in the snapshot.
    sent: HashMap<String, String>,
}

/// Makes a project, and all that the snapshot holds of it.
pub(super) fn make(
    writer: &mut Writer<'_>,
    (namespace, admin): (Namespace, bool),
    (manifest, one): (&Manifest, &RepositoryRows),
    described: &Value,
) -> BackResult<()> {
    let alike = manifest.provider == Provider::Gitlab.kind().as_str();
    let homes = vec![format!("{}/{}", manifest.url, one.name), format!("{}/-/project/{}", manifest.url, one.id)];
    let fresh = project::make(writer, namespace, described, admin)?;
    let (labels, milestones, sent) = (BTreeSet::new(), BTreeMap::new(), HashMap::new());
    let mut lab = Lab { w: writer, alike, homes, labels, milestones, sent };
    lab.labels()?;
    lab.milestones()?;
    issues::make(&mut lab, fresh)?;
    if alike {
        merges::make(&mut lab, fresh)?;
    } else {
        merges::of_pulls(&mut lab, fresh)?;
    }
    releases::make(&mut lab, fresh)
}

/// Makes a project alone, if it is not there.
pub(super) fn project(writer: &mut Writer<'_>, namespace: Namespace) -> BackResult<()> {
    // Whoever may push may push: no numbers are set, which only an owner could.
    project::make(writer, namespace, &json!({}), true)?;
    Ok(())
}

impl Lab<'_, '_> {
    fn labels(&mut self) -> BackResult<()> {
        let mut there = BTreeSet::new();
        self.w.each("/labels", &mut |value| {
            there.insert(text(&value, "name").to_owned());
        })?;
        self.labels = there;
        let mut lines = self.w.lines("labels")?;
        while let Some((_, label)) = lines.next().map_err(|e| self.w.unreadable("labels", e))? {
            if self.labels.contains(text(&label, "name")) {
                self.w.report.there("labels");
            } else {
                self.label(&label)?;
            }
        }
        Ok(())
    }

    /// Makes a label that is not there.
    fn label(&mut self, label: &Value) -> BackResult<()> {
        let name = text(label, "name").to_owned();
        if name.is_empty() || self.labels.contains(&name) {
            return Ok(());
        }
        let colour = text(label, "color").trim_start_matches('#');
        let colour = if colour.is_empty() { GREY } else { colour };
        let mut value = json!({"name": name, "color": format!("#{colour}"), "description": text(label, "description")});
        if let Some(priority) = label.get("priority").filter(|priority| priority.is_i64()) {
            put(&mut value, "priority", priority.clone());
        }
        match self.w.create(("/labels", &value), "/labels", &|value| text(value, "name") == name)? {
            Ok(_) => {
                self.w.report.made("labels");
                self.labels.insert(name);
            }
            Err(why) => self.w.report.lacks("labels", &name, &refused(&why)),
        }
        Ok(())
    }

    fn milestones(&mut self) -> BackResult<()> {
        let (mut there, mut open) = (BTreeMap::new(), BTreeSet::new());
        self.w.each("/milestones?state=all", &mut |value| {
            if text(&value, "state") == "active" {
                open.insert(text(&value, "title").to_owned());
            }
            there.insert(text(&value, "title").to_owned(), value.get("id").cloned().unwrap_or_default());
        })?;
        self.milestones = there;
        let mut lines = self.w.lines("milestones")?;
        while let Some((_, one)) = lines.next().map_err(|e| self.w.unreadable("milestones", e))? {
            let title = text(&one, "title");
            let known = self.milestones.get(title).cloned();
            if let Some(id) = known {
                self.w.report.there("milestones");
                // A restore may have been stopped before it closed it.
                if open.contains(title) && text(&one, "state") == "closed" {
                    self.end(title, &id)?;
                }
            }
            self.milestone(&one)?;
        }
        Ok(())
    }

    /// Closes a milestone.
    fn end(&mut self, title: &str, id: &Value) -> BackResult<()> {
        let path = format!("/milestones/{}", id.as_i64().unwrap_or_default());
        if let Err(why) = self.w.change("PUT", &path, &json!({"state_event": "close"}))? {
            self.w.report.lacks("milestones", title, &format!("its state: {}", refused(&why)));
        }
        Ok(())
    }

    /// What an issue is given a milestone by, which is made if it is not there.
    fn milestone(&mut self, one: &Value) -> BackResult<Option<Value>> {
        let title = text(one, "title").to_owned();
        if title.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.milestones.get(&title) {
            return Ok(Some(known.clone()));
        }
        let mut value = json!({"title": title, "description": text(one, "description")});
        for (field, from) in [("due_date", "due_date"), ("due_date", "due_on"), ("start_date", "start_date")] {
            // A day; others tell of a time.
            if let Some(day) = text(one, from).get(..10) {
                put(&mut value, field, json!(day));
            }
        }
        let is_it = |value: &Value| text(value, "title") == title;
        match self.w.create(("/milestones", &value), "/milestones?state=all", &is_it)? {
            Ok(made) => {
                self.w.report.made("milestones");
                let id = made.get("id").cloned().unwrap_or_default();
                if text(one, "state") == "closed" {
                    self.end(&title, &id)?;
                }
                self.milestones.insert(title, id.clone());
                Ok(Some(id))
            }
            Err(why) => {
                self.w.report.lacks("milestones", &title, &refused(&why));
                Ok(None)
            }
        }
    }

    /// What issues and merge requests have in common: title, labels, milestone.
    fn common(&mut self, (kind, number): (&str, i64), entry: &Value) -> BackResult<Value> {
        let mut labels = Vec::new();
        for label in entry.get("labels").and_then(Value::as_array).into_iter().flatten() {
            self.label(label)?;
            labels.extend(label.as_str().or_else(|| label.get("name")?.as_str()));
        }
        // They are told one after another with a comma between.
        let (plain, other): (Vec<&str>, Vec<&str>) = labels.into_iter().partition(|name| !name.contains(','));
        for name in other {
            self.w.report.differs("labels", name, "GitLab has no label with a comma in its name");
        }
        let whole = super::issues::title(entry);
        let title: String = whole.chars().take(TITLE).collect();
        if title.len() < whole.len() {
            self.w.report.differs(kind, &number.to_string(), "its title is longer than GitLab takes, and was cut");
        }
        let mut value = json!({"title": title, "labels": plain.join(",")});
        if let Some(one) = entry.get("milestone").filter(|one| one.is_object())
            && let Some(id) = self.milestone(one)?
        {
            put(&mut value, "milestone_id", id);
        }
        Ok(value)
    }
}

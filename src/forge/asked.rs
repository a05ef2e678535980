//! Kinds that only queries have: discussions and projects of GitHub. Their entries are in the words of its GraphQL.

use serde_json::{Map, Value, json};

use super::{
    Result,
    client::Got,
    ends::Ends,
    graph::Asked,
    json::broken,
    keys::Keys,
    manifest::Status,
    memory::{Entry, Progress},
    pass::{Ended, Pass},
    provider::{Kind, Query},
};
use crate::model::Time;

/// A page of a list.
struct Page {
    nodes: Vec<Value>,
    after: Option<String>,
    total: Option<u64>,
}

/// Why a list could not be read.
type Bad = (Status, Option<u16>, String);

impl Pass<'_> {
    /// A list of a repository's or an owner's own.
    ///
    /// # Errors
    /// If the forge is down, somebody asks to stop, or the memory fails.
    pub(super) fn asked(
        &mut self,
        (id, name): (i64, &str),
        (kind, query): (&Kind, &Query),
        before: &Progress,
    ) -> Result<(Ended, (Vec<String>, u64))> {
        let none = (Vec::new(), 0);
        let from = before.since.clone().filter(|_| !self.full);
        let mut after = before.next.clone().filter(|_| before.pass == self.number && !before.done);
        let order = match &from {
            Some(_) => json!({"field": "UPDATED_AT", "direction": "DESC"}),
            None => json!({"field": "CREATED_AT", "direction": "ASC"}),
        };
        let (mark, memory, mut hidden, mut ends) = (self.mark(0), self.memory, 0_u64, Ends::default());
        loop {
            let variables = match name.split_once('/') {
                Some((owner, short)) => json!({"owner": owner, "name": short, "after": after, "order": order}),
                None => json!({"login": name, "after": after, "order": order}),
            };
            let page = match self.ask(query, &variables)? {
                Ok(page) => page,
                Err((status, http, said)) => return Ok((Ended::Row(status, http, said), none)),
            };
            let (mut enough, entries) = (false, page.nodes.len());
            memory.begin()?;
            for mut node in page.nodes {
                let Some(fields) = node.as_object_mut() else {
                    hidden += 1;
                    continue;
                };
                let inner = query.inner.map(|(field, of, _)| (of, fields.remove(field).unwrap_or_default()));
                let line = node.to_string().into_bytes();
                let keys = Keys::of(&line)?;
                // What belongs to one changes the number of these, if nothing else.
                let rev = format!("{} {}", keys.rev(), node.pointer("/items/totalCount").unwrap_or(&Value::Null));
                enough |= from.as_deref().is_some_and(|from| keys.rev() < from);
                let entry = Entry { parent: 0, ord: keys.ord(), id: &keys.id(&line), rev: &rev, json: &line };
                memory.keep(id, kind.name, mark, &entry)?;
                // What belongs to one that is as it was when that was read, is as it was, too.
                let number = keys.ord();
                if let Some((of, list)) = inner
                    && memory.child(id, of, number)?.as_deref() != Some(rev.as_str())
                {
                    memory.forget_of(id, of, number)?;
                    if self.all_kept((id, of, number), &list)? {
                        memory.set_child(id, of, number, &rev)?;
                    }
                }
            }
            after = page.after.filter(|_| !enough);
            let progress = Progress { pass: self.number, done: false, next: after.clone(), ..before.clone() };
            memory.set_progress(id, kind.name, &progress)?;
            memory.commit()?;
            if let Some(next) = &after {
                match ends.after(entries, next) {
                    Some(said) => return Ok((Ended::Row(Status::Cut, None, said), none)),
                    None => continue,
                }
            }
            if hidden > 0 {
                let said = format!("{hidden} of them are not shown to this token");
                return Ok((Ended::Row(Status::Refused, None, said), none));
            }
            if from.is_some() {
                return Ok((Ended::Whole, none));
            }
            let met = memory.count(id, kind.name, mark)?.1;
            if page.total.is_some_and(|total| total > met) {
                let said = "fewer came than there are; the next run asks for all of it again";
                return Ok((Ended::Row(Status::Changed, None, said.to_owned()), none));
            }
            return Ok((Ended::Whole, memory.forget_unmet(id, kind.name, mark)?));
        }
    }

    /// The lists that belong to entries of another kind, of those entries that changed, or all where that can't be told and it
    /// is their turn.
    ///
    /// # Errors
    /// If the forge is down, somebody asks to stop, or the memory fails.
    pub(super) fn asked_of(
        &mut self,
        id: i64,
        (kind, query, of): (&Kind, &Query, &str),
        before: &Progress,
    ) -> Result<(Ended, (Vec<String>, u64))> {
        let gone = self.memory.forget_orphans(id, kind.name, of)?;
        let last = before.since.as_deref().and_then(|since| since.parse::<Time>().ok());
        let times = last.zip(self.since.parse().ok());
        let begun = before.pass == self.number;
        if kind.unseen && !begun && times.is_some_and(|times| self.is_due(id, times)) {
            self.memory.forget_children_of(id, kind.name)?;
        }
        // A pass that was stopped goes on with what it had not read.
        let progress = Progress { pass: self.number, done: false, next: None, ..before.clone() };
        self.memory.set_progress(id, kind.name, &progress)?;
        let (mut after, mut bad, mut first) = (0, 0_u64, None);
        loop {
            let stale = self.memory.stale(id, kind.name, of, after)?;
            let Some((last, _)) = stale.last() else { break };
            after = *last;
            for (parent, rev) in stale {
                self.memory.begin()?;
                match self.asked_one((id, of), (kind, query), parent) {
                    Ok(None) => {
                        self.memory.set_child(id, kind.name, parent, &rev)?;
                        self.memory.commit()?;
                    }
                    Ok(Some((status, http, said))) => {
                        self.memory.take_back()?;
                        bad += 1;
                        first.get_or_insert((status, http, format!("of number {parent}: {said}")));
                    }
                    Err(error) => {
                        self.memory.take_back()?;
                        return Err(error);
                    }
                }
            }
        }
        let ended = match first {
            None => self.parent(id, of)?,
            Some((status, http, said)) => Ended::Row(status, http, format!("{said} ({bad} could not be read)")),
        };
        Ok((ended, (Vec::new(), gone)))
    }

    fn asked_one(&mut self, (id, of): (i64, &str), (kind, query): (&Kind, &Query), parent: i64) -> Result<Option<Bad>> {
        let line = self.memory.line(id, of, parent)?.unwrap_or_default();
        let value: Value = serde_json::from_slice(&line).unwrap_or_default();
        let node = value.get("id").cloned().unwrap_or_default();
        self.memory.forget_of(id, kind.name, parent)?;
        let (mut after, mut ends): (Option<String>, Ends) = (None, Ends::default());
        loop {
            let page = match self.ask(query, &json!({"id": node, "after": after}))? {
                Ok(page) => page,
                Err(bad) => return Ok(Some(bad)),
            };
            for one in &page.nodes {
                let Some((inner, replies)) = self.kept((id, kind.name, parent), query, one)? else { continue };
                if let Some(bad) = self.rest_of((id, kind.name, parent), (query, &inner), replies)? {
                    return Ok(Some(bad));
                }
            }
            let Some(next) = page.after else { return Ok(None) };
            if let Some(said) = ends.after(page.nodes.len(), &next) {
                return Ok(Some((Status::Cut, None, said)));
            }
            after = Some(next);
        }
    }

    /// Keeps an entry that belongs to `place`, and what is within it. Tells its name, and where what is within it goes on.
    fn kept(
        &self,
        (id, kind, parent): (i64, &str, i64),
        query: &Query,
        one: &Value,
    ) -> Result<Option<(Value, Option<String>)>> {
        let Some(fields) = one.as_object() else { return Ok(None) };
        let mut fields: Map<String, Value> = fields.clone();
        let inner = query.inner.map(|(field, ..)| fields.remove(field).unwrap_or_default()).unwrap_or_default();
        self.keep_of((id, kind, parent), fields)?;
        for reply in inner.get("nodes").and_then(Value::as_array).into_iter().flatten() {
            if let Some(fields) = reply.as_object() {
                self.keep_of((id, kind, parent), fields.clone())?;
            }
        }
        Ok(Some((one.get("id").cloned().unwrap_or_default(), page_after(&inner))))
    }

    /// What goes on within an entry.
    fn rest_of(
        &mut self,
        place: (i64, &str, i64),
        (query, node): (&Query, &Value),
        mut after: Option<String>,
    ) -> Result<Option<Bad>> {
        let mut ends = Ends::default();
        while let (Some(from), Some((.., Some(more)))) = (&after, query.inner) {
            let page = match self.ask(more, &json!({"id": node, "after": from}))? {
                Ok(page) => page,
                Err(bad) => return Ok(Some(bad)),
            };
            let entries = page.nodes.len();
            for one in page.nodes {
                if let Value::Object(fields) = one {
                    self.keep_of(place, fields)?;
                }
            }
            if let Some(said) = page.after.as_deref().and_then(|next| ends.after(entries, next)) {
                return Ok(Some((Status::Cut, None, said)));
            }
            after = page.after;
        }
        Ok(None)
    }

    fn keep_of(&self, (id, kind, parent): (i64, &str, i64), mut fields: Map<String, Value>) -> Result<()> {
        // What it belongs to, as its thread is found by.
        fields.insert("of".to_owned(), json!({ "number": parent }));
        let line = Value::Object(fields).to_string().into_bytes();
        let keys = Keys::of(&line)?;
        let entry = Entry { parent, ord: keys.ord(), id: &keys.id(&line), rev: keys.rev(), json: &line };
        self.memory.keep(id, kind, self.mark(0), &entry)
    }

    /// Keeps what came within an entry of a list; tells whether that is all there is.
    fn all_kept(&self, (id, kind, parent): (i64, &str, i64), list: &Value) -> Result<bool> {
        let mut all = page_after(list).is_none();
        for one in list.get("nodes").and_then(Value::as_array).into_iter().flatten() {
            let Some(fields) = one.as_object() else { continue };
            let mut fields: Map<String, Value> = fields.clone();
            let replies = fields.remove("replies").unwrap_or_default();
            all &= page_after(&replies).is_none();
            self.keep_of((id, kind, parent), fields)?;
            for reply in replies.get("nodes").and_then(Value::as_array).into_iter().flatten() {
                if let Some(fields) = reply.as_object() {
                    self.keep_of((id, kind, parent), fields.clone())?;
                }
            }
        }
        Ok(all)
    }

    /// A page of a list, or why it can't be had.
    fn ask(&mut self, query: &Query, variables: &Value) -> Result<std::result::Result<Page, Bad>> {
        let url = self.graph.clone().unwrap_or_default();
        let asked = self.client.ask(&url, query.text, variables)?;
        let (data, lacks) = match asked {
            Asked::Told(data, lacks) => (data, lacks),
            Asked::Refused(status, said) => return Ok(Err((Status::Refused, Some(status), said))),
            Asked::Failed(why) => {
                self.seen(&Got::Failed(why.clone()), &url)?;
                return Ok(Err((Status::Failed, None, why)));
            }
        };
        self.failed = 0;
        let list = data.pointer(query.at).filter(|list| list.is_object());
        let Some(list) = list else {
            return Ok(Err(match lacks.into_iter().next() {
                Some(lack) if lack.is_refusal() => (Status::Refused, None, format!("{} {}", lack.kind, lack.said)),
                Some(lack) => (Status::Failed, None, lack.said),
                None => (Status::Refused, None, "the forge shows nothing of it to this token".to_owned()),
            }));
        };
        let nodes = list.get("nodes").and_then(Value::as_array).cloned();
        let nodes = nodes.ok_or_else(|| broken("has a list without entries"))?;
        let total = list.get("totalCount").and_then(Value::as_u64);
        Ok(Ok(Page { nodes, after: page_after(list), total }))
    }
}

/// Where a list goes on.
fn page_after(list: &Value) -> Option<String> {
    let info = list.get("pageInfo")?;
    let more = info.get("hasNextPage").and_then(Value::as_bool).unwrap_or_default();
    info.get("endCursor").and_then(Value::as_str).filter(|_| more).map(str::to_owned)
}

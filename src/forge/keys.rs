//! What an entry is known by.

use serde::Deserialize;
use serde_json::Value;

use super::{Result, json::broken};
use crate::codec::hash::hash;

/// What tells an entry from its like. What else it has is passed over.
#[derive(Deserialize)]
pub(super) struct Keys {
    id: Option<Value>,
    number: Option<Value>,
    iid: Option<Value>,
    rule_name: Option<Value>,
    branch_name: Option<Value>,
    name: Option<Value>,
    tag_name: Option<Value>,
    updated_at: Option<Value>,
    /// The same in the words of queries.
    #[serde(rename = "updatedAt")]
    updated: Option<Value>,
    #[serde(rename = "databaseId")]
    database_id: Option<Value>,
    #[serde(rename = "fullDatabaseId")]
    full_database_id: Option<Value>,
    /// Whether nobody else could read it.
    #[serde(skip)]
    odd: bool,
}

/// The place of entries that no reader of JSON takes, though each is kept as it came: a number out of all bounds, half a sign.
pub(super) const ODD: i64 = i64::MIN + 1;

impl Keys {
    pub(super) fn of(line: &[u8]) -> Result<Self> {
        // A list of as many values would pass for one of its fields in their order.
        let object = line.first() == Some(&b'{');
        let keys = object.then(|| serde_json::from_slice::<Self>(line).ok()).flatten();
        let Some(mut keys) = keys else {
            // What can't be read at all may be one that is well but for a field.
            let odd = object.then(|| Self::odd(line)).flatten();
            return odd.ok_or_else(|| broken("has an entry that is not a JSON object"));
        };
        let whole = |value: &Option<Value>| value.as_ref().is_none_or(|value| value.is_null() || value.is_i64());
        keys.odd = !whole(&keys.number) || !whole(&keys.iid) || serde_json::from_slice::<Value>(line).is_err();
        Ok(keys)
    }

    /// Those of an object that no reader takes, if it is one: it ends where it should.
    fn odd(line: &[u8]) -> Option<Self> {
        let mut keys: Self = serde_json::from_slice(b"{}").ok()?;
        keys.odd = true;
        line.ends_with(b"}").then_some(keys)
    }

    pub(super) fn id(&self, line: &[u8]) -> String {
        let named = [&self.id, &self.rule_name, &self.branch_name, &self.tag_name, &self.name];
        let told = named.into_iter().flatten().find_map(|value| match value {
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) if !text.is_empty() && text.len() <= 500 => Some(text.clone()),
            _ => None,
        });
        told.unwrap_or_else(|| hash(line).to_string())
    }

    pub(super) fn ord(&self) -> i64 {
        if self.odd {
            return ODD;
        }
        let fields = [&self.number, &self.iid, &self.id, &self.database_id, &self.full_database_id];
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        fields.into_iter().flatten().find_map(number).unwrap_or_default()
    }

    pub(super) fn rev(&self) -> &str {
        self.updated_at.as_ref().or(self.updated.as_ref()).and_then(Value::as_str).unwrap_or_default()
    }
}

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
}

impl Keys {
    pub(super) fn of(line: &[u8]) -> Result<Self> {
        // A list of as many values would pass for one of its fields in their order.
        let object = line.first() == Some(&b'{');
        let keys = object.then(|| serde_json::from_slice(line).ok()).flatten();
        keys.ok_or_else(|| broken("has an entry that is not a JSON object"))
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
        let fields = [&self.number, &self.iid, &self.id, &self.database_id, &self.full_database_id];
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        fields.into_iter().flatten().find_map(number).unwrap_or_default()
    }

    pub(super) fn rev(&self) -> &str {
        self.updated_at.as_ref().or(self.updated.as_ref()).and_then(Value::as_str).unwrap_or_default()
    }
}

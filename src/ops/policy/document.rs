//! A policy document, as JSON has it.

use std::collections::BTreeMap;

use serde::Serialize;

/// The one version of the policy language.
const VERSION: &str = "2012-10-17";

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// What it allows and denies.
    pub statement: Vec<Statement>,
}

impl Document {
    pub(super) fn new(statement: Vec<Statement>) -> Self {
        Self { version: VERSION, statement }
    }
}

/// Whether a statement allows or denies. A denial beats every permission, whoever gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies.
    Deny,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for, in one word.
    pub sid: &'static str,
    /// Whether it allows or denies.
    pub effect: Effect,
    /// Whom it concerns, in a bucket's policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'static str>,
    /// The actions.
    pub action: Vec<&'static str>,
    /// The ARNs.
    pub resource: Vec<String>,
    /// Operator → key → values; all of them must hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>,
}

impl Statement {
    pub(super) fn allow(sid: &'static str, action: &[&'static str], resource: Vec<String>) -> Self {
        Self::new(sid, Effect::Allow, action, resource)
    }

    pub(super) fn deny(sid: &'static str, action: &[&'static str], resource: Vec<String>) -> Self {
        Self::new(sid, Effect::Deny, action, resource)
    }

    fn new(sid: &'static str, effect: Effect, action: &[&'static str], resource: Vec<String>) -> Self {
        Self { sid, effect, principal: None, action: action.to_vec(), resource, condition: BTreeMap::new() }
    }

    /// The same, where this holds, too.
    #[allow(clippy::needless_pass_by_value, reason = "a text or a number, as the caller has it")]
    pub(super) fn when(mut self, operator: &'static str, key: &'static str, value: impl ToString) -> Self {
        let values = self.condition.entry(operator).or_default().entry(key).or_default();
        values.push(value.to_string());
        self
    }

    /// The same, for everybody but these ARNs.
    pub(super) fn unless(mut self, arns: &[String]) -> Self {
        for arn in arns {
            self = self.when("ArnNotLike", "aws:PrincipalArn", arn);
        }
        self
    }

    /// The same, in a bucket's policy.
    pub(super) fn for_everybody(mut self) -> Self {
        self.principal = Some("*");
        self
    }
}

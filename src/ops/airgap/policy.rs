//! `bucket-deny-puts`: a statement in the bucket's policy that lets nobody put but those who are named. All else that is in the
//! policy stays as it is.

use serde_json::{Map, Value, json};

/// How the statement is called.
pub const SID: &str = "StrongroomAirgap";
/// And the one about sessions.
const SESSIONS: &str = "StrongroomAirgapSessions";
/// What a session of a role is, in the words of servers that know names. AWS has the role's own ARN there.
const SESSION: &str = "*:assumed-role/*";

/// A policy with the statement. `allow` are ARNs, as AWS has them, or names of users, as other servers do.
///
/// # Errors
/// If what is there is no policy, in words.
pub fn denied(policy: Option<&str>, bucket: &str, allow: &[String]) -> Result<String, String> {
    let mut document = parsed(policy)?;
    let mut statements = others(&document)?;
    let mut condition = Map::new();
    let (arns, names): (Vec<&String>, Vec<&String>) = allow.iter().partition(|one| one.starts_with("arn:"));
    // All of them must hold for somebody to be denied.
    if !arns.is_empty() {
        condition.insert("ArnNotLike".to_owned(), json!({ "aws:PrincipalArn": arns }));
    }
    if !names.is_empty() {
        condition.insert("StringNotEquals".to_owned(), json!({ "aws:username": names }));
    }
    let deny = |sid: &str, condition: Map<String, Value>| {
        let mut statement = json!({
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:PutObject"],
            "Resource": [format!("arn:aws:s3:::{bucket}/*")],
        });
        if let (Value::Object(fields), false) = (&mut statement, condition.is_empty()) {
            fields.insert("Condition".to_owned(), Value::Object(condition));
        }
        statement
    };
    statements.push(deny(SID, condition));
    if !names.is_empty() {
        // SeaweedFS calls a session by the name that whoever began it chose: a writer's could have the name of an admin.
        let like = Map::from_iter([("aws:PrincipalArn".to_owned(), json!([SESSION]))]);
        statements.push(deny(SESSIONS, Map::from_iter([("StringLike".to_owned(), Value::Object(like))])));
    }
    document.insert("Statement".to_owned(), Value::Array(statements));
    Ok(Value::Object(document).to_string())
}

/// What to put in the place of a policy to lift the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifted {
    /// Nothing: the statement is not there.
    Same,
    /// No policy: nothing else is in it.
    None,
    /// This one.
    Policy(String),
}

/// A policy without the statement.
///
/// # Errors
/// If what is there is no policy, in words.
pub fn lifted(policy: Option<&str>) -> Result<Lifted, String> {
    if !denies(policy)? {
        return Ok(Lifted::Same);
    }
    let mut document = parsed(policy)?;
    let statements = others(&document)?;
    if statements.is_empty() {
        return Ok(Lifted::None);
    }
    document.insert("Statement".to_owned(), Value::Array(statements));
    Ok(Lifted::Policy(Value::Object(document).to_string()))
}

/// Whether the statement is there.
///
/// # Errors
/// If what is there is no policy, in words.
pub fn denies(policy: Option<&str>) -> Result<bool, String> {
    let all = statements(&parsed(policy)?)?;
    Ok(all.iter().any(is_ours))
}

fn is_ours(statement: &Value) -> bool {
    matches!(statement.get("Sid").and_then(Value::as_str), Some(SID | SESSIONS))
}

fn others(document: &Map<String, Value>) -> Result<Vec<Value>, String> {
    Ok(statements(document)?.into_iter().filter(|statement| !is_ours(statement)).collect())
}

fn statements(document: &Map<String, Value>) -> Result<Vec<Value>, String> {
    match document.get("Statement") {
        None => Ok(Vec::new()),
        Some(Value::Array(all)) => Ok(all.clone()),
        // One alone may stand without a list.
        Some(one @ Value::Object(_)) => Ok(vec![one.clone()]),
        Some(_) => Err("the bucket's policy has statements that can't be understood".to_owned()),
    }
}

fn parsed(policy: Option<&str>) -> Result<Map<String, Value>, String> {
    let empty = || Map::from_iter([("Version".to_owned(), json!("2012-10-17"))]);
    match policy.filter(|text| !text.trim().is_empty()) {
        None => Ok(empty()),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(document)) => Ok(document),
            _ => Err("the bucket's policy is not a JSON object".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_a_policy_stays() {
        let there = r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"A","Effect":"Deny","Principal":"*"}]}"#;
        let allow = ["arn:aws:iam::1:role/owner".to_owned(), "owner".to_owned()];
        let with = denied(Some(there), "b", &allow).unwrap();
        let value: Value = serde_json::from_str(&with).unwrap();
        assert_eq!(value["Statement"][0]["Sid"], "A");
        assert_eq!(value["Statement"][1]["Resource"], json!(["arn:aws:s3:::b/*"]));
        let condition = &value["Statement"][1]["Condition"];
        assert_eq!(condition["ArnNotLike"]["aws:PrincipalArn"], json!(["arn:aws:iam::1:role/owner"]));
        assert_eq!(condition["StringNotEquals"]["aws:username"], json!(["owner"]));
        // Nor may a session that took the name of one of them.
        let sessions = &value["Statement"][2];
        assert_eq!(sessions["Condition"]["StringLike"]["aws:PrincipalArn"], json!(["*:assumed-role/*"]));
        assert_eq!(sessions["Effect"], "Deny");
        // Twice is once.
        let twice: Value = serde_json::from_str(&denied(Some(&with), "b", &allow).unwrap()).unwrap();
        assert_eq!(twice, value);
        assert!(denies(Some(&with)).unwrap() && !denies(Some(there)).unwrap());
        let Lifted::Policy(back) = lifted(Some(&with)).unwrap() else { panic!() };
        assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), serde_json::from_str::<Value>(there).unwrap());
    }

    #[test]
    fn of_no_policy_none_is_left_and_what_is_none_is_not_touched() {
        let with = denied(None, "b", &[]).unwrap();
        assert!(!with.contains("Condition") && !with.contains(SESSIONS));
        assert_eq!(lifted(Some(&with)).unwrap(), Lifted::None);
        assert_eq!(lifted(None).unwrap(), Lifted::Same);
        let one = r#"{"Statement":{"Sid":"A"}}"#;
        assert!(denied(Some(one), "b", &[]).unwrap().contains("\"A\""));
        for bad in ["[]", "nothing", r#"{"Statement":7}"#] {
            assert!(denied(Some(bad), "b", &[]).is_err() && lifted(Some(bad)).is_err(), "{bad}");
        }
    }
}

//! `mcp`: what an agent may reach, in its own protocol: `ready`, `status` and `request`, as tools over standard input and output.
//!
//! Each call runs this program with the words of that command, so that an agent has exactly the reach of who started it, and
//! nothing but these three. No tool restores, reads, deletes or changes what is in a vault.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, sync::Semaphore};

use crate::{
    model::{Name, Span},
    ops::request::{REASON, SOURCES},
};

/// So many calls are worked on at once.
const AT_ONCE: usize = 4;
/// The most that an answer may hold, in bytes.
const ANSWER: u64 = 4 << 20;
/// How long one may take: a look, and a backup that is waited for.
const LOOK: Duration = Duration::from_mins(5);
const BACKUP: Duration = Duration::from_hours(4);

const INSTRUCTIONS: &str = "Before anything destructive (a migration, a delete, a force-push), call `ready` for the sources \
    concerned, and go on only if it answers ready: true. If it is not ready since the newest snapshot is too old, call `request` \
    with the reason and wait: true, then `ready` again. These tools can't restore, read or delete backups: a person does that.";

/// The tools.
#[derive(Clone)]
pub struct Tools {
    program: PathBuf,
    arguments: Vec<OsString>,
    socket: Option<PathBuf>,
    places: Arc<Semaphore>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    sources: Vec<Name>,
    max_age: Option<Span>,
    drilled: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    sources: Vec<Name>,
    reason: String,
    #[serde(default)]
    wait: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {}

/// What is run for a call, and how long it may take.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    words: Vec<String>,
    limit: Duration,
}

impl Tools {
    /// Tools that run `program` with these arguments before a command's own, and ask for backups at `socket`.
    #[must_use]
    pub fn new(program: &Path, arguments: Vec<OsString>, socket: Option<PathBuf>) -> Self {
        Self { program: program.to_owned(), arguments, socket, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    fn words(&self, name: &str, arguments: Value) -> Result<Words, String> {
        let wrong = |e: serde_json::Error| format!("{name}: {e}");
        let (words, limit) = match name {
            "ready" => {
                let Ready { sources, max_age, drilled } = serde_json::from_value(arguments).map_err(wrong)?;
                must_be_some(&sources)?;
                let mut words = vec!["ready".to_owned()];
                words.extend(max_age.map(|span| format!("--max-age={span}")));
                words.extend(drilled.map(|span| format!("--drilled={span}")));
                words.extend(sources.iter().map(ToString::to_string));
                (words, LOOK)
            }
            "status" => {
                let Status {} = serde_json::from_value(arguments).map_err(wrong)?;
                (vec!["status".to_owned()], LOOK)
            }
            "request" => {
                let Request { sources, reason, wait } = serde_json::from_value(arguments).map_err(wrong)?;
                must_be_some(&sources)?;
                if reason.chars().count() > REASON || reason.chars().any(char::is_control) {
                    return Err(format!("the reason is one line of at most {REASON} characters"));
                }
                let mut words = vec!["request".to_owned(), format!("--reason={reason}")];
                words.extend(wait.then(|| "--wait".to_owned()));
                words.extend(self.socket.iter().map(|socket| format!("--socket={}", socket.display())));
                words.extend(sources.iter().map(ToString::to_string));
                (words, if wait { BACKUP } else { LOOK })
            }
            _ => return Err(format!("there is no tool {name:?}; there are ready, status and request")),
        };
        Ok(Words { words, limit })
    }

    async fn run(&self, words: Words) -> Result<(i32, Value), String> {
        let _place = self.places.acquire().await.map_err(|_| "the server stops".to_owned())?;
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).args(["--json", "--no-progress", "--quiet"]).args(&words.words);
        // What the protocol comes in by is no child's, and a child ends with its call.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| format!("strongroom can't be started: {e}"))?;
        let mut out = child.stdout.take().ok_or("its answer can't be read")?.take(ANSWER);
        let work = async {
            let mut document = Vec::new();
            let read = out.read_to_end(&mut document).await;
            let status = child.wait().await;
            read.and(status).map(|status| (status.code().unwrap_or(-1), document))
        };
        let ended = tokio::time::timeout(words.limit, work).await;
        let (code, document) = ended.map_err(|_| "it took too long".to_owned())?.map_err(|e| e.to_string())?;
        let document = serde_json::from_slice(&document).map_err(|_| format!("it ended with {code} and no answer"))?;
        Ok((code, document))
    }
}

fn must_be_some(sources: &[Name]) -> Result<(), String> {
    if sources.is_empty() || sources.len() > SOURCES {
        return Err(format!("name between one and {SOURCES} sources"));
    }
    Ok(())
}

/// What a call gives: the verdict first, then what the command says.
fn told(name: &str, code: i32, document: &Value) -> Value {
    let mut answer = json!({ "exit": code, "result": document["result"], "findings": document["findings"] });
    if let Some(fields) = answer.as_object_mut() {
        if name == "ready" {
            fields.insert("ready".to_owned(), json!(code == 0));
        }
        if !document["error"].is_null() {
            fields.insert("error".to_owned(), document["error"].clone());
        }
    }
    answer
}

/// A schema of arguments.
fn schema(properties: &Value, required: &[&str]) -> JsonObject {
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    schema.as_object().cloned().unwrap_or_default()
}

fn tools() -> Vec<Tool> {
    let sources = json!({
        "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": SOURCES,
        "description": "names of configured sources",
    });
    let span = |what: &str| json!({ "type": "string", "description": format!("{what}, such as 30m, 26h or 7d") });
    let looks = || ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false);
    vec![
        Tool::new(
            "ready",
            "Whether each source could be restored now: from a snapshot at most max_age old, whose locks hold, of a source whose \
             drill passed within drilled. Ask it before anything destructive, and go on only if ready is true.",
            schema(
                &json!({ "sources": sources, "max_age": span("how old a snapshot may be"),
                    "drilled": span("how long ago a drill may have passed") }),
                &["sources"],
            ),
        )
        .with_annotations(looks()),
        Tool::new(
            "status",
            "How each source stands: its newest snapshot, locks, drills and alarms.",
            schema(&json!({}), &[]),
        )
        .with_annotations(looks()),
        Tool::new(
            "request",
            "Have configured sources backed up now. A snapshot that is recent enough is answered instead. The reason is kept in \
             the snapshot.",
            schema(
                &json!({ "sources": sources, "reason": { "type": "string", "maxLength": REASON },
                    "wait": { "type": "boolean", "description": "answer when it is done" } }),
                &["sources", "reason"],
            ),
        )
        .with_annotations(ToolAnnotations::new().read_only(false).destructive(false).open_world(false)),
    ]
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("strongroom", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.map_or_else(|| json!({}), Value::Object);
        let words = match self.words(&request.name, arguments) {
            Ok(words) => words,
            Err(why) => return Err(ErrorData::invalid_params(why, None)),
        };
        let result = match self.run(words).await {
            Ok((code, document)) => {
                let answer = told(&request.name, code, &document);
                let text = vec![ContentBlock::text(answer.to_string())];
                // Not ready is an answer; that nobody could look is none.
                let failed =
                    code != 0 && (request.name != "ready" || code != 5) && (request.name != "status" || code != 5);
                let mut result = if failed { CallToolResult::error(text) } else { CallToolResult::success(text) };
                result.structured_content = Some(answer);
                result
            }
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        };
        Ok(result.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_becomes_the_words_of_its_command_and_nothing_else() {
        let tools = Tools::new(Path::new("/x"), Vec::new(), Some("/run/s".into()));
        let words = |name: &str, arguments: Value| tools.words(name, arguments).map(|words| words.words);
        let ready = words("ready", json!({ "sources": ["orders"], "max_age": "1h" })).unwrap();
        assert_eq!(ready, ["ready", "--max-age=1h", "orders"]);
        let request =
            words("request", json!({ "sources": ["orders"], "reason": "--socket=/x", "wait": true })).unwrap();
        assert_eq!(request, ["request", "--reason=--socket=/x", "--wait", "--socket=/run/s", "orders"]);
        for (name, arguments) in [
            ("restore", json!({ "sources": ["orders"] })),
            ("ready", json!({ "sources": ["--config=/x"] })),
            ("ready", json!({ "sources": [] })),
            ("ready", json!({ "sources": ["orders"], "max_age": "--x" })),
            ("ready", json!({ "sources": ["orders"], "config": "/x" })),
            ("status", json!({ "x": 1 })),
            ("request", json!({ "sources": ["orders"] })),
            ("request", json!({ "sources": ["orders"], "reason": "a\nb" })),
        ] {
            assert!(words(name, arguments.clone()).is_err(), "{name} {arguments}");
        }
    }
}

//! `freeze`, `release`, `approvers`, `approve` and `key`, as they are typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{IdentityArgs, said::Said};
use crate::{
    format::approval::Action,
    model::{Name, Span},
};

/// What people approved.
#[derive(Debug, Default, Args)]
pub struct PapersArgs {
    /// The approved request, if the vault requires approval for this: see `approve new`
    #[arg(long, value_name = "REQUEST", requires = "signature")]
    pub approved: Option<PathBuf>,
    /// A signature of that request, made by `ssh-keygen -Y sign -n strongroom-approval`. Repeatable
    #[arg(long, value_name = "FILE", requires = "approved")]
    pub signature: Vec<PathBuf>,
}

/// `freeze`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom --config keeper/strongroom.toml freeze 5a7b8f91 \\
      --reason 'table emptied, incident 7'
  strongroom --config keeper/strongroom.toml freeze latest \\
      --source orders --for 180d
  strongroom --config keeper/strongroom.toml freeze --all --source orders

Needs the keeper's credentials and key ([member]), and opens no backup. Extends the locks of all objects that the \
snapshots and their journals need to the end of the hold, or as far as the vault's policy allows, and reads them \
back. Then `renew` keeps them locked and `prune` does not delete them. Locks cannot be shortened: `release` ends the \
hold, and the locks run out by themselves.")]
pub struct FreezeArgs {
    /// A snapshot id or a prefix of it, or `latest` with --source. Repeatable
    #[arg(value_name = "SNAPSHOT", required_unless_present = "all", conflicts_with = "all")]
    pub snapshot: Vec<String>,
    /// All snapshots, or all of --source, except suspect ones
    #[arg(long)]
    pub all: bool,
    /// The source, for `latest` and --all
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// The writer, for `latest`
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub writer: Option<Name>,
    /// Hold until this time [default: 90 days, or the longest lock that the vault allows]
    #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
    pub until: Option<Said>,
    /// Hold for this long
    #[arg(long = "for", value_name = "SPAN", id = "lasting")]
    pub lasting: Option<Span>,
    /// Reason. Everyone who can read the vault can read it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// An owner's identity, where no keeper's key is at hand.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `release`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom release 8c1f22d0 -i owner.key --vault file:///srv/vault
  strongroom --config keeper/strongroom.toml release 8c1f22d0 \\
      --approved request.json --signature request.json.sig

If the vault's list of approvers has a rule for `release`, approvals are needed, and a keeper or an owner can use \
them; otherwise an owner's identity is needed. Locks that were extended stay as they are, and are not extended any \
more.")]
pub struct ReleaseArgs {
    /// A prefix of the hold's hash, from `snapshots --holds`
    #[arg(value_name = "HOLD")]
    pub hold: String,
    /// What people approved.
    #[command(flatten)]
    pub papers: PapersArgs,
    /// An owner's identity.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `approvers`.
#[derive(Debug, Subcommand)]
pub enum ApproversCommand {
    /// Sign a new list: who the approvers are, and how many of them each action needs. Replaces the list before
    Set(ApproversSetArgs),
    /// Show the approvers and how many of them each action needs
    List,
}

/// `approvers set`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom approvers set --approver alice=alice.pub --approver bob=bob.pub \\
      --approver carol=carol.pub --need prune=2 --need release=2 \\
      -i owner.key --vault file:///srv/vault

FILE has SSH public keys, one per line: ed25519, ecdsa (256 or 384 bits), rsa (2048 bits and more), and their sk- \
variants for security keys, which must be touched. Several keys of one name count as one person. Actions: prune, \
release, open, revoke-undo, remove-recipient, restore-into.")]
pub struct ApproversSetArgs {
    /// Name of an approver, and a file with their SSH public keys. Repeatable
    #[arg(long, value_name = "NAME=FILE", required = true, value_parser = approver)]
    pub approver: Vec<(Name, PathBuf)>,
    /// Number of approvers an action needs. Actions that are not named need none. Repeatable
    #[arg(long, value_name = "ACTION=N", value_parser = need)]
    pub need: Vec<(Action, u32)>,
    /// An owner's identity.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `approve`.
#[derive(Debug, Subcommand)]
pub enum ApproveCommand {
    /// Print a request for approvers to sign
    New(ApproveNewArgs),
    /// Show the state of a request without using it
    Check(ApproveCheckArgs),
}

/// `approve new`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom approve new prune grace=7d --vault file:///srv/vault > request.json
  strongroom approve new release hold=8c1f22d0 \\
      --reason 'incident 7 is over' --vault file:///srv/vault > request.json
  ssh-keygen -Y sign -n strongroom-approval -f ~/.ssh/id_ed25519 request.json

Each approver reads the request and signs the file unchanged. It can be used once, for exactly the action and \
parameters in it, until it expires.")]
pub struct ApproveNewArgs {
    /// The action
    #[arg(value_name = "ACTION")]
    pub action: Action,
    /// Its parameters
    #[arg(value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Reason, for those who sign
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How long the request is valid, at most 7d
    #[arg(long = "for", value_name = "SPAN", default_value = "1d")]
    pub lasting: Span,
}

/// `approve check`.
#[derive(Debug, Args)]
pub struct ApproveCheckArgs {
    /// The request
    #[arg(long, value_name = "REQUEST")]
    pub approved: PathBuf,
    /// A signature of it. Repeatable
    #[arg(long, value_name = "FILE")]
    pub signature: Vec<PathBuf>,
}

/// `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Split an identity into shares, of which a given number restore it
    Split(KeySplitArgs),
    /// Restore an identity from shares
    Combine(KeyCombineArgs),
    /// List the key epochs of the vault
    List,
    /// Check what an identity opens: the root key, and each epoch that has snapshots
    Check(KeyCheckArgs),
    /// Let another recipient open existing and future backups, without rewriting them
    AddRecipient(KeyAddArgs),
    /// Begin a new epoch that only the named recipients open
    Rotate(KeyRotateArgs),
    /// Remove a recipient: begin a new epoch that only the others, who are named, open
    RemoveRecipient(KeyRemoveArgs),
}

/// `key check`.
#[derive(Debug, Args)]
pub struct KeyCheckArgs {
    /// What is tried
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `key add-recipient`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom key add-recipient age1... -i recovery.key --vault file:///srv/vault

Existing backups are not rewritten. The recipient can open backups but not the root key, like a drill recipient: \
recipients of the root key are fixed when the vault is created.")]
pub struct KeyAddArgs {
    /// age1…, a plugin's recipient, or an ssh public key
    #[arg(value_name = "RECIPIENT", required = true)]
    pub recipient: Vec<String>,
    /// An owner's identity
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `key rotate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom key rotate --recipient age1owner... --recipient age1drill... \\
      -i recovery.key --vault file:///srv/vault
  strongroom approve new remove-recipient \\
      recipients='age1drill..., age1owner...' --vault file:///srv/vault

Whoever is not named can't open what is sealed to the new epoch. They can still open what \
was sealed before, which cannot be changed. A writer stays in the epoch of its key: add each writer again under a \
new name (`writer add`), which stores everything once more, and revoke the old one when the new one has run. If the \
vault's list of approvers has a rule for `remove-recipient`, approvals are needed.")]
pub struct KeyRotateArgs {
    /// A recipient of the new epoch. Name yourself, too. Repeatable
    #[arg(long, value_name = "RECIPIENT", required = true)]
    pub recipient: Vec<String>,
    /// What people approved
    #[command(flatten)]
    pub papers: PapersArgs,
    /// An owner's identity
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `key remove-recipient`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom key remove-recipient age1drill... --recipient age1owner... \
      -i recovery.key --vault file:///srv/vault

The vault does not say who its recipients are, so name those who stay, yourself too. It does the same as `key rotate` \
with them, and refuses if RECIPIENT is among them. See `key rotate --help` for what changes and what does not.")]
pub struct KeyRemoveArgs {
    /// Who is removed
    #[arg(value_name = "RECIPIENT", required = true)]
    pub removed: Vec<String>,
    /// Who stays
    #[command(flatten)]
    pub stay: KeyRotateArgs,
}

/// `key split`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom key split -i recovery.key --shares 3 --threshold 2 --out shares

Writes one text file for each share, to be printed and given to different people. It does not need the vault. Fewer \
shares than the threshold reveal nothing. Test the shares with `key combine`, then destroy the identity's file.")]
pub struct KeySplitArgs {
    /// Number of shares
    #[arg(long, value_name = "N")]
    pub shares: u8,
    /// Number of shares needed to restore the identity
    #[arg(long, value_name = "M")]
    pub threshold: u8,
    /// Directory for the shares
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The identity's file, or - for standard input. Must be a native age identity
    #[arg(long, short, value_name = "FILE")]
    pub identity: PathBuf,
}

/// `key combine`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom key combine share-1-of-3.txt share-3-of-3.txt --out recovery.key
  strongroom key combine --out recovery.key

Without files it reads shares from standard input, one after the other, each up to its line `end`.")]
pub struct KeyCombineArgs {
    /// Files of shares
    #[arg(value_name = "FILE")]
    pub share: Vec<PathBuf>,
    /// File for the identity, which must not exist yet
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

fn two<'a>(text: &'a str, like: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once('=').ok_or_else(|| format!("give it as {like}"))
}

fn approver(text: &str) -> Result<(Name, PathBuf), String> {
    let (name, file) = two(text, "NAME=FILE")?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, file.into()))
}

fn need(text: &str) -> Result<(Action, u32), String> {
    let (action, count) = two(text, "ACTION=N")?;
    Ok((action.parse()?, count.parse().map_err(|_| format!("{count:?} is not a number"))?))
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = two(text, "NAME=VALUE")?;
    let fits = |c: char| c.is_ascii_lowercase() || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(format!("{name:?} is not a name of a parameter"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

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
    /// The request that people approved, where the root puts this under several people: see `approve new`
    #[arg(long, value_name = "REQUEST", requires = "signature")]
    pub approved: Option<PathBuf>,
    /// A signature of that request, by `ssh-keygen -Y sign -n strongroom-approval`. May be given more than once
    #[arg(long, value_name = "FILE", requires = "approved")]
    pub signature: Vec<PathBuf>,
}

/// `freeze`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom --config keeper/strongroom.toml freeze 5a7b8f91 --reason 'table emptied, incident 7'
  strongroom --config keeper/strongroom.toml freeze latest --source orders --for 180d
  strongroom --config keeper/strongroom.toml freeze --all --source orders

It is run with the keeper's role and key ([member]), and opens no backup. The locks of all that the snapshots and their \
journals need are extended to the end of the hold, or as far as the vault's policy lets a lock be, and read back. After that \
`renew` keeps them locked and `prune` deletes nothing of them. A lock never gets shorter: `release` ends the hold, and locks \
end when they end.")]
pub struct FreezeArgs {
    /// The beginning of a snapshot's id, or `latest` with --source. May be given more than once
    #[arg(value_name = "SNAPSHOT", required_unless_present = "all", conflicts_with = "all")]
    pub snapshot: Vec<String>,
    /// All snapshots, or all of --source, but for suspect ones
    #[arg(long)]
    pub all: bool,
    /// The source of `latest`, or of --all
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// Whose snapshots `latest` is about
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub writer: Option<Name>,
    /// Until when they are held [default: 90 days, or as long as the vault's policy lets a lock be]
    #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
    pub until: Option<Said>,
    /// For how long they are held
    #[arg(long = "for", value_name = "SPAN", id = "lasting")]
    pub lasting: Option<Span>,
    /// Why. Everybody who reads the vault reads it
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
  strongroom --config keeper/strongroom.toml release 8c1f22d0 --approved request.json --signature request.json.sig

Where the vault's list of approvers has no rule for `release`, an owner's identity is needed; where it has one, the approvals \
are, and a keeper or an owner hands them in. Locks that were extended stay as they are, and are extended no more.")]
pub struct ReleaseArgs {
    /// The beginning of the hold's hash, from `snapshots --holds`
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
    /// Sign who the approvers are and what needs how many of them; it counts in place of every list before
    Set(ApproversSetArgs),
    /// Show who the approvers are and what needs how many of them
    List,
}

/// `approvers set`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom approvers set --approver alice=alice.pub --approver bob=bob.pub --approver carol=carol.pub \\
      --need prune=2 --need release=2 -i owner.key --vault file:///srv/vault

FILE holds SSH public keys, one a line: ed25519, ecdsa (256 or 384 bits), rsa (2048 bits and more), and their sk- kinds of \
security keys, which must be touched. Several keys of one name count as one person. Actions: prune, release, open, revoke-undo, \
remove-recipient, restore-into.")]
pub struct ApproversSetArgs {
    /// An approver's name, and a file with the SSH public keys
    #[arg(long, value_name = "NAME=FILE", required = true, value_parser = approver)]
    pub approver: Vec<(Name, PathBuf)>,
    /// How many people an action needs. What is not named needs none
    #[arg(long, value_name = "ACTION=N", value_parser = need)]
    pub need: Vec<(Action, u32)>,
    /// An owner's identity.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `approve`.
#[derive(Debug, Subcommand)]
pub enum ApproveCommand {
    /// Print a request, for approvers to sign
    New(ApproveNewArgs),
    /// Say how a request stands, without using it
    Check(ApproveCheckArgs),
}

/// `approve new`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom approve new prune grace=7d --vault file:///srv/vault > request.json
  strongroom approve new release hold=8c1f22d0 --reason 'incident 7 is over' --vault file:///srv/vault > request.json
  ssh-keygen -Y sign -n strongroom-approval -f ~/.ssh/id_ed25519 request.json

Each approver reads the request and signs the file as it is. It can be used once, for exactly what it says, until its time is \
over.")]
pub struct ApproveNewArgs {
    /// What is to be done
    #[arg(value_name = "ACTION")]
    pub action: Action,
    /// With what exactly
    #[arg(value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Why, for those who sign
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// For how long it can be used, 7d at most
    #[arg(long = "for", value_name = "SPAN", default_value = "1d")]
    pub lasting: Span,
}

/// `approve check`.
#[derive(Debug, Args)]
pub struct ApproveCheckArgs {
    /// The request
    #[arg(long, value_name = "REQUEST")]
    pub approved: PathBuf,
    /// A signature of it. May be given more than once
    #[arg(long, value_name = "FILE")]
    pub signature: Vec<PathBuf>,
}

/// `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make shares of an identity, of which a number restore it
    Split(KeySplitArgs),
    /// Restore an identity from shares
    Combine(KeyCombineArgs),
    /// Show the epochs of the vault's keys
    List,
    /// Say what an identity opens: the root key, and each epoch that there are snapshots of
    Check(KeyCheckArgs),
    /// Let somebody open the backups that are there and that come, by one small record
    AddRecipient(KeyAddArgs),
    /// Begin a new epoch, which those who are named open and nobody else
    #[command(visible_alias = "remove-recipient")]
    Rotate(KeyRotateArgs),
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

The backups stay as they are. It opens backups and not the root key, as a drill's recipient does: who decides about the vault is \
settled when it is made.")]
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
  strongroom key rotate --recipient age1owner... --recipient age1drill... -i recovery.key --vault file:///srv/vault
  strongroom approve new remove-recipient recipients='age1drill..., age1owner...' --vault file:///srv/vault

So somebody is removed: whoever is not named opens nothing that is sealed to the new epoch. What was sealed before they open as long \
as it exists, since it can't be changed. A writer goes on with the epoch of its key: add each anew under another name (`writer add`), \
which stores everything once more, and revoke the old one when it has run. Where the vault's list of approvers has a rule for \
`remove-recipient`, approvals are needed.")]
pub struct KeyRotateArgs {
    /// Who opens the new epoch; among them whoever runs this. May be given more than once
    #[arg(long, value_name = "RECIPIENT", required = true)]
    pub recipient: Vec<String>,
    /// What people approved
    #[command(flatten)]
    pub papers: PapersArgs,
    /// An owner's identity
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `key split`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom key split -i recovery.key --shares 3 --threshold 2 --out shares

It writes one text file for each share, to be printed and given to different people, and asks no vault. Whoever has fewer than \
the threshold knows nothing. Destroy the identity's file once the shares were tried with `key combine`.")]
pub struct KeySplitArgs {
    /// How many shares
    #[arg(long, value_name = "N")]
    pub shares: u8,
    /// How many of them restore the identity
    #[arg(long, value_name = "M")]
    pub threshold: u8,
    /// Where the shares go
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The identity's file, or - for standard input. It must be of age's own kind
    #[arg(long, short, value_name = "FILE")]
    pub identity: PathBuf,
}

/// `key combine`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom key combine share-1-of-3.txt share-3-of-3.txt --out recovery.key
  strongroom key combine --out recovery.key

Without files it reads the shares from standard input, one after the other, each up to its line `end`.")]
pub struct KeyCombineArgs {
    /// The shares' files
    #[arg(value_name = "FILE")]
    pub share: Vec<PathBuf>,
    /// The identity's file, which must not be there yet
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
    Ok((action.parse()?, count.parse().map_err(|_| format!("{count:?} is no number"))?))
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = two(text, "NAME=VALUE")?;
    let fits = |c: char| c.is_ascii_lowercase() || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(format!("{name:?} is no name of a parameter"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

//! `verify`.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{Context, Done, identities, open};
use crate::{
    cli::{
        args::{DepthArg, VerifyArgs},
        error::CliError,
        failure::Failure,
        files, identity, places,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    model::{Finding, Name, Progress, Severity, Span},
    ops::{
        self,
        report::{self, Form},
        snapshots::Wanted,
        verify::{Checkpoint, Depth, Sample, VerifyRequest},
    },
    store::VaultUrl,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: VerifyArgs) -> Result<Done, CliError> {
    if args.depth == DepthArg::Locks && args.sample.is_some() {
        let hint = "add --depth read or --depth decrypt";
        return Err(CliError::usage("--sample says how much to read, and the depth locks reads no data", hint));
    }
    if matches!(args.sample, Some(Sample::Next(_))) && args.checkpoint.is_none() {
        let hint = "add --checkpoint FILE, or say which part, such as --sample 3/20";
        return Err(CliError::usage("only a checkpoint remembers which part is the next", hint));
    }
    let wanted = args.snapshot.as_deref().map(Wanted::id).transpose()?;
    let reports = reports(&args)?;
    let before = args.checkpoint.as_deref().map(checkpoint).transpose()?.flatten();
    let settings = Settings::new(&context.global, &real_env)?;
    // Also where nothing is opened, identities say which vault is meant.
    let identities = match args.depth {
        DepthArg::Decrypt => Some(identities(&args.identity)?),
        DepthArg::Locks | DepthArg::Read => identity::load(&args.identity.identity, &real_env)?,
    };
    let member = if args.evidence { wiring::member(&settings)? } else { None };
    let vault = open(&settings, identities.as_ref()).await?;
    let depth = match args.depth {
        DepthArg::Locks => Depth::Locks,
        DepthArg::Read => Depth::Read,
        DepthArg::Decrypt => Depth::Decrypt,
    };
    let request = VerifyRequest {
        depth: Some(depth),
        opener: identities.map(|i| i.opener),
        wanted,
        sample: args.sample,
        schedule: schedule(&settings, &args),
        writer: args.writer.clone(),
        typed: typed(&settings, &args),
        journals: journals(&settings, &args),
        checkpoint: before,
        acknowledge: args.acknowledge,
        evidence: args.evidence,
        member,
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (report, mut findings) = ops::verify::verify(&vault, request, &progress, &context.cancel).await?;
    if args.snapshot.is_none() {
        findings.extend(shared(&settings)?);
    }
    let mut unwritten = None;
    if let (Some(path), Some(seen)) = (&args.checkpoint, &report.checkpoint) {
        let text =
            serde_json::to_vec_pretty(seen).map_err(|_| ops::OpsError::Defect("the encoding of the checkpoint"))?;
        unwritten = leave(path, &text);
    }
    let page = report::of_verification(&report, &findings);
    for (path, form) in reports {
        unwritten = unwritten.or(leave(path, page.write(form).as_bytes()));
    }
    let (unstored, others): (Vec<_>, Vec<_>) =
        findings.iter().cloned().partition(|finding| finding.code == ops::evidence::UNSTORED);
    let failure = Failure::of_findings(&others).or_else(|| Failure::of_unstored(&unstored)).or(unwritten);
    context.keep(findings.clone());
    Ok((Output::Verify(Box::new(report), findings), failure))
}

/// Names files of a vault in a directory that have another name: what befalls the one befalls the other.
fn shared(settings: &Settings) -> Result<Option<Finding>, CliError> {
    let VaultUrl::Local(path) = settings.vault()? else { return Ok(None) };
    // Whatever can't be looked at was told before.
    let Ok((count, Some(first))) = places::linked_twice(path) else { return Ok(None) };
    let what = format!(
        "{count} files of this vault have another name elsewhere on this disk (hard links): what is written there is written here, \
         and a tree that has them as well is no copy"
    );
    Ok(Some(Finding::new(Severity::Warning, "store.shared", what).on(first.display())))
}

/// Leaves a result in a file. That it can't is no reason to keep the others back, and no success either.
pub(super) fn leave(path: &Path, bytes: &[u8]) -> Option<Failure> {
    files::replace(path, bytes).err().map(|error| Failure::of(&error))
}

/// The reports that are wanted, checked before any work is done.
fn reports(args: &VerifyArgs) -> Result<Vec<(&Path, Form)>, CliError> {
    args.report.iter().map(|path| Ok((path.as_path(), form(path)?))).collect()
}

/// What kind of report belongs into this file.
///
/// # Errors
/// If its name does not say, or it can't be written.
pub(super) fn form(path: &Path) -> Result<Form, CliError> {
    files::must_be_writable(path)?;
    let known = path.extension().and_then(|extension| extension.to_str()).and_then(Form::of_extension);
    known.ok_or_else(|| {
        let what = format!("the name {} does not say what kind of report it is", path.display());
        CliError::usage(what, "give --report a name that ends in .html, .md, .xml or .json")
    })
}

/// Reads a checkpoint, if there is one yet.
fn checkpoint(path: &Path) -> Result<Option<Checkpoint>, CliError> {
    files::must_be_a_file(path)?;
    let Some(bytes) = files::read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let what = format!("{} is not a checkpoint: {error}", path.display());
        CliError::usage(what, "give --checkpoint a file that `verify` wrote, or one that is not there yet")
    })
}

/// Names that were typed and that no configuration has.
fn typed(settings: &Settings, args: &VerifyArgs) -> Vec<Name> {
    let configured = settings.sources();
    args.expect
        .iter()
        .chain(&args.expect_journal)
        .map(|(name, _)| name.clone())
        .filter(|name| !configured.contains(name))
        .collect()
}

/// How old the newest pieces of journals may be, as options say, else the configuration.
fn journals(settings: &Settings, args: &VerifyArgs) -> BTreeMap<Name, Span> {
    let configured = settings.config.iter().flat_map(|config| &config.sources);
    let configured = configured.filter_map(|source| Some((source.name.clone(), source.journal.as_ref()?.every?)));
    configured.chain(args.expect_journal.iter().cloned()).collect()
}

/// How often sources are expected, as options say, else the configuration.
fn schedule(settings: &Settings, args: &VerifyArgs) -> BTreeMap<Name, Span> {
    let configured = settings.config.iter().flat_map(|config| &config.sources);
    let configured = configured.filter_map(|source| Some((source.name.clone(), source.every?)));
    configured.chain(args.expect.iter().cloned()).collect()
}

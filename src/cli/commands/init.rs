//! `init`.

use super::{Context, Done, access};
use crate::{
    cli::{
        args::{By, InitArgs, Mode},
        error::CliError,
        outdir::{self, Staged},
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    codec::seal::Recipient,
    model::{Finding, LockBy, LockMode, LockPolicy, Progress, Severity},
    ops::{
        self,
        bucket::BucketRequest,
        init::{InitRequest, Prepared},
    },
    store::{Checksum, VaultUrl},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: InitArgs) -> Result<Done, CliError> {
    if context.global.config.is_some() || context.global.vault_id.is_some() {
        let hint = "give --vault and --out; it writes a configuration, and makes an id of its own";
        return Err(CliError::usage("init takes neither --config nor --vault-id", hint));
    }
    let settings = Settings::without_config(&context.global, &real_env)?;
    let out = std::path::absolute(&args.out).map_err(|source| CliError::Io {
        what: "can't use",
        path: args.out.clone(),
        source,
    })?;
    if let VaultUrl::Local(vault) = settings.vault()?
        && out.starts_with(vault)
    {
        let hint = "give --out a directory outside of the vault: keys do not belong to what they open";
        return Err(CliError::usage("--out lies within the vault", hint));
    }
    let owners = recipients("--recipient", &args.recipient)?;
    let drillers = recipients("--drill-recipient", &args.drill_recipient)?;
    outdir::must_be_free(&out, &outdir::names(owners.is_empty()))?;
    if args.create_bucket && matches!(settings.vault()?, VaultUrl::Local(_)) {
        return Err(super::no_bucket("--create-bucket"));
    }
    let mut access = access(&settings, args.writer_credentials.as_deref(), "--writer-credentials")?;
    if access.as_ref().is_some_and(|access| !access.conditional_put) {
        let message = "puts will look before they write, which no other put respects: give no name to two writers, \
                       and no writer's key to two hosts";
        context.found(vec![Finding::new(Severity::Warning, "store.no-conditional-put", message)]);
    }
    let mut request = InitRequest {
        owners,
        drillers,
        keep: args.keep,
        max_lock: args.max_lock,
        mode: match args.mode {
            Mode::Compliance => LockMode::Compliance,
            Mode::Governance => LockMode::Governance,
        },
        by: match args.lock_by {
            By::BucketDefault => LockBy::BucketDefault,
            By::Explicit => LockBy::Explicit,
        },
        window: LockPolicy::DEFAULT_WINDOW,
        writer: args.writer,
        sources: args.sources,
    };
    // Before there is a bucket that nobody wants.
    request.policy()?;
    let InitRequest { keep, mode, by, .. } = request;
    let new = wiring::create_store(&settings, &BucketRequest { create: args.create_bucket, keep, mode, by }).await?;
    request.window = new.window;
    if let Some(access) = &mut access {
        match new.verified_by {
            Some(checksum) => access.checksum = checksum,
            None => context.found(vec![unverified(settings.chose_checksum().then_some(access.checksum))]),
        }
    }
    let prepared = Prepared::new(&*new.store, request).await?;
    let files = outdir::files(&prepared, &new.store.url(), keep, access.as_ref());
    let mut staged = Staged::write(&out, &files)?;
    context.bars.phase("proving that locks hold", None);
    let proof = prepared.store(&*new.store, &*new.deleter).await?;
    // From here on a vault may come to be, so what opens it must be safe before.
    staged.place()?;
    let report = prepared.found(&*new.store, proof).await?;
    if new.store.without_links() {
        context.found(vec![ops::replicate::plain_disk(&new.store.url())]);
    }
    Ok((Output::Init(Box::new(report), staged.keep()), None))
}

/// What damages an object on its way stays unnoticed until somebody reads it.
fn unverified(chosen: Option<Checksum>) -> Finding {
    let what = match chosen {
        Some(way) => format!("the server does not verify {way}: leave --checksum out, and init finds what it verifies"),
        None => "the server took bytes that were damaged, whatever checksum they came with".to_owned(),
    };
    let message = format!(
        "{what}; damage on the way is found only when it is read, so run `verify --depth read` after backups, and doctor \
         can't try what would do harm here"
    );
    Finding::new(Severity::Warning, "store.unverified", message)
}

fn recipients(option: &str, texts: &[String]) -> Result<Vec<Recipient>, CliError> {
    let parsed = texts.iter().map(|text| {
        let hint = "age-keygen prints one beginning with age1; an ssh public key is the line of its .pub file";
        text.parse().map_err(|e| CliError::usage(format!("{option}: {e}"), hint))
    });
    parsed.collect()
}

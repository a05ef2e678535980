//! A repository being read: its packs, what was loose, what is new since the last run, and LFS objects.

use std::{io::Read, path::PathBuf, process::Stdio, sync::Arc};

use super::{
    GitDetails, Oid, Repo, Result, SourceError,
    lfs::{Lfs, LfsObject},
    lines, open_own,
    packs::{LargeObject, Loose, Pack},
    prove::{self, Proving, Trailed},
    run,
    segments::{Anchoring, News, Note, Packing},
    sick::{self, Sick},
    walk::{self, Walked, Walking},
};
use crate::{
    codec::hash::hash,
    model::Name,
    source::{
        Facts, FileMeta, Incoming, Reading,
        child::Running,
        deadline::Deadline,
        read::{Seen, Warnings, Watched},
        scratch::Scratch,
    },
};

/// The stream that holds what was in no pack yet.
pub(super) const LOOSE: &str = "loose.pack";

/// What is still to come.
pub(super) enum Rest {
    /// All of it: packs as they are, then the loose objects that a walk finds.
    Whole { packs: std::vec::IntoIter<Pack>, walking: Walking, loose: Arc<Loose>, inflate: bool },
    /// What is new.
    New(Box<News>),
    /// Large loose objects; then as below.
    Large(Vec<LargeObject>, Vec<Oid>),
    /// LFS objects, once pointers to them were looked for with these new `.gitattributes`.
    Pointers(Vec<Oid>),
    /// LFS objects.
    Lfs,
}

pub(super) struct GitReading {
    pub(super) scratch: Scratch,
    pub(super) repo: Repo,
    pub(super) rest: Rest,
    /// What the last run left, if this one leans on it.
    pub(super) note: Option<Note>,
    pub(super) details: GitDetails,
    pub(super) warnings: Warnings,
    pub(super) lfs: Lfs,
    /// The packs that were given.
    pub(super) given: Vec<Name>,
    pub(super) current: Option<Current>,
    pub(super) anchoring: Anchoring,
    pub(super) sick: Sick,
    pub(super) deadline: Option<Deadline>,
}

/// The stream that is being read: a file of a known size, or what a child writes.
pub(super) struct Current {
    name: Name,
    seen: Arc<Seen>,
    size: Option<u64>,
    packing: Option<Running>,
    /// What proves it meanwhile.
    proof: Option<Proof>,
}

/// The proof of a stream, on its way.
enum Proof {
    /// Every object of a pack is inflated.
    Inflating(Running, PathBuf),
    /// A pack that git makes is indexed.
    Indexing(Proving),
}

impl GitReading {
    fn incoming(&mut self, name: Name, from: impl Read + Send + 'static, known: Option<u64>) -> Incoming {
        let from: Box<dyn Read + Send> = match &self.deadline {
            Some(deadline) => Box::new(deadline.limit(from)),
            None => Box::new(from),
        };
        let (reader, seen) = Watched::new(from, name.as_str(), 0);
        self.current = Some(Current { name: name.clone(), seen, size: known, packing: None, proof: None });
        Incoming { name, path: None, meta: FileMeta::default(), expected: known, reader: Box::new(reader) }
    }

    fn packed(&mut self, name: Name, from: impl Read + Send + 'static, packing: Running) -> Incoming {
        self.given.push(name.clone());
        let incoming = self.incoming(name, from, None);
        if let Some(current) = &mut self.current {
            current.packing = Some(packing);
        }
        incoming
    }

    /// Checks that the stream before was whole.
    fn settle(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let name = current.name.as_str();
        current.seen.must_have_ended(name)?;
        if let Some(size) = current.size.filter(|size| *size != current.seen.bytes()) {
            let what = format!("gave {} bytes where {size} were expected", current.seen.bytes());
            return Err(SourceError::new(what, name));
        }
        let finished = current.packing.map_or(Ok(()), Running::finish);
        finished.map_err(|e| walk::incomplete(&self.repo, &e))?;
        match current.proof {
            None => Ok(()),
            Some(Proof::Indexing(proving)) => proving.finish(&self.repo),
            Some(Proof::Inflating(running, path)) => match running.finish() {
                // A pack that housekeeping took away can't be held against its index.
                Err(e) if path.exists() => {
                    Err(prove::rotten(&self.repo, &format!("its pack {} is damaged ({e})", path.display())))
                }
                _ => Ok(()),
            },
        }
    }

    /// The loose objects as a pack.
    fn loose(&mut self) -> Result<Incoming> {
        let name = LOOSE.parse().map_err(|e| SourceError::new(format!("{e}"), LOOSE))?;
        let wanted = open_own(&self.scratch.path().join("wanted"))?;
        let arguments = ["pack-objects", "--stdout", "--delta-base-offset", "-q"];
        let mut command = run::git(self.scratch.path(), Some(&self.objects()), &arguments);
        let mut packing = run::start(command.stdin(Stdio::from(wanted)), "git pack-objects")?;
        let from = packing.stream()?;
        Ok(self.packed(name, from, packing))
    }

    /// The large loose objects as a pack, which is called as others are: it builds on nothing.
    fn large(&mut self, objects: Vec<LargeObject>) -> Result<Incoming> {
        let names: Vec<u8> = objects.iter().flat_map(|(name, _)| name.iter().copied()).collect();
        let digits = hash(&names).to_string();
        let name = format!("pack-{}.pack", digits.get(..40).unwrap_or(&digits));
        let name: Name = name.parse().map_err(|e| SourceError::new(format!("{e}"), name))?;
        let from = prove::Loose::new(&self.repo, self.details.format.hash(), objects);
        self.given.push(name.clone());
        Ok(self.incoming(name, from, None))
    }

    fn next_lfs(&mut self) -> Result<Option<Incoming>> {
        let Some(object) = self.lfs.next() else { return Ok(None) };
        let LfsObject { name, path, content, size } = object?;
        let mut incoming = self.incoming(name, content, Some(size));
        incoming.path = Some(path);
        Ok(Some(incoming))
    }

    fn objects(&self) -> PathBuf {
        self.repo.objects()
    }
}

impl Reading for GitReading {
    fn carried(&mut self) -> Option<Vec<Name>> {
        let segments = self.note.iter().flat_map(Note::streams);
        Some(segments.chain(self.lfs.carried()).cloned().collect())
    }

    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        let next = self.deadline.as_ref().map_or(Ok(()), |deadline| deadline.check(&self.repo.shown));
        next.and_then(|()| self.next()).map_err(|error| self.judge(error))
    }

    fn finish(mut self: Box<Self>) -> Result<Facts> {
        let deadline = self.deadline.take();
        match (self.facts(), deadline) {
            (Err(error), Some(deadline)) => Err(deadline.judge(error)),
            (facts, _) => facts,
        }
    }
}

impl GitReading {
    fn judge(&self, error: SourceError) -> SourceError {
        match &self.deadline {
            Some(deadline) => deadline.judge(error),
            None => error,
        }
    }

    fn next(&mut self) -> Result<Option<Incoming>> {
        self.settle()?;
        match std::mem::replace(&mut self.rest, Rest::Lfs) {
            Rest::Whole { mut packs, walking, loose, inflate } => {
                if let Some(pack) = packs.next() {
                    self.rest = Rest::Whole { packs, walking, loose, inflate };
                    #[cfg(target_os = "linux")]
                    let _ = rustix::fs::fadvise(&pack.file, 0, None, rustix::fs::Advice::Sequential);
                    self.given.push(pack.name.clone());
                    // Reading at offsets: checks before did not move the file's position, and none after will.
                    let from = Trailed::new(pack.file, self.details.format.hash());
                    let incoming = self.incoming(pack.name, from, Some(pack.size));
                    if let Some(current) = self.current.as_mut().filter(|_| inflate) {
                        let running = prove::inflate(self.scratch.path(), &pack.path)?;
                        current.proof = Some(Proof::Inflating(running, pack.path));
                    }
                    return Ok(Some(incoming));
                }
                let walked = self.walked(walking.finish()?, loose)?;
                self.rest = Rest::Large(walked.large, walked.attributes);
                if walked.any { self.loose().map(Some) } else { self.next() }
            }
            Rest::New(news) => {
                let News { packing, large, attributes } = *news;
                self.rest = Rest::Large(large, attributes);
                let Some(Packing { running, from, proving }) = packing else { return self.next() };
                let name = self.note.as_ref().map(Note::next_name).transpose()?;
                let name =
                    name.ok_or_else(|| self.repo.error("has nothing to lean on; this is a defect in strongroom"))?;
                let incoming = self.packed(name, from, running);
                if let Some(current) = &mut self.current {
                    current.proof = Some(Proof::Indexing(proving));
                }
                Ok(Some(incoming))
            }
            Rest::Large(large, attributes) => {
                self.rest = Rest::Pointers(attributes);
                if large.is_empty() { self.next() } else { self.large(large).map(Some) }
            }
            Rest::Pointers(attributes) => {
                self.lfs.seek(&self.repo, self.scratch.path(), self.details.oids(), &attributes)?;
                self.next_lfs()
            }
            Rest::Lfs => self.next_lfs(),
        }
    }

    /// What was met on a walk through everything; if that found something missing, on one through what is whole.
    fn walked(&mut self, walked: Walked, loose: Arc<Loose>) -> Result<Walked> {
        let Some(why) = &walked.lacking else { return Ok(walked) };
        let (scratch, objects) = (self.scratch.path(), self.objects());
        let gone = sick::lacking((scratch, &objects), self.details.oids().collect(), &[])?;
        self.sick.take_out(&mut self.details, &gone);
        let whole: Vec<Oid> = self.details.oids().collect();
        if gone.is_empty() || whole.is_empty() {
            return Err(walk::incomplete(&self.repo, why));
        }
        lines::write_revisions(scratch, &whole, &[])?;
        self.anchoring = Anchoring::start(scratch, &objects, whole.into_iter())?;
        let again = Walking::start(&self.repo, scratch, &self.details, loose)?.finish()?;
        again.lacking.as_ref().map_or(Ok(()), |why| Err(walk::incomplete(&self.repo, why)))?;
        Ok(again)
    }

    fn facts(mut self: Box<Self>) -> Result<Facts> {
        self.settle()?;
        let details = serde_json::to_value(&self.details)
            .map_err(|e| SourceError::new(format!("its refs can't be written down: {e}"), "git"))?;
        let anchors = self.anchoring.finish()?;
        let lfs = self.lfs.finish(&self.repo, &mut self.warnings);
        let note = match self.note {
            None => Note::begin(&self.details, self.given, anchors, lfs),
            Some(note) => note.grown(&self.details, self.given, anchors, lfs),
        };
        let note = Some(note.to_value()?);
        self.sick.warn(&self.repo, &mut self.warnings);
        if self.details.oids().next().is_none() {
            self.warnings.push(format!(
                "{}: has no commit yet, so there is nothing to restore but its settings",
                self.repo.shown
            ));
        }
        let findings = self.sick.findings(&self.repo);
        Ok(Facts { details, warnings: self.warnings.into_vec(), note, findings, ..Facts::default() })
    }
}

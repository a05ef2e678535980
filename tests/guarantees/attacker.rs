//! An attacker who holds everything that a writer's host holds: its credentials, its key, and time. It tries whatever
//! it can think of, in rounds, until its time is over.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    primitives::{ByteStream, DateTime},
    types::{
        ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    },
};
use strongroom::{
    codec::{hash, sign::SigningKey},
    format::{
        dsse::Envelope,
        header::{Header, ObjectRef},
        index::{self, Binding},
        layout,
        page::{PackRef, Page},
        writer_key::{self, Writer},
    },
    model::{Key, PackId, SnapshotId, Span, Time},
};

/// The most calls of one attack, whatever its time.
const CALLS: usize = 20_000;
/// The most headers that it signs: each is a snapshot that readers have to look at.
const HEADERS: usize = 150;
/// How many kinds of false headers there are.
const KINDS: usize = 8;
/// A hundred years.
const CENTURY: Span = Span::days(36_500);

/// What came of its calls, by what was tried.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub done: usize,
    pub refused: usize,
}

pub struct Attacker {
    /// Clients with each of the credentials that it holds.
    clients: Vec<Client>,
    bucket: String,
    prefix: String,
    writer: Writer,
    /// What it may read, as it was when it came.
    loot: BTreeMap<String, Vec<u8>>,
    /// All names that there were.
    names: Vec<String>,
    /// The versions of what it put itself.
    random: u64,
    forged: usize,
    pub tally: BTreeMap<&'static str, Tally>,
}

impl Attacker {
    pub async fn new(clients: Vec<Client>, bucket: &str, prefix: &str, writer_key: &[u8], seed: u64) -> Self {
        let writer = writer_key::open(writer_key).unwrap();
        let mut attacker = Self {
            clients,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            writer,
            loot: BTreeMap::new(),
            names: Vec::new(),
            random: seed | 1,
            forged: 0,
            tally: BTreeMap::new(),
        };
        attacker.look_around().await;
        attacker
    }

    /// Tries everything, round by round, for `time`.
    pub async fn rage(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && self.calls() < CALLS {
            self.overwrite().await;
            self.store_again().await;
            self.plausible_junk().await;
            self.forge_headers().await;
            self.forge_unsigned().await;
            self.forge_indexes_and_pages().await;
            self.replay().await;
            self.lock_for_ever().await;
            self.destroy().await;
            self.elsewhere().await;
            if self.calls() < 1000 {
                self.huge().await;
            }
        }
    }

    pub fn calls(&self) -> usize {
        self.tally.values().map(|tally| tally.done + tally.refused).sum()
    }

    pub fn of(&self, what: &str) -> Tally {
        self.tally.get(what).copied().unwrap_or_default()
    }

    fn next(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % below.max(1) as u64).unwrap()
    }

    fn junk(&mut self, len: usize) -> Vec<u8> {
        let start = self.next(256);
        (0..len).map(|i| u8::try_from((i * 31 + start) % 256).unwrap()).collect()
    }

    fn client(&mut self) -> Client {
        let which = self.next(self.clients.len());
        self.clients[which].clone()
    }

    fn note<T, E>(&mut self, what: &'static str, result: Result<T, E>) -> Option<T> {
        let tally = self.tally.entry(what).or_default();
        if result.is_ok() {
            tally.done += 1;
        } else {
            tally.refused += 1;
        }
        result.ok()
    }

    /// Lists the vault, and reads what the role may read.
    async fn look_around(&mut self) {
        let prefix = format!("{}/", self.prefix);
        let mut token = None;
        loop {
            let request = self.clients[0].list_objects_v2().bucket(&self.bucket).prefix(&prefix);
            let page = request.set_continuation_token(token).send().await.unwrap();
            let keys = page.contents().iter().filter_map(|object| object.key());
            self.names.extend(keys.filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        for name in self.names.clone() {
            let request = self.clients[0].get_object().bucket(&self.bucket).key(format!("{prefix}{name}"));
            if let Some(answer) = self.note("read", request.send().await) {
                let bytes = answer.body.collect().await.unwrap().to_vec();
                self.loot.insert(name, bytes);
            }
        }
        assert!(self.loot.keys().all(|name| !name.starts_with("packs/") && !name.starts_with("keys/")));
        assert!(self.loot.keys().any(|name| name.starts_with("snapshots/")));
    }

    async fn put(&mut self, what: &'static str, name: &str, bytes: Vec<u8>) -> Option<String> {
        let client = self.client();
        let key = format!("{}/{name}", self.prefix);
        let request = client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        let answer = request.send().await;
        self.note(what, answer)?.version_id
    }

    /// On top of every name that there is.
    async fn overwrite(&mut self) {
        for name in self.names.clone() {
            let what = if name.contains(&format!("/{}/", self.writer.name)) { "overwrite" } else { "overwrite others" };
            let len = self.next(4000);
            let bytes = match self.next(3) {
                0 => Vec::new(),
                1 => self.loot.values().nth(len % self.loot.len()).cloned().unwrap(),
                _ => self.junk(len),
            };
            self.put(what, &name, bytes).await;
        }
    }

    /// What it could read, once more under its own name: as true as before, and as new as the attack.
    async fn store_again(&mut self) {
        let own = format!("/{}/", self.writer.name);
        for (name, bytes) in self.loot.clone() {
            if name.contains(&own) {
                self.put("store again", &name, bytes).await;
            }
        }
    }

    async fn plausible_junk(&mut self) {
        let own = self.writer.name.to_string();
        for no in 0..10 {
            let len = self.next(3000);
            let bytes =
                [self.junk(len), vec![b'['; len], b"age-encryption.org/v1\n-> X25519 x\n".to_vec()][no % 3].clone();
            let true_hash = hash::hash(&bytes).to_string();
            let other = format!("{:064x}", self.next(usize::MAX));
            for hex in [true_hash, other] {
                for name in [
                    format!("packs/{own}/{}/{hex}", &hex[..2]),
                    format!("indexes/{own}/{hex}.age"),
                    format!("lists/{own}/{hex}"),
                    format!("snapshots/{own}/{:010}-{hex}.json", 1 + self.next(3_000_000_000)),
                    format!("canaries/{own}/20260101T000000Z-{}", &hex[..8]),
                    format!("snapshots/{own}/{hex}"),
                    format!("packs/{own}/{hex}"),
                ] {
                    self.put("junk", &name, bytes.clone()).await;
                }
            }
        }
    }

    fn headers(&self) -> Vec<Header> {
        let own = format!("snapshots/{}/", self.writer.name);
        let bytes = self.loot.iter().filter(|(name, _)| name.starts_with(&own)).map(|(_, bytes)| bytes);
        bytes.filter_map(|bytes| Envelope::decode::<Header>(bytes).ok()?.claims().ok()).collect()
    }

    /// Headers with the writer's true signature that say what is not so.
    async fn forge_headers(&mut self) {
        let honest = self.headers();
        if self.forged == 0
            && let Some(mut last) = honest.last().cloned()
        {
            // After it, there is no next number.
            last.seq = u64::MAX;
            self.put_header(&last).await;
        }
        // Each kind in each round: a slow machine may have time for one only.
        for (kind, header) in honest.iter().cycle().take(KINDS).enumerate() {
            if self.forged >= HEADERS {
                return;
            }
            let mut forged = header.clone();
            let far = header.started_at + CENTURY;
            match kind {
                // The newest for a hundred years, and kept for ever.
                0 => {
                    forged.seq = 9_000_000_000;
                    (forged.started_at, forged.floor_until, forged.expires_at) = (far, far, far);
                }
                // A fork of the past.
                1 => forged.totals.bytes = 1,
                // Backdated, to go before all others.
                2 => (forged.started_at, forged.seq, forged.prev) = (Time::from_unix(1), 1, Vec::new()),
                // Another's source, and a body that is not there.
                3 => {
                    forged.source = "billing".parse().unwrap();
                    forged.body[0].len = 77;
                }
                // Without pages: nothing to check, nothing to lock.
                4 => (forged.pages, forged.indexes) = (Vec::new(), Vec::new()),
                // A chain that names what never was.
                5 => forged.prev = (0..64).map(|n| SnapshotId::from_bytes([n; 32])).collect(),
                // A page that is not there.
                6 => {
                    let reference = ObjectRef { hash: hash::hash(b"none"), bytes: 5, version: None };
                    forged.pages = vec![reference];
                }
                // A hundred years of keeping for what is there.
                _ => (forged.seq, forged.expires_at) = (header.seq + 1, far),
            }
            forged.claimed_at = forged.started_at;
            forged.warnings = vec![format!("{}", self.forged)];
            self.put_header(&forged).await;
        }
    }

    async fn put_header(&mut self, header: &Header) {
        let (id, public) = header.seal(&self.writer.signing_key).unwrap();
        let name = layout::header(&self.writer.name, header.seq, &id).to_string();
        self.forged += 1;
        self.put("forged header", &name, public.bytes().to_vec()).await;
    }

    /// Headers that nobody of the vault signed, or that another should have.
    async fn forge_unsigned(&mut self) {
        let Some(header) = self.headers().pop() else { return };
        let stranger = SigningKey::generate().unwrap();
        let (id, public) = header.seal(&stranger).unwrap();
        let name = layout::header(&self.writer.name, header.seq, &id).to_string();
        self.put("foreign header", &name, public.bytes().to_vec()).await;
        let mut as_other = header;
        as_other.writer = "w2".parse().unwrap();
        let (id, public) = as_other.seal(&self.writer.signing_key).unwrap();
        let own = layout::header(&self.writer.name, 7, &id).to_string();
        self.put("foreign header", &own, public.bytes().to_vec()).await;
        let theirs = layout::header(&as_other.writer, 7, &id).to_string();
        self.put("elsewhere", &theirs, public.bytes().to_vec()).await;
        let mut spaced = public.bytes().to_vec();
        spaced.extend(vec![b' '; 1 + self.next(60)]);
        let name = layout::header(&self.writer.name, 8, &SnapshotId::from_bytes(*hash::hash(&spaced).as_bytes()));
        self.put("foreign header", name.as_str(), spaced).await;
    }

    /// Indexes that lead astray and pages that name others' packs, under signed headers.
    async fn forge_indexes_and_pages(&mut self) {
        if self.forged >= HEADERS {
            return;
        }
        let Some(mut header) = self.headers().pop() else { return };
        let theirs: Vec<PackRef> = self
            .names
            .iter()
            .filter(|name| name.starts_with("packs/"))
            .filter_map(|name| name.rsplit('/').next()?.parse::<PackId>().ok())
            .map(|id| PackRef { id, bytes: 1000, version: None })
            .collect();
        let page = Page::new(header.vault, self.writer.name.clone(), theirs).encode().unwrap();
        let reference = |bytes: &[u8]| ObjectRef { hash: hash::hash(bytes), bytes: bytes.len() as u64, version: None };
        let page_ref = reference(page.bytes());
        self.put("forged page", layout::page(&self.writer.name, &page_ref.hash).as_str(), page.bytes().to_vec()).await;
        let binding = Binding { vault: header.vault, writer: self.writer.name.clone(), seq: header.seq };
        let junk = self.junk(200);
        let sections = [junk.as_slice()];
        let sealed = index::seal(&binding, sections, &self.writer.signing_key, &self.writer.index_sealer).unwrap();
        let index_ref = reference(sealed.bytes());
        let name = layout::index(&self.writer.name, &index_ref.hash);
        self.put("forged index", name.as_str(), sealed.bytes().to_vec()).await;
        (header.pages, header.indexes) = (vec![page_ref], vec![index_ref]);
        header.seq += 1;
        self.put_header(&header).await;
    }

    /// What was true, under other names.
    async fn replay(&mut self) {
        for (name, bytes) in self.loot.clone() {
            let own = self.writer.name.to_string();
            let hex = hash::hash(&bytes).to_string();
            let other = match name.split('/').next().unwrap() {
                "snapshots" => format!("snapshots/{own}/{:010}-{hex}.json", 1 + self.next(1_000_000)),
                "indexes" => format!("indexes/{own}/{:064x}.age", self.next(usize::MAX)),
                "lists" => format!("lists/{own}/{:064x}", self.next(usize::MAX)),
                _ => format!("snapshots/{own}/{:010}-{hex}.json", 4),
            };
            self.put("replay", &other, bytes).await;
        }
    }

    /// A hundred years of compliance, on junk and on what is there.
    async fn lock_for_ever(&mut self) {
        let until = DateTime::from_secs(4_890_000_000);
        for client in self.clients.clone() {
            let bytes = self.junk(100);
            let random = self.next(usize::MAX);
            let name = format!("{}/packs/{}/00/{random:064x}", self.prefix, self.writer.name);
            let request = client.put_object().bucket(&self.bucket).key(name).body(ByteStream::from(bytes));
            let request = request.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
            let answer = request.send().await;
            self.note("lock junk", answer);
        }
        let which = self.next(self.names.len());
        let name = format!("{}/{}", self.prefix, self.names[which]);
        let client = self.client();
        let retention =
            ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Compliance).retain_until_date(until).build();
        let request = client.put_object_retention().bucket(&self.bucket).key(&name).retention(retention);
        let answer = request.send().await;
        self.note("lock longer", answer);
    }

    /// Whatever would take away, hide or shorten.
    async fn destroy(&mut self) {
        let own = format!("packs/{}/", self.writer.name);
        let mine = format!("{own}00/{:064x}", self.next(usize::MAX));
        let Some(mine) = self.put("junk", &mine, b"x".to_vec()).await else { return };
        for _ in 0..10 {
            let which = self.next(self.names.len());
            let name = format!("{}/{}", self.prefix, self.names[which]);
            let client = self.client();
            let answer = client.delete_object().bucket(&self.bucket).key(&name).send().await;
            self.note("delete", answer);
            let request = client.delete_object().bucket(&self.bucket).key(&name).version_id(&mine);
            let answer = request.bypass_governance_retention(true).send().await;
            self.note("delete", answer);
            let soon =
                DateTime::from_secs(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap() + 60);
            for mode in [ObjectLockRetentionMode::Compliance, ObjectLockRetentionMode::Governance] {
                let lock = ObjectLockRetention::builder().mode(mode).retain_until_date(soon).build();
                let request = client.put_object_retention().bucket(&self.bucket).key(&name).retention(lock);
                let answer = request.bypass_governance_retention(true).send().await;
                self.note("shorten", answer);
            }
            let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
            let request = client.put_object_legal_hold().bucket(&self.bucket).key(&name).legal_hold(hold);
            let answer = request.send().await;
            self.note("hold", answer);
        }
        let client = self.client();
        let answer = client.list_object_versions().bucket(&self.bucket).send().await;
        self.note("list versions", answer);
        let answer = client.delete_bucket().bucket(&self.bucket).send().await;
        self.note("delete", answer);
    }

    /// Where it has no business.
    async fn elsewhere(&mut self) {
        let hex = format!("{:064x}", self.next(usize::MAX));
        let loot: Vec<Vec<u8>> = self.loot.values().cloned().collect();
        for name in [
            "vault.json".to_owned(),
            format!("keys/root-{hex}.age"),
            format!("keys/epoch-0001/0002-{hex}.json"),
            format!("members/{}/0002-{hex}.json", self.writer.name),
            format!("members/w3/0001-{hex}.json"),
            format!("evidence/owner/20990101T000000Z-{hex}.json"),
            format!("snapshots/w2/{:010}-{hex}.json", 1),
            format!("packs/w2/{}/{hex}", &hex[..2]),
            format!("indexes/w2/{hex}.age"),
        ] {
            let which = self.next(loot.len());
            self.put("elsewhere", &name, loot[which].clone()).await;
        }
    }

    /// As large as a pack may be, and larger.
    async fn huge(&mut self) {
        for len in [8 << 20, 40 << 20] {
            let bytes = self.junk(len);
            let hex = hash::hash(&bytes).to_string();
            self.put("huge", &format!("packs/{}/{}/{hex}", self.writer.name, &hex[..2]), bytes).await;
        }
        let bytes = vec![b'{'; 3 << 20];
        let hex = hash::hash(&bytes).to_string();
        let own = self.writer.name.to_string();
        self.put("huge", &format!("snapshots/{own}/{:010}-{hex}.json", 3), bytes.clone()).await;
        self.put("huge", &format!("indexes/{own}/{hex}.age"), bytes.clone()).await;
        self.put("huge", &format!("lists/{own}/{hex}"), bytes).await;
    }
}

/// A key as the vault has it.
pub fn key(text: &str) -> Key {
    text.parse().unwrap()
}

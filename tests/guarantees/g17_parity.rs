//! G17, elsewhere: a directory heals itself from the parity beside it, as far as that goes, and says where it does not.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use strongroom::{
    format::layout,
    model::{Cancel, Finding, Progress, Severity, Silent, Span},
    ops::{
        Pin, prune,
        repair::{ParityRequest, RepairReport, from_parity},
        replicate::ReplicateReport,
    },
    store::{ObjectStore, local::LocalStore, memory::MemoryStore},
    vault::{Vault, audit::Depth},
};

use crate::{
    g17_elsewhere::{explicit, run, three, wanted},
    g17_repair::{DAMAGES, locations},
    store_support::{HandClock, keys},
    vault_support::{Made, make, noise, streams},
};

const BLOCK: usize = 4096;

/// A copy on a disk, with parity beside it.
struct Disk {
    made: Made,
    clock: Arc<HandClock>,
    _dir: tempfile::TempDir,
    root: PathBuf,
    store: LocalStore,
}

impl Disk {
    async fn of(made: Made, clock: Arc<HandClock>, rate: &str) -> (Self, ReplicateReport) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        let store = LocalStore::create(root.clone(), clock.clone()).unwrap();
        let disk = Self { made, clock, _dir: dir, root, store };
        let report = disk.copy(Some(rate)).await;
        (disk, report)
    }

    fn shared(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.store.clone())
    }

    async fn copy(&self, rate: Option<&str>) -> ReplicateReport {
        let mut request = wanted("the first");
        request.copy.parity = rate.map(|rate| rate.parse().unwrap());
        let (report, findings) = run(&self.made, self.shared(), &request).await.unwrap();
        assert!(findings.iter().all(|f| f.severity < Severity::Weak), "{findings:?}");
        report
    }

    async fn heal(&self, rate: Option<&str>) -> (RepairReport, Vec<Finding>) {
        let request = ParityRequest { rate: rate.map(|rate| rate.parse().unwrap()), dry_run: false };
        let pins = [Pin::one(self.made.id, "the test")];
        let told = (&Silent as &dyn Progress, &Cancel::default());
        from_parity((self.shared(), &self.store), (&pins, "the disk".to_owned()), request, told).await.unwrap()
    }

    /// What `verify --depth read` finds that is bad, and all codes.
    async fn verify(&self) -> (Vec<Finding>, Vec<String>) {
        let vault = Vault::open(self.shared(), Some(self.made.id)).await.unwrap();
        let request = strongroom::ops::verify::VerifyRequest { depth: Some(Depth::Read), ..Default::default() };
        let progress: Arc<dyn Progress> = Arc::new(Silent);
        let (report, findings) =
            strongroom::ops::verify::verify(&vault, request, &progress, &Cancel::default()).await.unwrap();
        assert!(report.parity.is_some());
        let codes = findings.iter().map(|f| f.code.clone()).collect();
        (findings.into_iter().filter(|f| f.severity >= Severity::Weak).collect(), codes)
    }

    async fn must_be_whole(&self, what: &str) {
        let (bad, codes) = self.verify().await;
        assert!(bad.is_empty(), "{what}: {bad:?}");
        assert!(!codes.iter().any(|code| code == "parity.behind"), "{what}");
        let there = self.made.through(self.shared());
        assert!(there.restore_all().await.unwrap() == self.made.restore_all().await.unwrap(), "{what}");
    }

    fn parity(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> =
            fs::read_dir(self.root.join(".parity")).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }
}

/// Makes of a file on the disk what is left of it, as no program of ours does.
fn spoil(path: &Path, spoil: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let bytes = fs::read(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    match spoil(bytes) {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
}

/// A vault of one large snapshot in several packs.
async fn large() -> (Made, Arc<HandClock>, tempfile::TempDir) {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), explicit()).await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "orders", streams([("a", noise(1, 80_000_000))])).await.unwrap();
    (made, clock, state)
}

/// As docs/format.md describes a file of parity: how many blocks of data it is of, how many bytes its checks are, and the
/// first block of the object `key`.
fn table(file: &[u8], key: &str) -> (usize, usize, Option<usize>) {
    let length = u32::from_le_bytes(file[20..24].try_into().unwrap()) as usize;
    let table = &file[56..56 + length];
    let (mut rest, mut blocks, mut found) = (&table[38..table.len() - 32], 0, None);
    while !rest.is_empty() {
        let name = usize::from(u16::from_le_bytes(rest[..2].try_into().unwrap()));
        if &rest[2..2 + name] == key.as_bytes() {
            found = Some(blocks);
        }
        let size = u64::from_le_bytes(rest[2 + name..10 + name].try_into().unwrap());
        blocks += usize::try_from(size).unwrap().div_ceil(BLOCK);
        rest = &rest[42 + name..];
    }
    let rate = usize::from(u16::from_le_bytes(table[32..34].try_into().unwrap()));
    (blocks, 8 * (blocks + (blocks * rate).div_ceil(10_000) + 4), found)
}

/// The packs of each file of parity, and how many blocks of data its group has.
fn groups(disk: &Disk, packs: &[String]) -> Vec<(Vec<String>, usize)> {
    let all = disk.parity().into_iter().map(|path| {
        let file = fs::read(path).unwrap();
        let named: Vec<String> = packs.iter().filter(|pack| table(&file, pack).2.is_some()).cloned().collect();
        (named, table(&file, "").0)
    });
    all.filter(|(packs, _): &(Vec<String>, usize)| !packs.is_empty()).collect()
}

/// Zeros so many bytes of each group's packs in bursts that begin anywhere. Returns which packs were hit.
fn burst(disk: &Disk, packs: &[String], hundredths: usize) -> Vec<String> {
    let mut hit = Vec::new();
    for (no, (packs, blocks)) in groups(disk, packs).into_iter().enumerate() {
        let (all, bursts) = (blocks * BLOCK * hundredths / 100, 4);
        // The pack of a body is smaller than what is to go.
        let size = |pack: &&String| fs::metadata(disk.root.join(pack)).unwrap().len();
        let packs: Vec<&String> = packs.iter().filter(|pack| size(pack) > 10 << 20).collect();
        for burst in 0..bursts {
            let pack = packs[burst % packs.len()];
            let begin = 1000 + 777 * no + burst * (all / bursts + 12_345);
            spoil(&disk.root.join(pack), |mut bytes| {
                bytes[begin..begin + all / bursts].fill(0);
                Some(bytes)
            });
            hit.push(pack.clone());
        }
    }
    hit.sort();
    hit.dedup();
    hit
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes forty seconds unoptimised: cargo nextest run --run-ignored all g17_five"]
async fn g17_five_percent_of_each_group_in_bursts_heals_and_six_says_so() {
    let (made, clock, _state) = large().await;
    let (disk, report) = Disk::of(made, clock, "5%").await;
    let parity = report.parity.unwrap();
    let stored: u64 = report.bytes;
    assert!(parity.groups >= 2 && parity.objects == keys(&disk.store, "").await.len() as u64, "{parity:?}");
    assert!(parity.bytes < stored / 18, "{} of {stored}", parity.bytes);
    disk.must_be_whole("as it was copied").await;
    let packs = keys(&disk.store, layout::PACKS).await;
    let before: BTreeMap<&String, Vec<u8>> =
        packs.iter().map(|pack| (pack, fs::read(disk.root.join(pack)).unwrap())).collect();

    let hit = burst(&disk, &packs, 5);
    assert!(hit.len() >= 2);
    assert!(disk.verify().await.0.iter().any(|f| f.code == "pack.damaged"));
    let (report, findings) = disk.heal(None).await;
    assert!(findings.iter().all(|f| f.severity < Severity::Weak), "{findings:?}");
    assert_eq!(report.mended["packs"].objects, hit.len() as u64);
    for pack in &packs {
        assert!(fs::read(disk.root.join(pack)).unwrap() == before[pack], "{pack}");
    }
    disk.must_be_whole("5% healed").await;

    let hit = burst(&disk, &packs, 6);
    let spoiled: Vec<Vec<u8>> = hit.iter().map(|pack| fs::read(disk.root.join(pack)).unwrap()).collect();
    let (report, findings) = disk.heal(None).await;
    assert_eq!(report.objects, 0, "{findings:?}");
    for (pack, spoiled) in hit.iter().zip(spoiled) {
        let told = findings.iter().find(|f| f.code == "parity.beyond" && f.object.as_deref() == Some(pack));
        assert!(
            told.is_some_and(|f| f.severity == Severity::Error && f.message.contains("blocks of parity")),
            "{pack}"
        );
        assert!(fs::read(disk.root.join(pack)).unwrap() == spoiled, "nothing is put that is not true: {pack}");
    }
    // And the parity that there is stays for what of it may be put back by hand.
    assert_eq!(disk.parity().len() as u64, parity.groups);
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_each_damage_of_each_kind_of_object_heals_from_parity_or_is_named() {
    let (made, clock, _state) = three(explicit()).await;
    let (disk, _) = Disk::of(made, clock, "5%").await;
    let (mut healed, mut named) = (0, 0);
    for (damage, change) in DAMAGES {
        for (kind, victim) in &locations(&disk.store).await {
            let (what, path) = (format!("{kind} {damage}"), disk.root.join(victim));
            let before = fs::read(&path).unwrap();
            spoil(&path, change);
            let (report, findings) = disk.heal(None).await;
            if report.objects == 1 {
                assert!(fs::read(&path).unwrap() == before, "{what}");
                assert!(findings.iter().all(|f| f.severity < Severity::Weak), "{what}: {findings:?}");
                healed += 1;
            } else {
                // More is gone than parity has, and that is said of this object.
                assert!(damage != "flipped" && before.len() > 4 * BLOCK, "{what}: {findings:?}");
                let told = |f: &Finding| f.code == "parity.beyond" && f.object.as_deref() == Some(victim);
                assert!(findings.iter().any(told), "{what}: {findings:?}");
                named += 1;
                drop(fs::remove_file(&path));
                fs::write(&path, before).unwrap();
            }
        }
        disk.must_be_whole(damage).await;
    }
    assert!(healed >= 25 && named > 0, "{healed} healed, {named} named");
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_damaged_parity_is_told_and_made_anew_and_nobody_elses_heals() {
    let (made, clock, _state) = three(explicit()).await;
    let (disk, _) = Disk::of(made, clock, "5%").await;
    let file = disk.parity().remove(0);
    let before = fs::read(&file).unwrap();
    // The head, the table, the checks, a block of parity, and the same at the end; all of it cut; both heads gone.
    let ends = before.len();
    for at in [0, 30, 70, 700, ends / 2, ends - 700, ends - 70, ends - 30] {
        spoil(&file, |mut bytes| {
            bytes[at] ^= 1;
            Some(bytes)
        });
        let (bad, _) = disk.verify().await;
        assert!(!bad.is_empty() && bad.iter().all(|f| f.code == "parity.damaged"), "{at}: {bad:?}");
        let (report, _) = disk.heal(None).await;
        assert_eq!((report.objects, report.parity.unwrap().written), (0, 1), "{at}");
        assert!(fs::read(&file).unwrap() == before, "{at}");
        disk.must_be_whole("parity made anew").await;
    }
    spoil(&file, |bytes| Some(bytes[..ends / 2].to_vec()));
    disk.heal(None).await;
    spoil(&file, |bytes| Some(vec![0; bytes.len()]));
    assert!(disk.verify().await.0.iter().any(|f| f.code == "parity.damaged"));
    disk.heal(Some("5%")).await;
    disk.must_be_whole("all of parity was gone").await;
    assert!(fs::read(&file).unwrap() == before);

    // Parity of the same keys and of other bytes, as whoever holds the disk can make: what it makes is not put.
    let victim = keys(&disk.store, layout::SNAPSHOTS).await.remove(0);
    let path = disk.root.join(&victim);
    spoil(&path, |mut bytes| {
        bytes[10] ^= 1;
        Some(bytes)
    });
    let spoiled = fs::read(&path).unwrap();
    spoil(&file, |good| Some(forge(good, &victim, &spoiled)));
    let (report, findings) = disk.heal(None).await;
    assert_eq!(report.objects, 0);
    let told = |f: &Finding| f.code == "parity.beyond" && f.object.as_deref() == Some(&victim);
    assert!(findings.iter().any(told), "{findings:?}");
    assert!(fs::read(&path).unwrap() == spoiled);
}

/// A file of parity whose checks say that the first block of `victim` is as it is `spoiled`, as its maker could have it.
fn forge(mut file: Vec<u8>, victim: &str, spoiled: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(file[20..24].try_into().unwrap()) as usize;
    let (_, of_parity, block) = table(&file, victim);
    let at = 56 + length + 8 * block.unwrap();
    let check = *strongroom::codec::hash(&spoiled[..spoiled.len().min(BLOCK)]).as_bytes();
    file[at..at + 8].copy_from_slice(&check[..8]);
    let checks = *strongroom::codec::hash(&file[56 + length..56 + length + of_parity]).as_bytes();
    file[56 + length - 32..56 + length].copy_from_slice(&checks);
    let named = *strongroom::codec::hash(&file[56..56 + length]).as_bytes();
    file[24..56].copy_from_slice(&named);
    // The other table is left as it was: one is enough.
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_parity_stays_in_step_with_what_is_copied_and_pruned() {
    let (made, clock, state) = three(explicit()).await;
    let (disk, first) = Disk::of(made, clock, "5%").await;
    assert_eq!(first.parity.unwrap().written, 1);
    // Nothing new: nothing is written.
    let idle = disk.copy(None).await.parity.unwrap();
    assert_eq!((idle.written, idle.removed, idle.objects), (0, 0, keys(&disk.store, "").await.len() as u64));
    disk.made.backup(state.path(), "orders", streams([("a", noise(77, 300_000))])).await.unwrap();
    let more = disk.copy(None).await.parity.unwrap();
    // What was small is joined with what is new.
    assert_eq!((more.written, more.removed, more.groups), (1, 1, 1));
    disk.must_be_whole("one more").await;
    // Another rate makes all of it anew.
    let higher = disk.heal(Some("10%")).await.0.parity.unwrap();
    assert!(higher.bytes > more.bytes && higher.groups == 1 && higher.rate.to_string() == "10%");

    disk.clock.pass(Span::days(120));
    disk.made.backup(state.path(), "orders", streams([("a", noise(78, 300_000))])).await.unwrap();
    disk.clock.pass(Span::days(1));
    for day in 0..3 {
        disk.made.backup(state.path(), "orders", streams([("a", noise(90 + day, 100_000))])).await.unwrap();
        disk.clock.pass(Span::days(1));
    }
    disk.copy(None).await;
    let vault = Vault::open(disk.shared(), Some(disk.made.id)).await.unwrap();
    let request = prune::PruneRequest { grace: Span::ZERO, clock_is_right: true };
    let told = (&Silent as &dyn Progress, &Cancel::default());
    let (report, findings) = prune::prune(&vault, Some(&disk.store), (request, None), told.0, told.1).await.unwrap();
    assert!(report.blocked.is_empty() && report.deleted["packs"].versions > 0, "{:?} {findings:?}", report.deleted);
    let kept = report.parity.unwrap();
    assert!(kept.written > 0 && kept.removed > 0, "{kept:?}");
    let there = keys(&disk.store, "").await;
    assert_eq!(kept.objects, there.len() as u64);
    let codes = disk.verify().await.1;
    assert!(!codes.iter().any(|code| code.starts_with("parity.")), "{codes:?}");
    // What was pruned does not come back.
    let (report, _) = disk.heal(None).await;
    assert_eq!(report.objects, 0);
    assert_eq!(keys(&disk.store, "").await, there);
}

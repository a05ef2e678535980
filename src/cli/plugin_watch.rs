//! Watches the process between strongroom and a plugin, and the plugin: both end when strongroom does, however that ends, and
//! a plugin that writes without end is ended before its answer fills the memory.

use std::{
    collections::BTreeMap,
    fs, io, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_child_subreaper, set_parent_process_death_signal,
};
use tokio::signal::unix::{SignalKind, signal};

/// The most memory that this process may take: an answer of age's protocol has some kilobytes.
const MEMORY: u64 = 96 << 20;
/// How often it is looked. A pipe gives some megabytes in that time.
const LOOK: Duration = Duration::from_millis(10);
/// How often it is looked for what a plugin starts while it is ended.
const ROUNDS: usize = 20;

/// The watch over a plugin.
pub(super) struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Whether the plugin was ended since its answer had no end.
    pub(super) fn was_too_much(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Begins to watch this process, before it starts anything.
pub(super) fn begin() -> io::Result<Watch> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // What a plugin leaves behind becomes a child of this process, and is found.
    set_child_subreaper(Some(getpid()))?;
    let too_much = Arc::new(AtomicBool::new(false));
    let (ready, waits) = mpsc::channel();
    let told = Arc::clone(&too_much);
    thread::spawn(move || {
        let watched = watch(&told, &ready);
        let _ = ready.send(watched);
    });
    waits.recv().unwrap_or_else(|_| Err(io::Error::other("its watch has ended")))?;
    if getppid() != parent {
        // It died before its death could be told.
        return Err(io::Error::other("nobody waits for an answer"));
    }
    Ok(Watch(too_much))
}

fn watch(too_much: &AtomicBool, ready: &mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminations = signal(SignalKind::terminate())?;
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut look = tokio::time::interval(LOOK);
        let _ = ready.send(Ok(()));
        loop {
            tokio::select! {
                _ = terminations.recv() => break,
                _ = interrupts.recv() => break,
                _ = look.tick() => {
                    if resident() > MEMORY {
                        too_much.store(true, Ordering::Release);
                        end_all();
                    }
                }
            }
        }
        end_all();
        process::exit(1)
    })
}

/// The bytes of memory that this process takes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1 << 10)
}

/// Ends whatever this process has started, and what that has.
fn end_all() {
    for _ in 0..ROUNDS {
        let all = descendants();
        if all.is_empty() {
            return;
        }
        for pid in all {
            let _ = kill_process(pid, Signal::KILL);
        }
        // They need a moment to be gone, and may have started something before.
        thread::sleep(LOOK);
    }
}

/// Those that still run.
fn descendants() -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name stands in parentheses and may hold anything.
        let mut rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (rest.next().unwrap_or("Z"), rest.next().and_then(|parent| parent.parse().ok()));
        if let Some(parent) = parent.filter(|_| state != "Z") {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![getpid().as_raw_nonzero().get()]);
    while let Some(pid) = open.pop() {
        let of = children.remove(&pid).unwrap_or_default();
        found.extend(of.iter().filter_map(|pid| Pid::from_raw(*pid)));
        open.extend(of);
    }
    found
}

//! A disk in memory that does what a disk may do: it forgets what was not synced when the power
//! goes out, is full, fails, and writes less than it was asked to.
//!
//! What was synced is kept apart from what was only written, for the bytes of each file and for
//! the names in each folder. A power cut keeps all, none or some of the rest, torn anywhere; a
//! process that is killed loses nothing that it wrote. A sync that fails has done some of its
//! work, and a later one does not make up for it, as on Linux.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use dpmq::store::{Files, Held, OpenHow, StoredFile};

use crate::common_store::Random;

/// A power cut writes whole sectors, or half of one.
const SECTOR_BYTES: usize = 512;

/// Files by their paths.
pub(crate) type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// What goes wrong from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// All but the last three begin behind so many operations …
    pub(crate) after: u64,
    /// … and last for so many.
    pub(crate) lasting: Option<u64>,

    /// There is room for so many bytes.
    pub(crate) room_bytes: Option<usize>,
    /// All files together have at most so many bytes; what they had has its place.
    pub(crate) capacity_bytes: Option<usize>,
    /// Every write fails.
    pub(crate) writes: bool,
    /// Every sync fails.
    pub(crate) syncs: bool,
    /// The next sync fails, and those after it do not: the system tells an error once.
    pub(crate) next_sync: bool,
    /// Every sync of a folder fails.
    pub(crate) folder_syncs: bool,
    /// The power goes out at the operation behind so many.
    pub(crate) power_after: Option<u64>,
    /// Every read fails.
    pub(crate) reads: bool,
    /// Reads and writes do less than they were asked for.
    pub(crate) short: bool,
}

/// How much of what was not synced a power cut keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    All,
    None,
    Some,
}

/// What other threads do after an operation and before the next of the thread that did it.
pub(crate) type Others = Arc<dyn Fn() + Send + Sync>;

/// The disk; clones are the same disk, as seen by the same process.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Files opened before a crash are of a process that is gone.
    generation: u64,
}

struct State {
    mount: PathBuf,
    nodes: BTreeMap<u64, Node>,
    next: u64,
    generation: u64,
    locks: BTreeMap<PathBuf, Weak<()>>,
    random: Random,
    faults: Faults,
    /// Whether the operation under way is one of those that the faults are for.
    faulty: bool,
    /// The files whose sync has failed.
    failed_syncs: Vec<u64>,
    off: bool,
    operations: u64,
    trace: DefaultHasher,
    others: Option<Others>,
}

enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Default)]
struct FileNode {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was done since the last sync.
    unsynced: Vec<Write>,
}

enum Write {
    Bytes(usize, Vec<u8>),
    Len(usize),
}

#[derive(Default)]
struct DirNode {
    now: BTreeMap<String, u64>,
    synced: BTreeMap<String, u64>,
    /// Changes of names since the last sync; each is done at once or not at all.
    unsynced: Vec<Vec<(String, Option<u64>)>>,
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Write::Len(len) => bytes.resize(*len, 0),
            Write::Bytes(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }

    /// What a power cut may leave of it.
    fn torn(&self, random: &mut Random) -> Vec<Write> {
        let Write::Bytes(offset, data) = self else {
            return vec![];
        };
        let mut at = 0;
        let mut kept = vec![];
        while at < data.len() {
            let to_sector = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
            let end = data.len().min(at + to_sector);
            if random.one_in(2) {
                // A byte, half a sector, or all of it.
                let len = match random.between(0, 3) {
                    0 => usize::try_from(random.between(1, (end - at) as u64)).unwrap(),
                    _ => end - at,
                };
                kept.push(Write::Bytes(offset + at, data[at..at + len].to_vec()));
            }
            at = end;
        }
        kept
    }
}

impl DirNode {
    fn change(&mut self, names: Vec<(String, Option<u64>)>) {
        apply_names(&mut self.now, &names);
        self.unsynced.push(names);
    }
}

fn apply_names(dir: &mut BTreeMap<String, u64>, names: &[(String, Option<u64>)]) {
    for (name, node) in names {
        match node {
            Some(node) => dir.insert(name.clone(), *node),
            None => dir.remove(name),
        };
    }
}

fn not_found() -> io::Error {
    ErrorKind::NotFound.into()
}

fn broken() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn full() -> io::Error {
    ErrorKind::StorageFull.into()
}

const ROOT: u64 = 0;

impl SimDisk {
    /// An empty disk whose files are below `mount`.
    pub(crate) fn new(mount: &Path, seed: u64) -> SimDisk {
        let root = Node::Dir(DirNode::default());
        let state = State {
            mount: mount.to_owned(),
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            generation: 0,
            locks: BTreeMap::new(),
            random: Random::new(seed),
            faults: Faults::default(),
            faulty: false,
            failed_syncs: vec![],
            off: false,
            operations: 0,
            trace: DefaultHasher::new(),
            others: None,
        };
        SimDisk {
            state: Arc::new(Mutex::new(state)),
            generation: 0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets things go wrong from now on, or right again.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The bytes of all files that have a name.
    pub(crate) fn used_bytes(&self) -> usize {
        self.state().used_bytes()
    }

    /// Calls this after each write of this process to a file, unless that may be one in which
    /// others would wait: to the reserve of room, or on a disk where that is used.
    pub(crate) fn set_others(&self, others: Option<Others>) {
        self.state().others = others;
    }

    /// Whether the power is out.
    pub(crate) fn is_off(&self) -> bool {
        self.state().off
    }

    /// The names that files have whose sync has failed.
    pub(crate) fn failed_syncs(&self) -> Vec<String> {
        let state = self.state();
        let dirs = state.nodes.values().filter_map(|node| match node {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        });
        dirs.flat_map(|dir| &dir.now)
            .filter(|(_, node)| state.failed_syncs.contains(node))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// How many operations have changed something, or tried to.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// A number that stands for everything that was done so far.
    pub(crate) fn trace(&self) -> u64 {
        self.state().trace.finish()
    }

    /// The file at `path`, or every file below it, as it is read now.
    pub(crate) fn tree(&self, path: &Path) -> Tree {
        let state = self.state();
        let mut tree = Tree::new();
        if let Ok(node) = state.find(path) {
            state.collect(node, path, &mut tree);
        }
        tree
    }

    /// Replaces what is at `path` by `tree`, which is of this place; it is synced.
    pub(crate) fn put(&self, path: &Path, tree: &Tree) -> io::Result<()> {
        for old in self.tree(path).keys() {
            self.remove_file(old)?;
            self.sync_dir(old.parent().unwrap())?;
        }
        for (path, bytes) in tree {
            self.create_dirs(path.parent().unwrap())?;
            let file = self.open(path, OpenHow::Replace)?;
            file.write_all_at(bytes, 0)?;
            file.sync()?;
            self.sync_dir(path.parent().unwrap())?;
        }
        Ok(())
    }

    /// Turns a bit of a file, on the disk and for everybody who reads it.
    pub(crate) fn flip(&self, path: &Path, at: usize, bit: u8) {
        let mut state = self.state();
        let node = state.find(path).unwrap();
        let file = state.file(node).unwrap();
        for bytes in [&mut file.now, &mut file.synced] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        }
    }

    /// The process is killed: nothing that it wrote is lost. The disk for the next one.
    pub(crate) fn killed(&self) -> SimDisk {
        let mut state = self.state();
        state.begin_again();
        SimDisk {
            state: self.state.clone(),
            generation: state.generation,
        }
    }

    /// The power is cut. The disk for the next process.
    pub(crate) fn cut(&self, how: Cut) -> SimDisk {
        let mut state = self.state();
        state.cut(how);
        state.begin_again();
        SimDisk {
            state: self.state.clone(),
            generation: state.generation,
        }
    }
}

impl State {
    fn used_bytes(&self) -> usize {
        let mut dirs = vec![ROOT];
        let mut used = 0;
        while let Some(dir) = dirs.pop() {
            let Node::Dir(dir) = &self.nodes[&dir] else {
                continue;
            };
            for node in dir.now.values() {
                match &self.nodes[node] {
                    Node::File(file) => used += file.now.len(),
                    Node::Dir(_) => dirs.push(*node),
                }
            }
        }
        used
    }

    fn collect(&self, node: u64, path: &Path, tree: &mut Tree) {
        match &self.nodes[&node] {
            Node::File(file) => drop(tree.insert(path.to_owned(), file.now.clone())),
            Node::Dir(dir) => {
                for (name, node) in &dir.now {
                    self.collect(*node, &path.join(name), tree);
                }
            }
        }
    }

    fn begin_again(&mut self) {
        self.generation += 1;
        self.off = false;
        self.faults = Faults::default();
        self.others = None;
        self.locks.clear();
    }

    fn cut(&mut self, how: Cut) {
        let State { nodes, random, .. } = self;
        for node in nodes.values_mut() {
            match node {
                Node::File(file) => {
                    for write in std::mem::take(&mut file.unsynced) {
                        let keeps = match how {
                            Cut::All => 0,
                            Cut::None => 1,
                            Cut::Some => random.between(0, 2),
                        };
                        match keeps {
                            0 => write.apply(&mut file.synced),
                            1 => {}
                            _ => {
                                for part in write.torn(random) {
                                    part.apply(&mut file.synced);
                                }
                            }
                        }
                    }
                    file.now.clone_from(&file.synced);
                }
                Node::Dir(dir) => {
                    let changes = std::mem::take(&mut dir.unsynced);
                    let kept = match how {
                        Cut::All => changes.len() as u64,
                        Cut::None => 0,
                        Cut::Some => random.between(0, changes.len() as u64),
                    };
                    for names in changes.iter().take(usize::try_from(kept).unwrap()) {
                        apply_names(&mut dir.synced, names);
                    }
                    dir.now.clone_from(&dir.synced);
                }
            }
        }
    }

    /// Counts an operation that changes something; the power may go out at it.
    fn operate(&mut self, what: &str, path: &Path, len: usize) -> io::Result<()> {
        if self.off {
            return Err(broken());
        }
        self.operations += 1;
        let name = path.strip_prefix(&self.mount).unwrap_or(path);
        (what, name, len).hash(&mut self.trace);
        let faults = &mut self.faults;
        self.faulty = faults.after == 0 && faults.lasting != Some(0);
        if faults.after > 0 {
            faults.after -= 1;
        } else if let Some(left) = &mut faults.lasting {
            *left = left.saturating_sub(1);
        }
        if let Some(left) = &mut self.faults.power_after {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => self.off = true,
            }
        }
        Ok(())
    }

    /// Whether the sync under way fails.
    fn sync_fails(&mut self) -> bool {
        self.faulty && (std::mem::take(&mut self.faults.next_sync) || self.faults.syncs)
    }

    /// After what an operation did: the process does not hear of it when the power is out.
    fn told<T>(&self, done: T) -> io::Result<T> {
        if self.off { Err(broken()) } else { Ok(done) }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        let below = path.strip_prefix(&self.mount).map_err(|_| not_found())?;
        let mut node = ROOT;
        for name in below.components() {
            let name = name.as_os_str().to_str().unwrap();
            node = *self.dir(node)?.now.get(name).ok_or_else(not_found)?;
        }
        Ok(node)
    }

    fn dir(&self, node: u64) -> io::Result<&DirNode> {
        match &self.nodes[&node] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, node: u64) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(&node).unwrap() {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, node: u64) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&node).unwrap() {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The folder that a path is in, and its name there.
    fn place(&self, path: &Path) -> io::Result<(u64, String)> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok((self.find(path.parent().unwrap())?, name))
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<u64> {
        if self.faulty && self.faults.writes {
            return Err(broken());
        }
        if self.faulty && self.faults.room_bytes == Some(0) {
            return Err(full());
        }
        let (dir, name) = self.place(path)?;
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, node);
        self.dir_mut(dir)?.change(vec![(name, Some(number))]);
        Ok(number)
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Files for SimDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn StoredFile>> {
        let mut state = self.state();
        if state.off {
            return Err(broken());
        }
        let node = match state.find(path) {
            Ok(node) => {
                if how == OpenHow::Replace {
                    state.operate("truncate", path, 0)?;
                    let file = state.file(node)?;
                    file.now.clear();
                    file.unsynced.push(Write::Len(0));
                }
                node
            }
            Err(_) if matches!(how, OpenHow::Create | OpenHow::Replace) => {
                state.operate("create", path, 0)?;
                state.add(path, Node::File(FileNode::default()))?
            }
            Err(error) => return Err(error),
        };
        state.file(node)?;
        state.told(Box::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            node,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.told(())?;
        let node = state.find(dir)?;
        Ok(state.dir(node)?.now.keys().cloned().collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        state.told(state.find(path).is_ok())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.find(dir).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.operate("create folder", dir, 0)?;
        state.add(dir, Node::Dir(DirNode::default()))?;
        state.told(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.find(path)?;
        state.operate("remove", path, 0)?;
        state.file(node)?;
        let (dir, name) = state.place(path)?;
        state.dir_mut(dir)?.change(vec![(name, None)]);
        state.told(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let names = match self.list(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        for name in names {
            let path = dir.join(name);
            let is_dir = {
                let state = self.state();
                let node = state.find(&path)?;
                state.dir(node).is_ok()
            };
            if is_dir {
                self.remove_dir(&path)?;
            } else {
                self.remove_file(&path)?;
            }
        }
        let mut state = self.state();
        state.operate("remove folder", dir, 0)?;
        let (parent, name) = state.place(dir)?;
        state.dir_mut(parent)?.change(vec![(name, None)]);
        state.told(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(from.parent(), to.parent(), "files stay in their folder");
        let mut state = self.state();
        let node = state.find(from)?;
        state.operate("rename", from, 0)?;
        if state.faulty && state.faults.writes {
            return Err(broken());
        }
        if let Ok(there) = state.find(to)
            && state.dir(there).is_ok_and(|dir| !dir.now.is_empty())
        {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, old) = state.place(from)?;
        let (_, new) = state.place(to)?;
        let names = vec![(old, None), (new, Some(node))];
        state.dir_mut(dir)?.change(names);
        state.told(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.find(dir)?;
        state.operate("sync folder", dir, 0)?;
        let fails = state.off || state.sync_fails() || state.faults.folder_syncs;
        if fails {
            return Err(broken());
        }
        let dir = state.dir_mut(node)?;
        dir.unsynced.clear();
        dir.synced.clone_from(&dir.now);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Held> {
        self.open(path, OpenHow::Create)?;
        let mut state = self.state();
        let held = state.locks.get(path).and_then(Weak::upgrade);
        if held.is_some() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let lock = Arc::new(());
        state.locks.insert(path.to_owned(), Arc::downgrade(&lock));
        Ok(Box::new(lock))
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    node: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.off || state.generation != self.disk.generation {
            return Err(broken());
        }
        Ok(state)
    }

    /// Takes in what was written, and lets others go on.
    fn written<T>(&self, mut state: MutexGuard<'_, State>, write: Write, done: T) -> io::Result<T> {
        let file = state.file(self.node)?;
        write.apply(&mut file.now);
        file.unsynced.push(write);
        let faults = &state.faults;
        let alone = self.path.ends_with("reserve")
            || faults.room_bytes.is_some()
            || faults.capacity_bytes.is_some();
        let others = state.others.clone().filter(|_| !alone);
        drop(state);
        if let Some(others) = others {
            others();
        }
        self.disk.state().told(done)
    }

    /// How much of `len` bytes is done at once.
    fn some(state: &mut State, len: usize) -> usize {
        if !state.faults.short || len < 2 {
            return len;
        }
        usize::try_from(state.random.between(1, len as u64)).unwrap()
    }
}

impl StoredFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        if state.faults.reads {
            return Err(broken());
        }
        let most = SimFile::some(&mut state, bytes.len());
        let now = &state.file(self.node)?.now;
        let offset = usize::try_from(offset).unwrap().min(now.len());
        let len = most.min(now.len() - offset);
        bytes[..len].copy_from_slice(&now[offset..offset + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        state.operate("write", &self.path, bytes.len())?;
        if state.faulty && state.faults.writes {
            return Err(broken());
        }
        let mut len = SimFile::some(&mut state, bytes.len());
        if state.faulty
            && let Some(room) = &mut state.faults.room_bytes
        {
            len = len.min(*room);
            *room -= len;
            if len == 0 && !bytes.is_empty() {
                return Err(full());
            }
        }
        if state.faulty
            && let Some(capacity) = state.faults.capacity_bytes
        {
            let room = capacity.saturating_sub(state.used_bytes());
            let there = state.file(self.node)?.now.len();
            let to_end = there.saturating_sub(usize::try_from(offset).unwrap());
            len = len.min(to_end + room);
            if len == 0 && !bytes.is_empty() {
                return Err(full());
            }
        }
        let write = Write::Bytes(usize::try_from(offset).unwrap(), bytes[..len].to_vec());
        self.written(state, write, len)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        Ok(state.file(self.node)?.now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.operate("set length", &self.path, 0)?;
        if state.faulty && state.faults.writes {
            return Err(broken());
        }
        let write = Write::Len(usize::try_from(len).unwrap());
        self.written(state, write, ())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.operate("sync", &self.path, 0)?;
        let fails = state.off || state.sync_fails();
        if fails {
            state.failed_syncs.push(self.node);
        }
        let State { nodes, random, .. } = &mut *state;
        let Some(Node::File(file)) = nodes.get_mut(&self.node) else {
            return Err(not_found());
        };
        for write in std::mem::take(&mut file.unsynced) {
            if !fails || random.one_in(2) {
                write.apply(&mut file.synced);
            }
        }
        if fails { Err(broken()) } else { Ok(()) }
    }
}

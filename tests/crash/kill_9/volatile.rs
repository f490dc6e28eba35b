//! A disk with a volatile cache, as strict as POSIX allows: what was synced is there after a
//! power cut; of what was only written any part may be.
//!
//! | what | after a power cut |
//! |---|---|
//! | bytes written, not synced | each sector of 512 bytes as it was at any moment since the last sync; one may be torn at any byte |
//! | a length that changed, not synced | that of any moment since; what is new and was not written holds zeros, or anything |
//! | a name created, renamed or removed | as it was at any moment since its folder was synced; a rename is done or not |
//!
//! A sync counts when it has ended, for what was done before it began. A file's own sync makes
//! none of its names durable.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::Entry;
use crate::kill_9::random::Random;

const SECTOR_BYTES: usize = 512;

/// See the module.
pub(crate) struct Disk {
    nodes: Vec<Node>,
    /// Which node has an inode number now.
    inodes: HashMap<u64, usize>,
    /// What each sync that has not ended covers: a node and its changes before this moment.
    syncs: HashMap<u64, (usize, u64)>,
    moment: u64,
    /// The bytes of each file that were synced at the last power cut, before a change behind.
    synced: HashMap<PathBuf, u64>,
}

enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<(u64, Change)>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Default)]
struct Folder {
    durable: BTreeMap<String, usize>,
    pending: Vec<(u64, Naming)>,
}

enum Naming {
    Add { name: String, node: usize },
    Remove { name: String },
    Rename { from: String, to: String },
}

/// How much of what was not synced outlives a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Luck {
    All,
    None,
    Some,
}

impl Disk {
    /// The disk as it is in `root`, where everything is durable.
    pub(crate) fn of(root: &Path) -> Disk {
        let mut disk = Disk {
            nodes: vec![],
            inodes: HashMap::new(),
            syncs: HashMap::new(),
            moment: 0,
            synced: HashMap::new(),
        };
        disk.read(root);
        disk
    }

    fn read(&mut self, path: &Path) -> usize {
        let facts = fs::metadata(path).unwrap();
        let number = self.nodes.len();
        self.inodes.insert(facts.ino(), number);
        if !facts.is_dir() {
            let durable = fs::read(path).unwrap();
            self.nodes.push(Node::File(File {
                durable,
                pending: vec![],
            }));
            return number;
        }
        self.nodes.push(Node::Folder(Folder::default()));
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let node = self.read(&entry.path());
            let name = entry.file_name().into_string().unwrap();
            self.folder(number).durable.insert(name, node);
        }
        number
    }

    fn folder(&mut self, node: usize) -> &mut Folder {
        match &mut self.nodes[node] {
            Node::Folder(folder) => folder,
            Node::File(_) => panic!("a file is used as a folder"),
        }
    }

    /// Does what the server did.
    pub(crate) fn replay(&mut self, entries: Vec<Entry>) {
        // A sync that had not ended when its process was killed never will.
        self.syncs.clear();
        for entry in entries {
            self.moment += 1;
            match entry {
                Entry::Create {
                    folder,
                    inode,
                    name,
                } => {
                    let node = self.add(inode, Node::File(File::default()));
                    self.name(folder, Naming::Add { name, node });
                }
                Entry::MakeFolder {
                    folder,
                    inode,
                    name,
                } => {
                    let node = self.add(inode, Node::Folder(Folder::default()));
                    self.name(folder, Naming::Add { name, node });
                }
                Entry::Link {
                    folder,
                    inode,
                    name,
                } => {
                    let node = self.inodes[&inode];
                    self.name(folder, Naming::Add { name, node });
                }
                Entry::Rename { folder, from, to } => {
                    self.name(folder, Naming::Rename { from, to });
                }
                Entry::Unlink { folder, name } => self.name(folder, Naming::Remove { name }),
                Entry::Write { inode, at, bytes } => {
                    let at = usize::try_from(at).unwrap();
                    self.change(inode, Change::Write { at, bytes });
                }
                Entry::Truncate { inode, len } => {
                    let len = usize::try_from(len).unwrap();
                    self.change(inode, Change::Truncate { len });
                }
                Entry::SyncBegins { inode, number } => {
                    self.syncs
                        .insert(number, (self.inodes[&inode], self.moment));
                }
                Entry::SyncEnds { number } => {
                    let (node, before) = self.syncs.remove(&number).unwrap();
                    match &mut self.nodes[node] {
                        Node::File(file) => file.sync(before),
                        Node::Folder(folder) => folder.sync(before),
                    }
                }
            }
        }
    }

    fn add(&mut self, inode: u64, node: Node) -> usize {
        self.nodes.push(node);
        self.inodes.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn name(&mut self, folder: u64, naming: Naming) {
        let (folder, moment) = (self.inodes[&folder], self.moment);
        self.folder(folder).pending.push((moment, naming));
    }

    fn change(&mut self, inode: u64, change: Change) {
        match &mut self.nodes[self.inodes[&inode]] {
            Node::File(file) => file.pending.push((self.moment, change)),
            Node::Folder(_) => panic!("bytes are written to a folder"),
        }
    }

    /// Cuts the power, and leaves in `root` what the disk has then.
    pub(crate) fn cut(&mut self, root: &Path, random: &mut Random) {
        let luck = random.of(&[Luck::All, Luck::None, Luck::Some, Luck::Some, Luck::Some]);
        clear(root);
        self.synced.clear();
        self.leave(0, root, luck, random);
        let synced = std::mem::take(&mut self.synced);
        *self = Disk {
            synced,
            ..Disk::of(root)
        };
    }

    fn leave(&mut self, node: usize, path: &Path, luck: Luck, random: &mut Random) {
        match &self.nodes[node] {
            Node::File(file) => {
                let (bytes, synced) = file.after(luck, random);
                fs::write(path, bytes).unwrap();
                self.synced.insert(path.to_owned(), synced);
            }
            Node::Folder(folder) => {
                if !path.exists() {
                    fs::create_dir(path).unwrap();
                }
                for (name, node) in folder.after(luck, random) {
                    self.leave(node, &path.join(name), luck, random);
                }
            }
        }
    }

    /// Up to where a file had been synced before the last power cut.
    pub(crate) fn synced_bytes(&self, path: &Path) -> Option<u64> {
        self.synced.get(path).copied()
    }
}

fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
}

/// How many of `count` changes, made one after the other, are there.
fn reached(count: usize, luck: Luck, random: &mut Random) -> usize {
    match luck {
        Luck::All => count,
        Luck::None => 0,
        Luck::Some => match random.between(0, 3) {
            0 => 0,
            1 => count,
            _ => random.between(0, count),
        },
    }
}

impl Folder {
    fn sync(&mut self, before: u64) {
        let behind = self.pending.partition_point(|(moment, _)| *moment < before);
        for (_, naming) in self.pending.drain(..behind) {
            naming.apply(&mut self.durable);
        }
    }

    fn after(&self, luck: Luck, random: &mut Random) -> BTreeMap<String, usize> {
        let mut names = self.durable.clone();
        let count = reached(self.pending.len(), luck, random);
        for (_, naming) in &self.pending[..count] {
            naming.apply(&mut names);
        }
        names
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Naming::Add { name, node } => {
                names.insert(name.clone(), *node);
            }
            Naming::Remove { name } => {
                names.remove(name);
            }
            Naming::Rename { from, to } => {
                let node = names.remove(from).expect("what is renamed is there");
                names.insert(to.clone(), node);
            }
        }
    }
}

impl Change {
    /// The bytes that it changes in a file of `len` bytes, and the length that it leads to.
    fn reach(&self, len: usize) -> (std::ops::Range<usize>, usize) {
        match self {
            Change::Write { at, bytes } => {
                let end = at + bytes.len();
                (*at..end, len.max(end))
            }
            // What is cut off, and what comes back as zeros.
            Change::Truncate { len: to } => ((*to).min(len)..(*to).max(len), *to),
        }
    }

    /// What it puts into `range`, which it reaches.
    fn put(&self, range: std::ops::Range<usize>, into: &mut [u8]) {
        match self {
            Change::Write { at, bytes } => {
                into[range.clone()].copy_from_slice(&bytes[range.start - at..range.end - at]);
            }
            Change::Truncate { .. } => into[range].fill(0),
        }
    }
}

impl File {
    fn sync(&mut self, before: u64) {
        let behind = self.pending.partition_point(|(moment, _)| *moment < before);
        for (_, change) in self.pending.drain(..behind) {
            let (range, len) = change.reach(self.durable.len());
            if self.durable.len() < range.end {
                self.durable.resize(range.end, 0);
            }
            change.put(range, &mut self.durable);
            self.durable.resize(len, 0);
        }
    }

    /// What the disk has, and where the first byte is that was not synced.
    fn after(&self, luck: Luck, random: &mut Random) -> (Vec<u8>, u64) {
        let luck = match luck {
            Luck::Some => random.of(&[Luck::All, Luck::None, Luck::Some, Luck::Some]),
            luck => luck,
        };
        let mut bytes = self.durable.clone();
        let mut lengths = vec![bytes.len()];
        let mut synced = bytes.len();
        let mut longest = bytes.len();
        for (_, change) in &self.pending {
            let (range, len) = change.reach(lengths[lengths.len() - 1]);
            lengths.push(len);
            longest = longest.max(range.end).max(len);
            synced = synced.min(range.start);
        }
        let garbage = random.one_in(3);
        bytes.resize_with(longest, || match garbage {
            true => u8::try_from(random.next() & 0xff).unwrap(),
            false => 0,
        });
        // How many of the changes each sector has seen.
        let count = self.pending.len();
        let mut seen: HashMap<usize, usize> = HashMap::new();
        let torn = random
            .one_in(2)
            .then(|| random.between(0, longest / SECTOR_BYTES));
        let mut before_tear = vec![];
        for (number, (_, change)) in self.pending.iter().enumerate() {
            let (range, _) = change.reach(lengths[number]);
            let mut from = range.start;
            while from < range.end {
                let sector = from / SECTOR_BYTES;
                let to = range.end.min((sector + 1) * SECTOR_BYTES);
                let seen = *seen
                    .entry(sector)
                    .or_insert_with(|| reached(count, luck, random));
                if number < seen {
                    if torn == Some(sector) && before_tear.is_empty() {
                        before_tear = sector_of(&bytes, sector).to_vec();
                    }
                    change.put(from..to, &mut bytes);
                }
                from = to;
            }
        }
        if luck == Luck::Some && !before_tear.is_empty() {
            let sector = torn.expect("a sector was torn");
            let start = sector * SECTOR_BYTES;
            let tear = random.between(0, before_tear.len());
            bytes[start + tear..start + before_tear.len()].copy_from_slice(&before_tear[tear..]);
        }
        let len = lengths[reached(count, luck, random)];
        bytes.truncate(len);
        (bytes, synced.try_into().unwrap())
    }
}

fn sector_of(bytes: &[u8], sector: usize) -> &[u8] {
    let start = sector * SECTOR_BYTES;
    &bytes[start..bytes.len().min(start + SECTOR_BYTES)]
}

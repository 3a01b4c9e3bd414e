//! Sequence CRDTs on our own use: a text of some kilobytes, one change for each save, a few authors who do not always know
//! of each other. `cargo run` here prints the table of docs/decisions/text.md.
//!
//! Every library gets the same edits. It has to keep all of them, and at the end all of its replicas must show one text.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A replica of one text, as a node has it.
trait Text: Sized {
    const NAME: &'static str;
    /// A text that was made on one node, as `author` has it.
    fn load(state: &[u8], author: u64) -> Self;
    fn make(text: &str) -> Vec<u8>;
    fn show(&self) -> String;
    /// One save: at this character so many go and these come. Gives what travels.
    fn save(&mut self, number: usize, at: usize, gone: usize, new: &str) -> Vec<u8>;
    fn take(&mut self, change: &[u8]);
    fn keep(&self) -> Vec<u8>;
    /// What else there is to say, for the reader of the table.
    fn remark(&self) -> Option<String> {
        None
    }
}

struct Yrs(yrs::Doc);

impl Text for Yrs {
    const NAME: &'static str = "yrs";

    fn make(text: &str) -> Vec<u8> {
        use yrs::{ReadTxn, Text, Transact};
        let doc = Self::doc(0);
        let root = doc.get_or_insert_text("t");
        root.push(&mut doc.transact_mut(), text);
        let txn = doc.transact();
        txn.encode_state_as_update_v1(&Default::default())
    }

    fn load(state: &[u8], author: u64) -> Self {
        let mut replica = Self(Self::doc(author));
        replica.take(state);
        replica
    }

    fn show(&self) -> String {
        use yrs::{GetString, Transact};
        let root = self.0.get_or_insert_text("t");
        let txn = self.0.transact();
        root.get_string(&txn)
    }

    fn save(&mut self, _: usize, at: usize, gone: usize, new: &str) -> Vec<u8> {
        use yrs::{Text, Transact};
        let root = self.0.get_or_insert_text("t");
        let mut txn = self.0.transact_mut();
        root.remove_range(&mut txn, at as u32, gone as u32);
        root.insert(&mut txn, at as u32, new);
        txn.encode_update_v1()
    }

    fn take(&mut self, change: &[u8]) {
        use yrs::updates::decoder::Decode;
        use yrs::{Transact, Update};
        let update = Update::decode_v1(change).expect("an update");
        self.0.transact_mut().apply_update(update).expect("it applies");
    }

    fn keep(&self) -> Vec<u8> {
        use yrs::{ReadTxn, Transact};
        self.0.transact().encode_state_as_update_v1(&Default::default())
    }
}

impl Yrs {
    fn doc(author: u64) -> yrs::Doc {
        yrs::Doc::with_client_id(author + 1)
    }
}

struct Loro(loro::LoroDoc);

impl Text for Loro {
    const NAME: &'static str = "loro";

    fn make(text: &str) -> Vec<u8> {
        let doc = loro::LoroDoc::new();
        doc.set_peer_id(1).expect("an id");
        doc.get_text("t").insert(0, text).expect("it is inserted");
        doc.commit();
        doc.export(loro::ExportMode::Snapshot).expect("it is written")
    }

    fn load(state: &[u8], author: u64) -> Self {
        let doc = loro::LoroDoc::new();
        doc.set_peer_id(author + 2).expect("an id");
        doc.import(state).expect("it is read");
        Self(doc)
    }

    fn show(&self) -> String {
        self.0.get_text("t").to_string()
    }

    fn save(&mut self, _: usize, at: usize, gone: usize, new: &str) -> Vec<u8> {
        let before = self.0.oplog_vv();
        let text = self.0.get_text("t");
        text.delete(at, gone).expect("it is there");
        text.insert(at, new).expect("it is inserted");
        self.0.commit();
        self.0.export(loro::ExportMode::updates(&before)).expect("it is written")
    }

    fn take(&mut self, change: &[u8]) {
        self.0.import(change).expect("it is read");
    }

    fn keep(&self) -> Vec<u8> {
        self.0.export(loro::ExportMode::Snapshot).expect("it is written")
    }
}

struct Automerge(automerge::AutoCommit, automerge::ObjId);

impl Text for Automerge {
    const NAME: &'static str = "automerge";

    fn make(text: &str) -> Vec<u8> {
        use automerge::transaction::Transactable;
        let mut doc = automerge::AutoCommit::new().with_actor(automerge::ActorId::from([0]));
        let root = doc.put_object(automerge::ROOT, "t", automerge::ObjType::Text).expect("it is made");
        doc.splice_text(&root, 0, 0, text).expect("it is inserted");
        doc.save()
    }

    fn load(state: &[u8], author: u64) -> Self {
        use automerge::ReadDoc;
        let doc = automerge::AutoCommit::load(state).expect("it is read");
        let doc = doc.with_actor(automerge::ActorId::from([author as u8 + 1]));
        let (_, root) = doc.get(automerge::ROOT, "t").expect("it is read").expect("it is there");
        Self(doc, root)
    }

    fn show(&self) -> String {
        use automerge::ReadDoc;
        self.0.text(&self.1).expect("a text")
    }

    fn save(&mut self, _: usize, at: usize, gone: usize, new: &str) -> Vec<u8> {
        use automerge::transaction::Transactable;
        self.0.splice_text(&self.1, at, gone as isize, new).expect("it is changed");
        self.0.save_incremental()
    }

    fn take(&mut self, change: &[u8]) {
        self.0.load_incremental(change).expect("it is read");
        // what came is no change of this replica's own
        self.0.save_incremental();
    }

    fn keep(&self) -> Vec<u8> {
        self.0.clone().save()
    }
}

/// What outpost has: the whole record is kept and read, and an edit travels as a change of it.
struct Outpost {
    state: outpost::domain::record::State,
    author: u64,
    /// How often the text was written whole, and how many values that left behind as lost.
    whole: usize,
    lost: usize,
}

mod own {
    pub use outpost::domain::clock::Hlc;
    pub use outpost::domain::ids::{NodeId, SaveId};
    pub use outpost::domain::path::Path;
    pub use outpost::domain::record::pack::{Dictionary, Values, pack, unpack};
    pub use outpost::domain::record::{Act, Change, Content, Cover, State, edit_key};
    pub use outpost::domain::stamp::{Author, Stamp};
}

impl Outpost {
    fn apply(&mut self, changes: &[own::Change], author: u64, number: usize) {
        let by = own::Author { node: own::NodeId(author), ..Default::default() };
        let stamp = own::Stamp::new(own::Hlc::at(number as i64 + 1), by, own::SaveId((number as u128) << 96));
        let seen = |_: &own::Path, _: own::Stamp| false;
        self.lost += self.state.apply(changes, stamp, number as u64 + 1, &seen).lost.len();
    }

    fn encode(&self) -> Vec<u8> {
        let mut dictionary = own::Dictionary::default();
        let document = self.state.document().value.to_string();
        let packed = own::pack(&self.state, 20_000, own::Values::Beside, &mut dictionary);
        let mut out = serde_json::to_vec(&(dictionary, document)).expect("JSON");
        out.push(0);
        out.extend(packed);
        out
    }
}

impl Text for Outpost {
    const NAME: &'static str = "outpost";

    fn make(text: &str) -> Vec<u8> {
        let mut replica = Self { state: own::State::default(), author: 0, whole: 0, lost: 0 };
        let content = own::Content::json(serde_json::json!({ "t": text }));
        let change =
            own::Change { path: own::Path::root(), act: own::Act::Set(content), replaces: own::Cover::nothing() };
        replica.apply(&[change], 0, 0);
        replica.encode()
    }

    fn load(state: &[u8], author: u64) -> Self {
        let cut = state.iter().position(|byte| *byte == 0).expect("two parts");
        let (dictionary, document): (own::Dictionary, String) = serde_json::from_slice(&state[..cut]).expect("JSON");
        let (authors, names) = (dictionary.authors().to_vec(), dictionary.names().to_vec());
        let dictionary = own::Dictionary::of(authors, names);
        let document = serde_json::from_str(&document).expect("JSON");
        let state = own::unpack(&state[cut + 1..], 20_000, Some(document), &dictionary).expect("it is read");
        Self { state, author, whole: 0, lost: 0 }
    }

    fn show(&self) -> String {
        self.state.document().value["t"].as_str().expect("a text").to_owned()
    }

    fn save(&mut self, number: usize, at: usize, gone: usize, new: &str) -> Vec<u8> {
        let mut text: Vec<char> = self.show().chars().collect();
        text.splice(at..at + gone, new.chars());
        let text: String = text.into_iter().collect();
        let path = own::Path::root().property("t");
        let (path, content) = match self.state.text_edit(&path, &text) {
            Some(edit) => (path.item(&own::edit_key(&format!("{number:032x}"))), own::Content::json(edit)),
            None => {
                self.whole += 1;
                (path, own::Content::json(serde_json::json!(text)))
            }
        };
        let change = own::Change { replaces: self.state.cover(&path), path, act: own::Act::Set(content) };
        let bytes = serde_json::to_vec(&(self.author, number, [change])).expect("JSON");
        self.take(&bytes);
        bytes
    }

    fn take(&mut self, change: &[u8]) {
        let (author, number, changes): (u64, usize, Vec<own::Change>) = serde_json::from_slice(change).expect("JSON");
        self.apply(&changes, author, number + 1);
    }

    fn keep(&self) -> Vec<u8> {
        self.encode()
    }

    fn remark(&self) -> Option<String> {
        Some(format!("one of the authors wrote the text whole {} times and has {} lost values", self.whole, self.lost))
    }
}

/// Numbers that look random and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

const AUTHORS: usize = 4;

fn run<T: Text>(start: usize, most: usize, edits: usize) {
    let mut chance = Chance(7);
    let word = |chance: &mut Chance| {
        let length = 2 + chance.below(8);
        (0..length).map(|_| (b'a' + chance.below(26) as u8) as char).chain([' ']).collect::<String>()
    };
    let mut text = String::new();
    while text.len() < start {
        text += &word(&mut chance);
    }
    let made = T::make(&text);
    let mut replicas: Vec<T> = (0..AUTHORS).map(|author| T::load(&made, author as u64)).collect();
    let mut waiting: Vec<Vec<Vec<u8>>> = vec![Vec::new(); AUTHORS];
    let (mut travelled, mut taken, mut taking, mut saving) = (0, 0, 0.0, 0.0);
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    for number in 0..edits {
        let who = chance.below(AUTHORS);
        // three of four saves are made with all before in sight
        if chance.below(4) != 0 {
            for change in std::mem::take(&mut waiting[who]) {
                let began = Instant::now();
                replicas[who].take(&change);
                taking += began.elapsed().as_secs_f64();
                taken += 1;
            }
        }
        let length = replicas[who].show().chars().count();
        let at = chance.below(length + 1);
        let gone = if length > most { 60 } else { chance.below(3) * chance.below(20) }.min(length - at);
        let new: String = (0..1 + chance.below(6)).map(|_| word(&mut chance)).collect();
        let began = Instant::now();
        let change = replicas[who].save(number, at, gone, &new);
        saving += began.elapsed().as_secs_f64();
        travelled += change.len();
        for (other, waiting) in waiting.iter_mut().enumerate() {
            if other != who {
                waiting.push(change.clone());
            }
        }
    }
    for (replica, waiting) in replicas.iter_mut().zip(waiting) {
        waiting.iter().for_each(|change| replica.take(change));
    }
    let peak = PEAK.load(Relaxed) - before;
    let shown: Vec<String> = replicas.iter().map(T::show).collect();
    let agree = shown.iter().all(|other| *other == shown[0]);
    let kept = replicas[0].keep();
    if let Some(remark) = replicas[0].remark() {
        eprintln!("{}, {edits} edits: {remark}", T::NAME);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert!(!T::load(&kept, 9).show().is_empty());
    }
    let load = began.elapsed().as_secs_f64() / 20.0;
    println!(
        "| {} | {edits} | {} | {} | {} | {:.0} | {:.0} | {:.2} | {:.1} | {} |",
        T::NAME,
        shown[0].len(),
        kept.len(),
        travelled / edits,
        1e6 * saving / edits as f64,
        1e6 * taking / f64::from(taken),
        1e3 * load,
        peak as f64 / 1e6 / AUTHORS as f64,
        if agree { "yes" } else { "NO" },
    );
}

fn main() {
    println!(
        "| | edits | text, bytes | kept, bytes | bytes a save | to save, µs | to take, µs | load and show, ms | peak, MB | agree |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (start, most, edits) in
        [(1_000, 2_000, 30), (3_000, 5_000, 300), (5_000, 10_000, 2_000), (5_000, 10_000, 10_000)]
    {
        run::<Yrs>(start, most, edits);
        run::<Loro>(start, most, edits);
        // it takes minutes for more
        if edits <= 2_000 {
            run::<Automerge>(start, most, edits);
        }
        run::<Outpost>(start, most, edits);
    }
}

//! Runs a target over many inputs: counts memory, catches panics, and tells the input that did it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Counts what a thread holds, and the most it ever held.
pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // a thread that ends counts no more
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all is done by the system's allocator; beside it only numbers of this thread are changed, without allocating
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// The most bytes that were held at once while something was done, beside what was held before.
pub fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    let done = work();
    (done, usize::try_from(MOST.with(Cell::get) - before).unwrap_or(0))
}

/// Dice that fall alike for the same number.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, index: u64) -> Self {
        Self(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is more than 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const SEED: u64 = 0x6f75_7470_6f73_7431;
/// How many inputs each target gets without being told.
const INPUTS: u64 = 4_000;
/// As much as a thread that serves has, so that what overflows there overflows here.
const STACK: usize = 2 << 20;
/// Whatever the input: what our decoders may reserve before they see that nothing follows.
const RESERVED: usize = 8 << 20;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// What a target made of an input: how many bytes it stands for unpacked, and the most it may hold for each of them.
pub struct Taken {
    pub size: usize,
    pub each: usize,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// Feeds a target: `make` makes an input of dice, `take` takes it.
///
/// `OUTPOST_FUZZ` says how many inputs, over all `targets` targets. `OUTPOST_FUZZ_AT` runs the one of that number. A stack
/// that overflows ends the process at once: then the number stands in the file that is named below, and is run first
/// next time.
pub fn run(
    name: &'static str,
    targets: u64,
    make: impl Fn(&mut Dice) -> Vec<u8> + Send + 'static,
    mut take: impl FnMut(&[u8]) -> Taken + Send + 'static,
) {
    let inputs = asked("OUTPOST_FUZZ").map_or(INPUTS, |all| all.div_ceil(targets));
    let work = move || {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}.at"));
        let last = std::fs::read(&path).ok().and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let file = std::fs::File::create(&path).expect("there is a place for it");
        let order: Box<dyn Iterator<Item = u64>> = match asked("OUTPOST_FUZZ_AT") {
            Some(at) => Box::new([at].into_iter()),
            None => Box::new(last.into_iter().chain(0..inputs)),
        };
        let (mut accepted, mut ran) = (0u64, 0u64);
        for at in order {
            file.write_at(&at.to_le_bytes(), 0).expect("it has room");
            let input = make(&mut Dice::new(SEED, at));
            let tell = || {
                let shown = &input[..input.len().min(4_096)];
                format!(
                    "{name}: OUTPOST_FUZZ_AT={at}, {} bytes: {}",
                    input.len(),
                    data_encoding::HEXLOWER.encode(shown)
                )
            };
            if Some(at) == last {
                eprintln!("the process died at this one:\n{}", tell());
            }
            let (taken, most) = most_held(|| catch_unwind(AssertUnwindSafe(|| take(&input))));
            let wrong = match &taken {
                Err(_) => Some("a panic".to_owned()),
                Ok(taken) => {
                    let allowed = RESERVED + taken.size * taken.each;
                    (most > allowed).then(|| format!("{most} bytes held, {allowed} allowed"))
                }
            };
            let (Ok(taken), None) = (taken, &wrong) else {
                // only a process that dies leaves its number
                let _ = std::fs::remove_file(&path);
                panic!("{}\n{}", wrong.unwrap_or_default(), tell());
            };
            accepted += u64::from(taken.accepted);
            ran += 1;
        }
        let _ = std::fs::remove_file(&path);
        println!("{name}: {ran} inputs, {accepted} accepted");
        // a target that refuses everything tests nothing
        assert!(ran < 1_000 || accepted * 200 > ran, "{name}: only {accepted} of {ran} were accepted");
    };
    let thread = std::thread::Builder::new().stack_size(STACK).name(name.to_owned()).spawn(work);
    if let Err(panic) = thread.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

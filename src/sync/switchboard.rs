//! Passes what was committed on to the listeners it concerns, and wakes no others.
//!
//! A hub has thousands of edges, and most changes concern a few of them. So one task reads the store's notices and looks
//! up who asked for their partition.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Notify, broadcast};

use crate::domain::ids::{NodeId, Partition};
use crate::domain::scope::Scope;
use crate::store::{Notice, Store};

const POISON: &str = "no holder of this lock panics";

/// For each partition with news its head, and how many changes came together.
pub(super) type News = BTreeMap<Partition, (u64, u64)>;

/// Where news for one listener gather until it looks.
#[derive(Debug)]
pub(super) struct Line {
    node: NodeId,
    scope: Scope,
    waiting: Mutex<Heard>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    news: News,
    missed: bool,
    cut: bool,
}

/// What a listener finds on its line.
#[derive(Debug)]
pub(super) enum Call {
    News(News),
    /// Some were missed; the store has to be asked.
    Missed,
    /// There will be no more.
    Cut,
}

impl Line {
    /// Waits for something to be there, and takes all of it.
    pub async fn hear(&self) -> Call {
        loop {
            let bell = self.bell.notified();
            {
                let mut waiting = self.waiting.lock().expect(POISON);
                if waiting.cut {
                    return Call::Cut;
                }
                if std::mem::take(&mut waiting.missed) {
                    waiting.news.clear();
                    return Call::Missed;
                }
                if !waiting.news.is_empty() {
                    return Call::News(std::mem::take(&mut waiting.news));
                }
            }
            bell.await;
        }
    }

    fn ring(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.waiting.lock().expect(POISON));
        self.bell.notify_one();
    }
}

#[derive(Debug, Default)]
pub(super) struct Switchboard {
    lines: Mutex<Lines>,
}

/// Who hears of what. A line that nobody holds any more goes when something passes it, or when there are many.
#[derive(Debug, Default)]
struct Lines {
    is_staffed: bool,
    all: Vec<Weak<Line>>,
    whole: HashMap<String, Vec<Weak<Line>>>,
    partitions: HashMap<Partition, Vec<Weak<Line>>>,
    opened: usize,
}

/// So many lines are opened before those that are gone are looked for.
const SWEEP_EVERY: usize = 4096;

impl Switchboard {
    /// A line on which a node hears of all that is committed in its scope from now on.
    pub fn open(self: &Arc<Self>, store: &dyn Store, node: NodeId, scope: &Scope) -> Arc<Line> {
        let line = Arc::new(Line { node, scope: scope.clone(), waiting: Mutex::default(), bell: Notify::new() });
        let mut lines = self.lines.lock().expect(POISON);
        if !std::mem::replace(&mut lines.is_staffed, true) {
            tokio::spawn(serve(store.notices(), Arc::downgrade(self)));
        }
        lines.opened += 1;
        if lines.opened.is_multiple_of(SWEEP_EVERY) {
            lines.sweep();
        }
        lines.connect(&line);
        line
    }

    /// Ends the lines of a node: it has to ask again what it may hear.
    pub fn cut(&self, node: NodeId) {
        self.lines.lock().expect(POISON).each(|line| {
            if line.node == node {
                line.ring(|heard| heard.cut = true);
            }
        });
    }

    fn tell(&self, batch: &[Notice]) {
        let mut news = News::new();
        for notice in batch.iter().filter(|notice| !notice.partition.is_local()) {
            let (head, records) = news.entry(notice.partition.clone()).or_default();
            *head = notice.seq.max(*head);
            *records += 1;
        }
        let mut lines = self.lines.lock().expect(POISON);
        for (partition, (head, records)) in news {
            lines.concerned(&partition, |line| {
                line.ring(|heard| {
                    let (highest, sum) = heard.news.entry(partition.clone()).or_default();
                    *highest = head.max(*highest);
                    *sum += records;
                });
            });
        }
    }
}

/// Tells what is committed, until the store is closed or the switchboard is gone.
async fn serve(mut notices: broadcast::Receiver<Arc<Vec<Notice>>>, board: Weak<Switchboard>) {
    loop {
        let heard = notices.recv().await;
        let Some(board) = board.upgrade() else { return };
        match heard {
            Ok(batch) => board.tell(&batch),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                board.lines.lock().expect(POISON).each(|line| line.ring(|heard| heard.missed = true));
            }
            Err(broadcast::error::RecvError::Closed) => {
                board.lines.lock().expect(POISON).each(|line| line.ring(|heard| heard.cut = true));
                return;
            }
        }
    }
}

impl Lines {
    fn connect(&mut self, line: &Arc<Line>) {
        let Some(named) = line.scope.named() else {
            self.all.push(Arc::downgrade(line));
            return;
        };
        for partition in named.partitions {
            self.partitions.entry(partition).or_default().push(Arc::downgrade(line));
        }
        for name in named.whole {
            self.whole.entry(name.to_string()).or_default().push(Arc::downgrade(line));
        }
    }

    fn concerned(&mut self, partition: &Partition, mut tell: impl FnMut(&Line)) {
        let whole = self.whole.get_mut(partition.type_name());
        let one = self.partitions.get_mut(partition);
        for list in [Some(&mut self.all), whole, one].into_iter().flatten() {
            pass(list, &mut tell);
        }
    }

    /// Every line; one that hears of several things more than once.
    fn each(&mut self, mut tell: impl FnMut(&Line)) {
        pass(&mut self.all, &mut tell);
        self.whole.values_mut().chain(self.partitions.values_mut()).for_each(|list| pass(list, &mut tell));
    }

    fn sweep(&mut self) {
        self.each(|_| {});
        self.whole.retain(|_, list| !list.is_empty());
        self.partitions.retain(|_, list| !list.is_empty());
    }
}

fn pass(list: &mut Vec<Weak<Line>>, tell: &mut impl FnMut(&Line)) {
    list.retain(|line| {
        let line = line.upgrade();
        line.iter().for_each(|line| tell(line));
        line.is_some()
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::clock::Hlc;
    use crate::domain::ids::{PersonId, RecordId, TypeName};

    fn notice(partition: &Partition, seq: u64) -> Notice {
        Notice {
            partition: partition.clone(),
            type_name: TypeName::custom("job").expect("a good name"),
            id: RecordId::default(),
            seq,
            person: PersonId::default(),
            node: NodeId(1),
            at: Hlc::ZERO,
        }
    }

    fn line(board: &Arc<Switchboard>, node: u64, scope: serde_json::Value) -> Arc<Line> {
        let scope = Scope::from_json(&scope).expect("a good scope");
        let line = Arc::new(Line { node: NodeId(node), scope, waiting: Mutex::default(), bell: Notify::new() });
        board.lines.lock().expect(POISON).connect(&line);
        line
    }

    fn heard(line: &Line) -> Vec<(String, u64, u64)> {
        let mut waiting = line.waiting.lock().expect(POISON);
        std::mem::take(&mut waiting.news).into_iter().map(|(name, (head, n))| (name.0, head, n)).collect()
    }

    #[test]
    fn each_hears_of_what_its_scope_holds_and_of_nothing_else() {
        let board = Arc::new(Switchboard::default());
        let all = line(&board, 1, json!("all"));
        let jobs = line(&board, 2, json!({"job": true}));
        let seven = line(&board, 3, json!({"job": ["7"], "note": true}));
        let gone = line(&board, 4, json!({"job": ["7"]}));
        drop(gone);
        let job = TypeName::custom("job").expect("a good name");
        let of = |value: &str| Partition::of_value(&job, Some(&json!(value)));
        board.tell(&[
            notice(&of("7"), 4),
            notice(&of("9"), 5),
            notice(&of("7"), 6),
            notice(&Partition("_here".into()), 7),
        ]);
        board.tell(&[notice(&Partition::types(), 8), notice(&Partition("jobs".into()), 9)]);
        let [seventh, ninth] = [(r#"job="7""#.to_owned(), 6, 2), (r#"job="9""#.to_owned(), 5, 1)];
        let types = ("_types".to_owned(), 8, 1);
        assert_eq!(heard(&all), [types.clone(), seventh.clone(), ninth.clone(), ("jobs".to_owned(), 9, 1)]);
        assert_eq!(heard(&jobs), [types.clone(), seventh.clone(), ninth]);
        assert_eq!(heard(&seven), [types, seventh]);
        let left = board.lines.lock().expect(POISON).partitions[&of("7")].len();
        assert_eq!(left, 1, "who is gone is forgotten");
    }

    #[tokio::test]
    async fn a_line_that_is_cut_ends_and_the_others_go_on() {
        let (store, notices) = broadcast::channel(4);
        let board = Arc::new(Switchboard::default());
        tokio::spawn(serve(notices, Arc::downgrade(&board)));
        let [one, two] = [1, 2].map(|node| line(&board, node, json!("all")));
        board.cut(NodeId(1));
        assert!(matches!(one.hear().await, Call::Cut));
        store.send(Arc::new(vec![notice(&Partition::types(), 3)])).expect("somebody listens");
        let Call::News(news) = two.hear().await else { panic!("it is not cut") };
        assert_eq!(news[&Partition::types()], (3, 1));
        for seq in 4..20 {
            store.send(Arc::new(vec![notice(&Partition::types(), seq)])).expect("somebody listens");
        }
        assert!(matches!(two.hear().await, Call::Missed), "more came than the channel holds");
        drop(store);
        while !matches!(two.hear().await, Call::Cut) {}
    }
}

//! Old programs: messages as they were before anything was added to the first version of the protocol. What an old edge does
//! not know it does not send, and what the hub's answer tells beyond that passes over it; to the edge the hub is as old.

use outpost::domain::protocol::{Hello, Welcome};

pub fn hello(hello: &Hello) -> Hello {
    let mut old = Hello { ratchet: None, attempt: None, below: Vec::new(), settled: None, ..hello.clone() };
    old.partitions.iter_mut().for_each(|reached| reached.cursor.tag = None);
    old
}

pub fn welcome(welcome: &mut Welcome) {
    welcome.ancestors.clear();
    welcome.ratchet = None;
    welcome.relays = false;
    welcome.above = None;
    welcome.limits.chunk_records = u64::MAX;
    welcome.locates = false;
    for head in &mut welcome.partitions {
        (head.put_back, head.forgets) = (false, false);
    }
}

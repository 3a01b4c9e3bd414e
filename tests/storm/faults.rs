//! Everything that can go wrong, by name. What each does is where it happens: in the network, in a process, at a device.

macro_rules! registry {
    ($($(#[doc = $doc:literal])+ $fault:ident = $name:literal,)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])+ $fault,)+
        }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$fault,)+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$fault => $name,)+
                }
            }
        }
    };
}

registry! {
    /// A request never arrives.
    LosesRequest = "lose a request",
    /// The hub does what it was asked, and its answer never arrives.
    LosesAnswer = "lose an answer",
    /// A push arrives a second time, later than what was sent after it.
    Repeats = "repeat and reorder",
    /// Requests and answers take seconds, not the same time each way.
    Delays = "delay",
    /// Nothing passes between an edge and the hub for a while.
    Cut = "cut",
    /// For a while requests arrive and answers do not.
    HalfOpen = "half-open",
    /// The hub is out of reach of all edges for a while.
    Partition = "partition",
    /// The hub says that it is busy.
    Busy = "busy",
    /// Something on the way answers nonsense.
    Proxy = "stumbling proxy",
    /// Hints get lost.
    LosesHints = "lose hints",
    /// A person saves while a request is on its way.
    Meanwhile = "save meanwhile",
    /// Pages and pushes are cut into small pieces.
    SmallPages = "small pages",
    /// A process ends between two steps.
    Restart = "restart",
    /// An edge dies at some call of a step.
    KillEdge = "kill an edge",
    /// The hub dies at some call while it is asked something.
    KillHub = "kill the hub",
    /// An edge dies in the middle of a first copy from chunks.
    KillCopy = "kill in a first copy",
    /// An edge that serves others dies at some call while it is asked something.
    KillRelay = "kill a relay",
    /// A process dies while a person saves.
    KillSave = "kill in a save",
    /// The power goes while a transaction is written: the log ends at some byte of it.
    TornWrite = "torn write",
    /// Writes fail for a while because a disk is full.
    FullDisk = "full disk",
    /// A device's clock is set, by up to ten years.
    ClockSet = "set a clock",
    /// And by more than one year.
    ClockFar = "set a clock by years",
    /// For days nobody is there, or there is no link.
    Idle = "days of silence",
    /// A device's clock runs fast or slow.
    Drift = "drift",
    /// The hub counts from a new beginning.
    NewEpoch = "new epoch",
    /// Somebody pauses the link.
    Pause = "pause",
    /// An admin changes which partitions an edge holds.
    Scope = "scope change",
    /// An admin revokes a node.
    Revoke = "revoke",
    /// Some of what people save is not permitted any more when it comes to the hub.
    Deny = "withdraw a right",
    /// An edge's disk is copied, and both run.
    Clone = "clone",
    /// A designer publishes a type anew, with a field more or with less allowed.
    Publish = "publish a type",
    /// An edge goes on from an older copy of its disk.
    RollBack = "roll back",
    /// An edge that serves others goes on from a restored backup.
    RestoreRelay = "restore a relay",
    /// The hub goes on from a restored backup.
    RestoreHub = "restore the hub",
    /// An edge joins in the middle of everything.
    Joins = "join late",
    /// Whoever has nothing of a partition copies it from chunks.
    Chunks = "copy a chunk",
    /// An edge has another edge for its hub.
    Hop = "edge below an edge",
    /// An edge, and the hub as it hears it, know nothing of what came to the protocol later.
    OldEdge = "old edge",
}

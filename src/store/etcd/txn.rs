//! A transaction of etcd, as far as furt uses it.

use super::mirror::Lease;

/// Comparisons; where all hold, the operations, and each write of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Txn {
    pub(super) compares: Vec<Compare>,
    pub(super) ops: Vec<Op>,
    /// Decided one by one, by the state before all of it.
    pub(super) writes: Vec<Nested>,
}

/// A transaction within another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Nested {
    pub(super) compares: Vec<Compare>,
    pub(super) ops: Vec<Op>,
    /// The lease that was granted for it.
    pub(super) granted: Option<Lease>,
}

/// Comparisons or operations, whichever are more, along each way through a transaction: etcd's `--max-txn-ops`.
pub(super) const MOST_OPS: usize = 128;

impl Txn {
    /// Comparisons or operations on top of its writes, whichever are more.
    pub(super) fn on_top(&self) -> usize {
        self.compares.len().max(self.ops.len() + self.writes.len())
    }
}

impl Nested {
    /// Its operations, as many together as there is room for `on_top` and below its own comparisons. One group: they stand there
    /// themselves. More: each is a transaction without comparisons, which is done whatever is there.
    pub(super) fn groups(ops: Vec<Op>, compares: usize, on_top: usize) -> Vec<Vec<Op>> {
        if compares.max(ops.len()) + on_top <= MOST_OPS {
            return vec![ops];
        }
        let mut within = compares.max(1);
        loop {
            let room = MOST_OPS.saturating_sub(on_top + within).max(1);
            let groups = ops.len().div_ceil(room);
            // Where there is no room for so many, etcd says so.
            if groups <= within || room == 1 {
                return ops.chunks(room).map(<[Op]>::to_vec).collect();
            }
            within = groups;
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compare {
    /// There is no such key.
    Absent(String),
    /// It was put last at this revision.
    PutAt(String, u64),
    /// It is not there, or was put last at this revision or before.
    NotPutAfter(String, u64),
    /// The same for every key that begins so.
    NonePutAfter(String, u64),
    /// No key begins so.
    Empty(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Put {
        key: String,
        value: Vec<u8>,
        under: Under,
    },
    /// The value stays, whatever it is.
    Attach {
        key: String,
        under: Under,
    },
    Delete(String),
    /// Every key that begins so.
    DeleteAll(String),
}

/// The lease that a key is put under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    None,
    /// One that is there.
    Held(Lease),
    /// The one that is granted for the write.
    Granted,
}

impl Op {
    /// Bytes that it takes, without what is the same for each.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Attach { key, .. } | Self::Delete(key) | Self::DeleteAll(key) => key.len(),
        }
    }
}

//! A node's children by the text of their segment: few in a sorted slice, many in a persistent hash map.
//!
//! Both forms share with their clones whatever a change does not touch. The map's hasher is keyed at random, each map
//! with its own key: patterns and paths come from strangers, who must not be able to choose texts that collide. The
//! order of the map is never shown. Knows of a node only what [`TrieNode`] says. Callers: `node`, and `table` for its hosts.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;

/// The most children of a slice: up to here a binary search is as fast as a hash, and a copy of the slice cheap.
const MAX_FEW: usize = 16;
/// A map with fewer children becomes a slice again; well below `MAX_FEW`, so that one service that comes and goes does
/// not convert it each time.
const MIN_MANY: usize = 8;

/// Measured at 25,000 children, a whole lookup: 43 ns with ahash, 53 ns with the standard SipHash, 94 ns with a sorted
/// `imbl::OrdMap`. ahash takes its keys from the system's randomness, as SipHash does.
type Map<N> = GenericHashMap<Label, Arc<N>, ahash::RandomState, DefaultSharedPtr>;

/// What children need of the nodes that they are.
pub(super) trait TrieNode: Clone + Default {
    /// Whether nothing is left of it, so that its parent lets it go.
    fn is_empty(&self) -> bool;
}

#[derive(Clone)]
pub(super) enum Children<N> {
    /// Sorted by label. The nodes lie in the slice, so that a step down is one read of memory instead of two.
    Few(Arc<[Child<N>]>),
    Many(Arc<Map<N>>),
}

#[derive(Clone)]
pub(super) struct Child<N> {
    label: Label,
    node: N,
}

impl<N> Default for Children<N> {
    fn default() -> Self {
        Self::Few(Arc::default())
    }
}

impl<N: TrieNode> Children<N> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    #[inline]
    pub(super) fn get(&self, label: &[u8]) -> Option<&N> {
        match self {
            Self::Few(few) => position(few, label).ok().map(|at| &few[at].node),
            Self::Many(map) => map.get(label).map(|node| &**node),
        }
    }

    /// The child of this label, which comes to be if there is none.
    pub(super) fn get_or_insert(&mut self, label: &[u8]) -> &mut N {
        self.make_many_when_full(label);
        match self {
            Self::Few(few) => {
                let at = position(few, label).unwrap_or_else(|at| {
                    let (before, after) = few.split_at(at);
                    let new = Child { label: Label::new(label), node: N::default() };
                    *few = before.iter().cloned().chain([new]).chain(after.iter().cloned()).collect();
                    at
                });
                &mut Arc::make_mut(few)[at].node
            }
            Self::Many(map) => Arc::make_mut(Arc::make_mut(map).entry(Label::new(label)).or_default()),
        }
    }

    /// Changes the child of this label, if there is one, and takes it out if nothing of it is left.
    pub(super) fn update<T>(&mut self, label: &[u8], change: impl FnOnce(&mut N) -> T) -> Option<T> {
        match self {
            Self::Few(few) => {
                let at = position(few, label).ok()?;
                let node = &mut Arc::make_mut(few)[at].node;
                let result = change(node);
                if node.is_empty() {
                    *few = few[..at].iter().chain(&few[at + 1..]).cloned().collect();
                }
                Some(result)
            }
            Self::Many(map) => {
                let many = Arc::make_mut(map);
                let node = Arc::make_mut(many.get_mut(label)?);
                let result = change(node);
                if node.is_empty() {
                    many.remove(label);
                    if many.len() < MIN_MANY {
                        *self = Self::Few(sorted(many).into_iter().map(Child::from_entry).collect());
                    }
                }
                Some(result)
            }
        }
    }

    /// All children, in the order of their labels' bytes; sorts the map each time it is called.
    pub(super) fn in_order(&self) -> impl DoubleEndedIterator<Item = &N> {
        let (few, many) = match self {
            Self::Few(few) => (&**few, Vec::new()),
            Self::Many(map) => (&[][..], sorted(map)),
        };
        few.iter().map(|child| &child.node).chain(many.into_iter().map(|(_, node)| &**node))
    }

    fn make_many_when_full(&mut self, label: &[u8]) {
        if let Self::Few(few) = self
            && few.len() >= MAX_FEW
            && position(few, label).is_err()
        {
            let entry = |child: &Child<N>| (child.label.clone(), Arc::new(child.node.clone()));
            *self = Self::Many(Arc::new(few.iter().map(entry).collect()));
        }
    }
}

impl<N: TrieNode> Child<N> {
    fn from_entry((label, node): (&Label, &Arc<N>)) -> Self {
        Self { label: label.clone(), node: N::clone(node) }
    }
}

#[inline]
fn position<N>(few: &[Child<N>], label: &[u8]) -> Result<usize, usize> {
    few.binary_search_by(|child| child.label.as_bytes().cmp(label))
}

fn sorted<N: TrieNode>(map: &Map<N>) -> Vec<(&Label, &Arc<N>)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(label, _)| label.as_bytes());
    entries
}

/// The text of a segment or host, inline up to 22 bytes: comparing it reads no other memory.
#[derive(Clone)]
pub(super) enum Label {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Arc<[u8]>),
}

const SHORT: usize = 22;

impl Label {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text);
                Self::Short { len: text.len() as u8, bytes }
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Label {}

impl Hash for Label {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Label {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

//! The documents of settings that this node has.

use std::collections::BTreeMap;

use crate::model::{Document, Record, RequestId, Scope, SettingsId};
use crate::stored::{Applying, NamedDocument, Stored};

/// A document that waits until another one is in force, or until this node may restart for it.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) record: Record,
    pub(crate) document: Document,
    pub(crate) request: Option<RequestId>,
}

/// Documents in force, on their way into force, refused, and offered to others.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    applied: BTreeMap<Scope, NamedDocument>,
    offered: BTreeMap<Scope, NamedDocument>,
    applying: Option<(Applying, Document)>,
    /// This start of the node could not put it in force; it is not tried again.
    refused: BTreeMap<Scope, SettingsId>,
    waiting: BTreeMap<Scope, (SettingsId, Waiting)>,
    /// Came, and is looked at just now.
    arriving: Option<(Scope, SettingsId)>,
}

impl Documents {
    pub(crate) fn new(stored: &Stored) -> Self {
        Self { applied: stored.applied.clone(), offered: stored.offered.clone(), ..Self::default() }
    }

    pub(crate) fn applied(&self, scope: Scope) -> Option<SettingsId> {
        self.applied.get(&scope).map(|(id, _)| *id)
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (Scope, SettingsId)> {
        self.refused.iter().map(|(scope, id)| (*scope, *id))
    }

    pub(crate) fn is_refused(&self, scope: Scope, id: SettingsId) -> bool {
        self.refused.get(&scope) == Some(&id)
    }

    pub(crate) fn is_applying(&self) -> bool {
        self.applying.is_some()
    }

    /// Whether this node has the document in hand, and it is not in force yet.
    pub(crate) fn is_in_hand(&self, scope: Scope, id: SettingsId) -> bool {
        let is_applying = self.applying.as_ref().is_some_and(|(one, _)| (one.scope, one.id) == (scope, id));
        let has_come = is_applying || self.arriving == Some((scope, id));
        has_come || self.waiting.get(&scope).is_some_and(|(of, _)| *of == id)
    }

    /// The document of this name, if this node has it.
    pub(crate) fn get(&self, scope: Scope, id: SettingsId) -> Option<&Document> {
        let all = [self.applied.get(&scope), self.offered.get(&scope)];
        all.into_iter().flatten().find(|(of, _)| *of == id).map(|(_, document)| document)
    }

    pub(crate) fn offer(&mut self, scope: Scope, id: SettingsId, document: Document) {
        self.offered.insert(scope, (id, document));
    }

    /// Offers that nobody needs any more: there is a later document, or this node has it in force.
    pub(crate) fn stale_offers(&self, heads: &BTreeMap<Scope, SettingsId>) -> Vec<Scope> {
        let is_stale = |(scope, (id, _)): &(&Scope, &NamedDocument)| {
            heads.get(scope) != Some(id) || self.applied(**scope) == Some(*id)
        };
        self.offered.iter().filter(is_stale).map(|(scope, _)| *scope).collect()
    }

    pub(crate) fn withdraw(&mut self, scope: &Scope) {
        self.offered.remove(scope);
    }

    pub(crate) fn begin(&mut self, applying: Applying, document: Document) {
        self.applying = Some((applying, document));
    }

    /// The document that is on its way, if it is this one; it is so no longer.
    pub(crate) fn finish(&mut self, scope: Scope, id: SettingsId) -> Option<(Applying, Document)> {
        self.applying.take_if(|(applying, _)| (applying.scope, applying.id) == (scope, id))
    }

    /// The document that is on its way, whichever it is; it is so no longer.
    pub(crate) fn take_applying(&mut self) -> Option<(Applying, Document)> {
        self.applying.take()
    }

    pub(crate) fn set_applied(&mut self, scope: Scope, id: SettingsId, document: Document) {
        self.applied.insert(scope, (id, document));
        self.refused.remove(&scope);
    }

    pub(crate) fn refuse(&mut self, scope: Scope, id: SettingsId) {
        self.refused.insert(scope, id);
    }

    /// They may be right by now.
    pub(crate) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    pub(crate) fn set_arriving(&mut self, arriving: Option<(Scope, SettingsId)>) {
        self.arriving = arriving;
    }

    pub(crate) fn wait(&mut self, scope: Scope, id: SettingsId, waiting: Waiting) {
        self.waiting.insert(scope, (id, waiting));
    }

    pub(crate) fn take_waiting(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting).into_values().map(|(_, waiting)| waiting).collect()
    }
}

#[cfg(test)]
impl Documents {
    /// The document that is on its way into force.
    pub(crate) fn in_hand(&self) -> Option<(SettingsId, &Document)> {
        self.applying.as_ref().map(|(applying, document)| (applying.id, document))
    }
}

//! What is done to every event before it is admitted, whatever protocol it came by.

use std::sync::Arc;

use crate::event::{ContentRule, Event};
use crate::mask::Masker;

/// Prepares events for admission.
#[derive(Clone, Debug, Default)]
pub struct Preparer {
    masker: Option<Arc<Masker>>,
    contents: ContentRule,
}

impl Preparer {
    /// `masker`: masks secrets, if that is wanted. `contents`: which values of steps are cut.
    #[must_use]
    pub fn new(masker: Option<Arc<Masker>>, contents: ContentRule) -> Self {
        Self { masker, contents }
    }

    /// Prepares one event.
    pub fn event(&self, event: &mut Event) {
        if let Some(masker) = &self.masker {
            masker.event(event);
        }
        event.cut_contents(self.contents);
    }

    /// A text about an event, which may quote it.
    #[must_use]
    pub fn quoting(&self, text: String) -> String {
        let masked = self.masker.as_ref().and_then(|masker| masker.text(&text));
        masked.unwrap_or(text)
    }
}

#[cfg(test)]
mod tests;

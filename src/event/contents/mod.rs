//! Contents: large values of steps, cut so that what recurs is stored once.
//!
//! An agent sends its history again with every call. So a value is cut into *contents*, whose
//! names are hashes of what they say. A list is a chain, each content of which adds elements
//! to the one before; a list that goes on from another one shares its chain. A large element
//! is a content of its own, which is shared wherever it recurs. The step then stores a
//! *reference* to the last content. The function `content_value` of the database puts the
//! value together again.
//!
//! The cut depends on the text alone. Nothing here knows what is stored.

mod cut;
mod lookalike;
mod outline;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use uuid::Uuid;

pub use self::cut::Cut;
use self::cut::CutContent;
use super::types::{Event, EventBody, StepDetails};

/// A value that is shorter is stored in its step: a reference and its content would take as
/// much.
pub const SMALL_VALUE_BYTES: usize = 512;
/// An element or member of at least this length is a content of its own, and shorter ones are
/// gathered up to this length. After every [`PARTS_OF_ONE_SIZE`] parts of a value it doubles.
pub const LARGE_PART_BYTES: usize = 256;
const PARTS_OF_ONE_SIZE: usize = 512;
/// An array of at least this length is cut, where arrays are looked for. One of numbers,
/// booleans and nulls is never cut: nothing goes on from an embedding.
const CUT_ARRAY_BYTES: usize = 512;
/// An object of at least this length is cut wherever it is.
const CUT_OBJECT_BYTES: usize = 16 << 10;
/// Containers that are nested deeper are not cut.
const MAX_CUT_DEPTH: usize = 8;
/// An object with more members is not cut: it is a map, and its names would take much memory.
const MAX_CUT_MEMBERS: usize = 4_096;

/// Which values of steps become contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentRule {
    /// Only those that look like a reference, so that nobody takes them for one.
    #[default]
    Lookalikes,
    /// Those too that are large.
    Large,
}

/// What a content adds to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// A whole value. Nothing is before it.
    Leaf,
    /// Elements of an array.
    List,
    /// Members of an object.
    Object,
}

impl ContentKind {
    /// The number in the database.
    #[must_use]
    pub fn number(self) -> i16 {
        i16::from(self.byte())
    }

    fn byte(self) -> u8 {
        match self {
            Self::Leaf => 0,
            Self::List => 1,
            Self::Object => 2,
        }
    }
}

/// One content of a value.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    text: &'a str,
    cut: &'a Cut,
    content: &'a CutContent,
}

impl<'a> Content<'a> {
    /// The name of the content within its run.
    #[must_use]
    pub fn hash(&self) -> Uuid {
        self.content.hash
    }

    /// What it adds.
    #[must_use]
    pub fn kind(&self) -> ContentKind {
        self.content.kind
    }

    /// The content before it in its chain.
    #[must_use]
    pub fn prev(&self) -> Option<Uuid> {
        self.hash_at(self.content.prev)
    }

    /// The content that is the element or the member's value.
    #[must_use]
    pub fn part(&self) -> Option<Uuid> {
        self.hash_at(self.content.part)
    }

    /// The name of the member whose value is the part.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        let name = self.content.name.clone()?;
        self.text.get(name)
    }

    /// The JSON that it adds; `None` if it adds a part.
    #[must_use]
    pub fn body(&self) -> Option<Cow<'a, str>> {
        let mut pieces = self.cut.pieces(self.text, self.content);
        let (open, close) = match self.content.kind {
            ContentKind::Leaf => return pieces.next().map(Cow::Borrowed),
            ContentKind::List => ('[', ']'),
            ContentKind::Object => ('{', '}'),
        };
        let mut body = String::from(open);
        body.push_str(pieces.next()?);
        for piece in pieces {
            body.push(',');
            body.push_str(piece);
        }
        body.push(close);
        Some(Cow::Owned(body))
    }

    /// The approximate size of the body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        let pieces = self.cut.pieces(self.text, self.content);
        pieces.map(|piece| piece.len() + 1).sum()
    }

    fn hash_at(&self, position: Option<u32>) -> Option<Uuid> {
        let content = self.cut.contents.get(position? as usize)?;
        Some(content.hash)
    }
}

/// A value that is cut: its text and its contents.
#[derive(Clone, Copy, Debug)]
pub struct CutValue<'a> {
    text: &'a str,
    cut: &'a Cut,
}

impl<'a> CutValue<'a> {
    pub(super) fn new(text: &'a str, cut: &'a Cut) -> Self {
        Self { text, cut }
    }

    /// The number of contents. The last one is the one that the reference names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cut.contents.len()
    }

    /// The size of the value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether there are no contents, which never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content at a position. It names only contents at lower positions.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<Content<'a>> {
        let (text, cut) = (self.text, self.cut);
        let content = cut.contents.get(position)?;
        Some(Content { text, cut, content })
    }

    /// The positions of the contents that the one at a position names.
    pub fn named_by(&self, position: usize) -> impl Iterator<Item = usize> + use<'a> {
        let content = self.cut.contents.get(position);
        let named = content.map(|content| [content.prev, content.part]);
        named
            .into_iter()
            .flatten()
            .flatten()
            .map(|position| position as usize)
    }
}

impl Event {
    /// Cuts the values of a step that the rule names.
    pub fn cut_contents(&mut self, rule: ContentRule) {
        let cut_input = |details: &mut StepDetails| {
            if let Some(input) = &mut details.input {
                input.cut_contents(rule);
            }
        };
        match &mut self.body {
            EventBody::StepStarted(e) => cut_input(&mut e.details),
            EventBody::StepEnded(e) => {
                e.details.iter_mut().for_each(cut_input);
                if let Some(output) = &mut e.output {
                    output.cut_contents(rule);
                }
            }
            _ => {}
        }
    }
}

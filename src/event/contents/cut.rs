//! Makes the contents of a value from its outline.

use std::ops::Range;

use uuid::Uuid;

use super::lookalike::{looks_like_reference, reference};
use super::outline::{Outline, Part, ValuePartKind, outline};
use super::{ContentKind, ContentRule, SMALL_VALUE_BYTES};

/// What the writer of a batch needs for each content: its key among those that were looked at
/// (about 50 bytes), its places among those that are asked for and missing (32), and its row
/// if it is missing (64).
const CONTENT_WRITING_BYTES: usize = 150;

/// The contents of a value. They hold places in its text, and not the text.
#[derive(Clone, Debug)]
pub struct Cut {
    /// What the step stores.
    reference: String,
    /// A content names only contents before it. The last one is the value.
    pub(super) contents: Vec<CutContent>,
    /// Places in the text that the bodies of contents consist of.
    pub(super) pieces: Vec<Range<usize>>,
}

/// One content; `super::Content` says what the fields mean.
#[derive(Clone, Debug)]
pub(super) struct CutContent {
    pub hash: Uuid,
    pub kind: ContentKind,
    pub prev: Option<u32>,
    pub part: Option<u32>,
    pub name: Option<Range<usize>>,
    /// The body, as a range of `Cut::pieces`. Empty if there is a part.
    pieces: Range<u32>,
}

impl Cut {
    /// Cuts a JSON text that was checked before. `None`: the value is stored as it is.
    pub fn of(text: &str, rule: ContentRule) -> Option<Self> {
        if looks_like_reference(text) {
            let span = 0..text.len();
            return Cutter::new(text).cut(&leaf(span), &[]);
        }
        if rule == ContentRule::Lookalikes || text.len() < SMALL_VALUE_BYTES {
            return None;
        }
        let Outline { root, parts } = outline(text)?;
        if root.span.len() < SMALL_VALUE_BYTES {
            return None;
        }
        Cutter::new(text).cut(&root, &parts)
    }

    /// What the step stores in place of the value.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The approximate memory of the cut in bytes, with what it takes to write it.
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.reference.capacity()
            + self.contents.capacity() * size_of::<CutContent>()
            + self.contents.len() * CONTENT_WRITING_BYTES
            + self.pieces.capacity() * size_of::<Range<usize>>()
    }

    /// The pieces of a content's body.
    pub(super) fn pieces<'t>(
        &self,
        text: &'t str,
        content: &CutContent,
    ) -> impl Iterator<Item = &'t str> {
        let range = content.pieces.start as usize..content.pieces.end as usize;
        let pieces = self.pieces.get(range).unwrap_or_default();
        pieces.iter().filter_map(|piece| text.get(piece.clone()))
    }
}

fn leaf(span: Range<usize>) -> Part {
    Part {
        name: None,
        kind: ValuePartKind::Leaf,
        span,
    }
}

/// Collects the contents of one value.
struct Cutter<'t> {
    text: &'t str,
    contents: Vec<CutContent>,
    pieces: Vec<Range<usize>>,
}

impl<'t> Cutter<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            contents: Vec::new(),
            pieces: Vec::new(),
        }
    }

    fn cut(mut self, root: &Part, parts: &[Part]) -> Option<Cut> {
        self.value(root, parts)?;
        self.contents.shrink_to_fit();
        self.pieces.shrink_to_fit();
        Some(Cut {
            reference: reference(self.contents.last()?.hash),
            contents: self.contents,
            pieces: self.pieces,
        })
    }

    /// Adds the contents of a value and returns the position of its last one. Recurses as
    /// deep as containers are cut.
    fn value(&mut self, part: &Part, all: &[Part]) -> Option<u32> {
        match &part.kind {
            ValuePartKind::Small | ValuePartKind::Leaf => {
                self.body(ContentKind::Leaf, None, [part.span.clone()])
            }
            ValuePartKind::List(parts) => self.list(all.get(parts.clone())?, all),
            ValuePartKind::Object(parts) => self.object(all.get(parts.clone())?, all),
        }
    }

    fn list(&mut self, parts: &[Part], all: &[Part]) -> Option<u32> {
        let mut prev = None;
        for part in parts {
            prev = match part.kind {
                ValuePartKind::Small => self.body(ContentKind::List, prev, [part.span.clone()]),
                _ => self.part(ContentKind::List, prev, part, all),
            };
        }
        prev
    }

    /// The small members first, in one content.
    fn object(&mut self, parts: &[Part], all: &[Part]) -> Option<u32> {
        let (small, large): (Vec<_>, Vec<_>) = parts
            .iter()
            .partition(|part| matches!(part.kind, ValuePartKind::Small));
        let mut prev = None;
        if !small.is_empty() {
            let spans = small.into_iter().map(|part| part.span.clone());
            prev = self.body(ContentKind::Object, None, spans);
        }
        for part in large {
            prev = self.part(ContentKind::Object, prev, part, all);
        }
        prev
    }

    /// Adds a content with a part.
    fn part(
        &mut self,
        kind: ContentKind,
        prev: Option<u32>,
        part: &Part,
        all: &[Part],
    ) -> Option<u32> {
        let value = self.value(part, all)?;
        let name = part.name.clone();
        let named = name.clone().into_iter();
        let hash = self.hash(kind, prev, Some(value), named)?;
        let pieces = 0..0;
        self.push(CutContent {
            hash,
            kind,
            prev,
            part: Some(value),
            name,
            pieces,
        })
    }

    /// Adds a content with a body.
    fn body(
        &mut self,
        kind: ContentKind,
        prev: Option<u32>,
        spans: impl IntoIterator<Item = Range<usize>>,
    ) -> Option<u32> {
        let start = self.pieces.len();
        self.pieces.extend(spans);
        let spans = self.pieces.get(start..)?.iter().cloned();
        let hash = self.hash(kind, prev, None, spans)?;
        let pieces = u32::try_from(start).ok()?..u32::try_from(self.pieces.len()).ok()?;
        self.push(CutContent {
            hash,
            kind,
            prev,
            part: None,
            name: None,
            pieces,
        })
    }

    fn push(&mut self, content: CutContent) -> Option<u32> {
        let position = u32::try_from(self.contents.len()).ok()?;
        self.contents.push(content);
        Some(position)
    }

    /// The name of a content: half of the hash of what it says. 128 bits are enough, because
    /// equal names matter within one run only.
    fn hash(
        &self,
        kind: ContentKind,
        prev: Option<u32>,
        part: Option<u32>,
        spans: impl Iterator<Item = Range<usize>>,
    ) -> Option<Uuid> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind.byte()]);
        for position in [prev, part] {
            let named = position.and_then(|at| self.contents.get(at as usize));
            hasher.update(named.map_or(Uuid::nil(), |content| content.hash).as_bytes());
        }
        for (index, span) in spans.enumerate() {
            if index > 0 {
                hasher.update(b",");
            }
            hasher.update(self.text.get(span)?.as_bytes());
        }
        let half = *hasher.finalize().as_bytes().first_chunk::<16>()?;
        Some(Uuid::from_bytes(half))
    }
}

//! Where a value may be cut: one pass over its text, without recursion, that keeps the
//! places of its large parts only.

use std::ops::Range;

use super::scan::JsonCursor;
use super::{
    CUT_ARRAY_BYTES, CUT_OBJECT_BYTES, LARGE_PART_BYTES, MAX_CUT_DEPTH, MAX_CUT_MEMBERS,
    PARTS_OF_ONE_SIZE,
};

/// No text has so many parts that its parts are larger.
const MAX_DOUBLINGS: usize = 32;

/// A part of a value.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The name of the member, if the part is the value of a large member.
    pub name: Option<Range<usize>>,
    pub kind: ValuePartKind,
    /// Where it is in the text.
    pub span: Range<usize>,
}

/// What a part is.
#[derive(Clone, Debug)]
pub(super) enum ValuePartKind {
    /// Neighbouring elements or members that are small.
    Small,
    /// A value that is not cut.
    Leaf,
    /// An array that is cut: the positions of its parts in the outline.
    List(Range<usize>),
    /// The same of an object.
    Object(Range<usize>),
}

/// The parts of a value.
#[derive(Debug)]
pub(super) struct Outline {
    /// The value itself.
    pub root: Part,
    /// The parts of every container that is cut, side by side.
    pub parts: Vec<Part>,
}

/// A container whose end is not reached.
struct OpenContainer {
    is_array: bool,
    /// Where it begins, and its name in the object around it.
    start: usize,
    member: Option<Member>,
    /// Its small elements or members since the last part.
    small: Option<Range<usize>>,
    /// Whether one of its parts is large.
    has_large: bool,
    /// Whether there is an array in it that is worth a cut.
    has_array: bool,
    /// Whether there is more in it than numbers, booleans and nulls.
    has_more_than_scalars: bool,
    /// Whether its names are few and have no escape. Otherwise they are not kept.
    keeps_names: bool,
    /// Where its own begin in the lists of the builder.
    parts_from: usize,
    closed_from: usize,
    names_from: usize,
}

/// A member's name, and where the member begins.
#[derive(Clone)]
struct Member {
    start: usize,
    name: Range<usize>,
}

/// Reads a text and notes its parts.
struct OutlineBuilder<'t> {
    text: &'t str,
    cursor: JsonCursor<'t>,
    open: Vec<OpenContainer>,
    /// The parts of the open containers, those of the innermost one last.
    parts: Vec<Part>,
    /// The parts of the containers that are closed and will be cut.
    closed: Vec<Part>,
    /// The names in the open objects, those of the innermost one last.
    names: Vec<Range<usize>>,
}

/// The outline of a JSON text that was checked before. `None` if it ends too early.
pub(super) fn outline(text: &str) -> Option<Outline> {
    let mut builder = OutlineBuilder {
        text,
        cursor: JsonCursor::new(text),
        open: Vec::new(),
        parts: Vec::new(),
        closed: Vec::new(),
        names: Vec::new(),
    };
    let root = builder.read()?;
    Some(Outline {
        root,
        parts: builder.closed,
    })
}

impl OutlineBuilder<'_> {
    fn read(&mut self) -> Option<Part> {
        loop {
            let byte = self.cursor.next_byte()?;
            if matches!(byte, b']' | b'}') {
                self.cursor.step();
                let container = self.open.pop()?;
                let (part, member) = self.close(container);
                match self.open.is_empty() {
                    true => return Some(part),
                    false => self.add(part, member),
                }
                continue;
            }
            let is_object = self.open.last().is_some_and(|around| !around.is_array);
            let member = is_object.then(|| self.member());
            let first = self.cursor.next_byte()?;
            if matches!(first, b'[' | b'{') && self.open.len() < MAX_CUT_DEPTH {
                self.enter(first == b'[', member);
                continue;
            }
            let part = Part {
                name: None,
                kind: ValuePartKind::Leaf,
                span: self.cursor.value(),
            };
            match self.open.is_empty() {
                true => return Some(part),
                false => self.add(part, member),
            }
        }
    }

    fn member(&mut self) -> Member {
        let start = self.cursor.at();
        let (name, escaped) = self.cursor.name();
        if let Some(object) = self.open.last_mut() {
            let count = self.names.len() - object.names_from;
            object.keeps_names &= !escaped && count < MAX_CUT_MEMBERS;
            match object.keeps_names {
                true => self.names.push(name.clone()),
                false => self.names.truncate(object.names_from),
            }
        }
        Member { start, name }
    }

    fn enter(&mut self, is_array: bool, member: Option<Member>) {
        self.open.push(OpenContainer {
            is_array,
            start: self.cursor.at(),
            member,
            small: None,
            has_large: false,
            has_array: false,
            has_more_than_scalars: false,
            keeps_names: true,
            parts_from: self.parts.len(),
            closed_from: self.closed.len(),
            names_from: self.names.len(),
        });
        self.cursor.step();
    }

    /// The length from which a part is large here. It doubles after so many parts, or a long
    /// text of small elements would make as many contents as it likes. It depends on what is
    /// to the left only, so a list that goes on from another one has the same parts.
    fn large_bytes(&self) -> usize {
        let doublings = (self.parts.len() + self.closed.len()) / PARTS_OF_ONE_SIZE;
        LARGE_PART_BYTES << doublings.min(MAX_DOUBLINGS)
    }

    /// Adds an element, or a member, to the innermost open container.
    fn add(&mut self, part: Part, member: Option<Member>) {
        let large_bytes = self.large_bytes();
        let Some(container) = self.open.last_mut() else {
            return;
        };
        let first = self.text.as_bytes().get(part.span.start);
        container.has_more_than_scalars |= matches!(first, Some(b'"' | b'[' | b'{'));
        if part.span.len() >= large_bytes {
            self.parts.extend(container.small.take().map(small_part));
            container.has_large = true;
            let name = member.map(|member| member.name);
            self.parts.push(Part { name, ..part });
            return;
        }
        let start = member.map_or(part.span.start, |member| member.start);
        let small = container.small.get_or_insert(start..start);
        small.end = part.span.end;
        // Members have no order that another object goes on from.
        if container.is_array && small.len() >= large_bytes {
            self.parts.extend(container.small.take().map(small_part));
        }
    }

    /// Decides whether a container is cut, now that all of it is known.
    fn close(&mut self, mut container: OpenContainer) -> (Part, Option<Member>) {
        self.parts.extend(container.small.take().map(small_part));
        let span = container.start..self.cursor.at();
        let is_array = container.is_array && container.has_more_than_scalars;
        container.has_array |= is_array && span.len() >= CUT_ARRAY_BYTES;
        // What is not large is part of a small part around it.
        let may_be_cut = self.open.is_empty() || span.len() >= self.large_bytes();
        let is_cut = may_be_cut
            && match container.is_array {
                true => is_array && span.len() >= CUT_ARRAY_BYTES,
                false => self.cuts_object(&container, span.len()),
            };
        if let Some(around) = self.open.last_mut() {
            around.has_array |= container.has_array;
        }
        self.names.truncate(container.names_from);
        let kind = if is_cut {
            let from = self.closed.len();
            self.closed.extend(self.parts.drain(container.parts_from..));
            let parts = from..self.closed.len();
            match container.is_array {
                true => ValuePartKind::List(parts),
                false => ValuePartKind::Object(parts),
            }
        } else {
            self.parts.truncate(container.parts_from);
            self.closed.truncate(container.closed_from);
            ValuePartKind::Leaf
        };
        let name = None;
        (Part { name, kind, span }, container.member)
    }

    fn cuts_object(&mut self, object: &OpenContainer, length: usize) -> bool {
        let is_element = self.open.last().is_some_and(|around| around.is_array);
        let is_worth = length >= CUT_OBJECT_BYTES || object.has_array && !is_element;
        is_worth && object.has_large && object.keeps_names && self.has_unique_names(object)
    }

    /// `jsonb` keeps the last of equal names, wherever it is.
    fn has_unique_names(&mut self, object: &OpenContainer) -> bool {
        let names = self.names.get_mut(object.names_from..).unwrap_or_default();
        let text = self.text.as_bytes();
        names.sort_unstable_by(|one, two| text[one.clone()].cmp(&text[two.clone()]));
        let mut pairs = names.windows(2);
        pairs.all(|pair| text[pair[0].clone()] != text[pair[1].clone()])
    }
}

fn small_part(span: Range<usize>) -> Part {
    Part {
        name: None,
        kind: ValuePartKind::Small,
        span,
    }
}

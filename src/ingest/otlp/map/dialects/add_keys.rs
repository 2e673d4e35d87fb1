//! Adds the keys of a dialect file to the table of all keys.

use super::complaint::Complaint;
use super::file::{KeyEntry, NamedLists, PlacedText};
use super::source::Source;
use super::table::{AttributeTable, DialectIndex, FilledSlot, Preference};
use crate::ingest::otlp::map::slots::{ConversationSide, Slot};

/// The keys of a fact in one file, at most.
pub const MAX_KEYS_PER_FACT: u32 = 1000;
/// The fact that names the kind of work. It is no slot: a span may have several.
pub const KIND: &str = "kind";

/// Where the keys of one list go.
pub struct KeyTarget {
    /// The dialect of the file.
    pub dialect: DialectIndex,
    /// The preference of the file.
    pub file_preference: u16,
    /// The keys are those of the dialect's own spans, and override others.
    pub own: bool,
    /// The dialect is that of the conventions, on which all others build.
    pub conventions: bool,
}

/// The slot of a fact.
pub fn slot_named(fact: &PlacedText) -> Result<Slot, Complaint> {
    Slot::named(fact.get_ref()).ok_or_else(|| {
        let names = Slot::ALL.map(Slot::name).join(", ");
        let reason = format!(
            "unknown fact `{}`, expected one of {KIND}, {names}",
            fact.get_ref()
        );
        Complaint::of(fact, reason)
    })
}

/// The preference number of a key: that of its file, then its place in the list.
pub fn preference(of_file: u16, position: u32) -> Preference {
    u32::from(of_file) * MAX_KEYS_PER_FACT + position.min(MAX_KEYS_PER_FACT - 1)
}

/// A complaint about a key with two meanings.
pub fn contradiction(key: &PlacedText, other: &str, this: &str) -> Complaint {
    let key_text = key.get_ref();
    let reason = format!("`{key_text}` is already `{other}`, it cannot be `{this}` too");
    Complaint::of(key, reason)
}

/// Adds the keys of a file to a table.
pub fn add_keys(
    table: &mut AttributeTable,
    target: &KeyTarget,
    lists: NamedLists<toml::Spanned<KeyEntry>>,
) -> Result<(), Complaint> {
    for (fact, entries) in lists {
        for (position, entry) in (0..).zip(entries) {
            let span = entry.span();
            let entry = entry.into_inner();
            let placed = toml::Spanned::new(span.clone(), entry.source);
            let source = Source::parse(placed.get_ref()).map_err(|it| Complaint::at(&span, it))?;
            let preference =
                preference(entry.preference.unwrap_or(target.file_preference), position);
            if fact.get_ref() == KIND {
                add_kind(table, target, &placed, source)?;
            } else {
                let slot = slot_named(&fact)?;
                let filled = FilledSlot {
                    slot,
                    preference,
                    dialect: target.dialect,
                };
                add_source(table, target, &placed, source, filled)?;
            }
        }
    }
    Ok(())
}

fn add_kind(
    table: &mut AttributeTable,
    target: &KeyTarget,
    placed: &PlacedText,
    source: Source,
) -> Result<(), Complaint> {
    let Source::Attribute(key) = source else {
        return Err(Complaint::of(
            placed,
            "`kind` must be the key of an attribute".to_owned(),
        ));
    };
    let meaning = table.keys.entry(key).or_default();
    if target.own {
        // It may also be a word of the conventions: both read it.
        meaning.fills = None;
    } else {
        if let Some(other) = meaning.fills {
            return Err(contradiction(placed, other.slot.name(), KIND));
        }
        if meaning.kind_of.is_some_and(|other| other != target.dialect) {
            let reason = format!(
                "`{}` names kinds of work in another dialect already: put it into [own_keys]",
                placed.get_ref()
            );
            return Err(Complaint::of(placed, reason));
        }
        // The conventions' own word does not mark a span: all dialects use it.
        meaning.marks = (!target.conventions).then_some(target.dialect);
    }
    meaning.kind_of = Some(target.dialect);
    Ok(())
}

fn add_source(
    table: &mut AttributeTable,
    target: &KeyTarget,
    placed: &PlacedText,
    source: Source,
    filled: FilledSlot,
) -> Result<(), Complaint> {
    match source {
        Source::Attribute(key) => {
            let meaning = table.keys.entry(key).or_default();
            let other = meaning
                .fills
                .filter(|other| !target.own || other.dialect == target.dialect);
            if let Some(other) = other {
                if other.slot != filled.slot {
                    return Err(contradiction(placed, other.slot.name(), filled.slot.name()));
                }
                if other.preference <= filled.preference {
                    return Ok(());
                }
            } else if meaning.kind_of.is_some() && !target.own {
                return Err(contradiction(placed, KIND, filled.slot.name()));
            }
            if target.own {
                meaning.kind_of = None;
            }
            meaning.fills = Some(filled);
        }
        Source::Inside(key, path) => {
            let meaning = table.keys.entry(key).or_default();
            meaning.inside.push((path, filled));
            meaning.inside.sort_by_key(|(_, filled)| filled.preference);
            let names = meaning.inside.iter().map(|(path, _)| path.first_name());
            let quoted = names.map(|name| Some(format!("\"{}\"", name?)));
            meaning.inside_names = quoted.collect::<Option<_>>().unwrap_or_default();
        }
        Source::Event(name, key) => table.events.entry(name).or_default().push((key, filled)),
        Source::Numbered(prefix) => {
            let side = match filled.slot {
                Slot::InputMessages => ConversationSide::Input,
                Slot::OutputMessages => ConversationSide::Output,
                _ => {
                    let reason = "only input_messages and output_messages can be numbered";
                    return Err(Complaint::of(placed, reason.to_owned()));
                }
            };
            table.numbered.push((prefix, side));
        }
    }
    Ok(())
}

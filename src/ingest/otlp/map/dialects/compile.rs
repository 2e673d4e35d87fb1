//! Checks dialect files and compiles them into one table.

use std::collections::HashMap;

use super::add_keys::{KIND, KeyTarget, add_keys, contradiction, preference, slot_named};
use super::built_in::BUILT_IN_FILES;
use super::complaint::{Complaint, DialectError, DialectText};
use super::dialect::{Dialect, MessageEvent};
use super::file::{CountingRules, DialectFile, KeyEntry, NamedLists, PlacedText};
use super::key_hash::{KeyMap, KeySet};
use super::kind::{NamedKind, WordTable};
use super::pattern::{Pattern, PatternList};
use super::rule::Rule;
use super::table::{AttributeTable, DialectIndex, FilledSlot, PrefixTable};
use super::usage_object::UsageObject;
use super::{CONVENTIONS, ControlFlow, Dialects, UNKNOWN};
use crate::ingest::otlp::map::slots::Slot;

/// Facts and the keys that state them.
type KeyLists = NamedLists<toml::Spanned<KeyEntry>>;
/// The `[own_keys]` of a file, and their preference.
type OwnKeys = (KeyLists, u16);

/// The preference of a file that states none.
const DEFAULT_PREFERENCE: u16 = 50;
/// The most dialects.
const MAX_DIALECTS: usize = 1000;

impl Dialects {
    /// Compiles the built-in files and those of the user. A user's file with the
    /// name of a built-in dialect replaces it.
    ///
    /// # Errors
    /// If a file is wrong.
    pub fn compile(of_user: Vec<DialectText>) -> Result<Self, DialectError> {
        let mut files = Vec::new();
        for (file, text) in BUILT_IN_FILES {
            let (file, text) = ((*file).to_owned(), (*text).to_owned());
            files.push(ReadFile::read(DialectText { file, text })?);
        }
        let mut names = HashMap::new();
        for text in of_user {
            let read = ReadFile::read(text)?;
            let name = read.file.name.get_ref().clone();
            if let Some(other) = names.insert(name.clone(), read.text.file.clone()) {
                let reason = format!("the dialect `{name}` is already in {other}");
                return Err(Complaint::of(&read.file.name, reason).in_file(&read.text));
            }
            files.retain(|built_in| built_in.file.name.get_ref() != &name);
            files.push(read);
        }
        Compiler::new(&files).compile(files)
    }

    pub(super) fn empty() -> Self {
        let only = Dialect {
            name: UNKNOWN.into(),
            source: String::new(),
            index: 0,
            agent_type: String::new(),
            scopes: PatternList::default(),
            words: WordTable::default(),
            rules: Vec::new(),
            counting: CountingRules::default(),
            control_flow: Vec::new(),
            failed: Vec::new(),
            placeholders: PatternList::default(),
            unwrap: Vec::new(),
            message_events: Vec::new(),
        };
        Self {
            all: vec![only],
            conventions: 0,
            unknown: 0,
            everywhere: AttributeTable::default(),
            own: vec![None],
            prefixes: PrefixTable::default(),
            foreign: Vec::new(),
            foreign_unless_internal: Vec::new(),
            scope_noise: Vec::new(),
            signs: KeySet::default(),
            suffixes: KeyMap::default(),
            agent_names: Vec::new(),
            tool_names: Vec::new(),
            usage_objects: Vec::new(),
            documented: Vec::new(),
        }
    }
}

/// A file that TOML and the names of its fields allow.
struct ReadFile {
    text: DialectText,
    file: DialectFile,
}

impl ReadFile {
    fn read(text: DialectText) -> Result<Self, DialectError> {
        match toml::from_str::<DialectFile>(&text.text) {
            Ok(file) => Ok(Self { text, file }),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let reason = error.message().replace('\n', ", ");
                Err(Complaint { span, reason }.in_file(&text))
            }
        }
    }

    fn preference(&self) -> u16 {
        let stated = self.file.preference.as_ref();
        stated.map_or(DEFAULT_PREFERENCE, |stated| *stated.get_ref())
    }
}

struct Compiler {
    /// By name.
    indexes: HashMap<String, DialectIndex>,
    compiled: Dialects,
}

impl Compiler {
    fn new(files: &[ReadFile]) -> Self {
        let mut order: Vec<_> = files
            .iter()
            .map(|read| (read.preference(), read.file.name.get_ref().clone()))
            .collect();
        order.sort();
        let indexes = (0..).zip(order).map(|(index, (_, name))| (name, index));
        Self {
            indexes: indexes.collect(),
            compiled: Dialects::empty(),
        }
    }

    fn compile(mut self, files: Vec<ReadFile>) -> Result<Dialects, DialectError> {
        let mut all: Vec<Option<Dialect>> = Vec::new();
        all.resize_with(files.len(), || None);
        let mut own_lists = Vec::new();
        for ReadFile { text, file } in files {
            let (dialect, own) = self.add_file(file).map_err(|it| it.in_file(&text))?;
            let (index, preference) = (dialect.index, own.1);
            own_lists.push((text, index, preference, own.0));
            if let Some(place) = all.get_mut(usize::from(index)) {
                *place = Some(dialect);
            }
        }
        let mut compiled = self.compiled;
        compiled
            .usage_objects
            .sort_by_key(|object| object.preference);
        compiled.own.clear();
        compiled.own.resize_with(all.len(), || None);
        for (text, dialect, file_preference, keys) in own_lists {
            if keys.is_empty() {
                continue;
            }
            let mut table = compiled.everywhere.clone();
            let target = KeyTarget {
                dialect,
                file_preference,
                own: true,
                conventions: false,
            };
            add_keys(&mut table, &target, keys).map_err(|it| it.in_file(&text))?;
            compiled.own[usize::from(dialect)] = Some(table);
        }
        compiled.all = all.into_iter().flatten().collect();
        let position = |name: &str| compiled.all.iter().position(|it| &*it.name == name);
        compiled.conventions = position(CONVENTIONS).unwrap_or_default();
        compiled.unknown = position(UNKNOWN).unwrap_or_default();
        Ok(compiled)
    }

    fn add_file(&mut self, file: DialectFile) -> Result<(Dialect, OwnKeys), Complaint> {
        let name = file.name.get_ref().as_str();
        check_name(&file.name)?;
        let index = self.indexes.get(name).copied().unwrap_or_default();
        if self.indexes.len() > MAX_DIALECTS {
            return Err(Complaint::of(
                &file.name,
                format!("more than {MAX_DIALECTS} dialects"),
            ));
        }
        let of_file = file
            .preference
            .as_ref()
            .map_or(DEFAULT_PREFERENCE, |stated| *stated.get_ref());
        let has_kind = file.keys.keys().any(|fact| fact.get_ref() == KIND);
        let detects = !file.scopes.is_empty()
            || !file.marks.is_empty()
            || !file.prefixes.is_empty()
            || has_kind;
        if !detects && name != UNKNOWN {
            let reason = "nothing detects this dialect: add `scopes`, `marks`, `prefixes` or the fact `kind`";
            return Err(Complaint::of(&file.name, reason.to_owned()));
        }
        if let Some((fact, _)) = file.own_keys.first_key_value()
            && file.scopes.is_empty()
        {
            let reason = "`own_keys` are read in spans of the dialect's `scopes`: add some";
            return Err(Complaint::of(fact, reason.to_owned()));
        }
        self.document(index, &file.keys);
        self.document(index, &file.own_keys);
        let target = KeyTarget {
            dialect: index,
            file_preference: of_file,
            own: false,
            conventions: name == CONVENTIONS,
        };
        add_keys(&mut self.compiled.everywhere, &target, file.keys)?;
        for mark in &file.marks {
            let keys = &mut self.compiled.everywhere.keys;
            let marks = &mut keys.entry(mark.get_ref().clone()).or_default().marks;
            *marks = Some(marks.map_or(index, |other| other.min(index)));
        }
        let scopes = PatternList::new(file.scopes.iter().map(|it| it.get_ref().as_str()));
        for scope in &file.scopes {
            if Pattern::new(scope.get_ref()).specificity() == 0 {
                return Err(Complaint::of(
                    scope,
                    "a scope may not match everything".to_owned(),
                ));
            }
        }
        for prefix in &file.prefixes {
            if prefix.get_ref().is_empty() {
                return Err(Complaint::of(
                    prefix,
                    "a prefix may not be empty".to_owned(),
                ));
            }
            self.compiled.prefixes.add(prefix.get_ref(), index);
        }
        let texts = |list: Vec<PlacedText>| list.into_iter().map(toml::Spanned::into_inner);
        self.compiled.foreign.extend(texts(file.foreign));
        let internal = texts(file.foreign_unless_internal);
        self.compiled.foreign_unless_internal.extend(internal);
        self.compiled.scope_noise.extend(texts(file.scope_noise));
        self.compiled.signs.extend(texts(file.signs));
        self.add_suffixes(index, of_file, file.suffixes)?;
        let patterns =
            |texts: &super::file::Texts| texts.iter().map(Pattern::new).collect::<Vec<_>>();
        self.compiled
            .agent_names
            .extend(patterns(&file.names.agent));
        self.compiled.tool_names.extend(patterns(&file.names.tool));
        let mut control_flow = Vec::new();
        for (texts, flow) in [
            (&file.outcome.paused, ControlFlow::Paused),
            (&file.outcome.control_flow, ControlFlow::Continues),
        ] {
            control_flow.extend(patterns(texts).into_iter().map(|pattern| (pattern, flow)));
        }
        for object in file.usage_objects {
            let object = UsageObject::compile(object, of_file)?;
            self.compiled.usage_objects.push(object);
        }
        let agent_type = match &file.agent_type {
            Some(stated) => stated.get_ref().clone(),
            None => name.replace('_', "-"),
        };
        let message_events = file.message_events.into_iter().map(|event| MessageEvent {
            name: event.name,
            role: event.role,
            text: event.text,
        });
        let dialect = Dialect {
            name: name.into(),
            source: file.source.get_ref().clone(),
            index,
            agent_type,
            scopes,
            words: words(file.words)?,
            rules: rules(file.rules)?,
            counting: file.usage,
            control_flow,
            failed: file.outcome.failed.0,
            placeholders: PatternList::new(file.messages.placeholders.iter()),
            unwrap: file.tool.unwrap.0,
            message_events: message_events.collect(),
        };
        Ok((dialect, (file.own_keys, of_file)))
    }

    fn document(&mut self, dialect: DialectIndex, lists: &KeyLists) {
        for (fact, entries) in lists {
            let Some(slot) = Slot::named(fact.get_ref()) else {
                continue;
            };
            let sources = entries.iter().map(|entry| entry.get_ref().source.clone());
            let documented = sources.map(|source| (source, slot, dialect));
            self.compiled.documented.extend(documented);
        }
    }

    fn add_suffixes(
        &mut self,
        dialect: DialectIndex,
        file_preference: u16,
        suffixes: NamedLists<PlacedText>,
    ) -> Result<(), Complaint> {
        for (fact, keys) in suffixes {
            let slot = slot_named(&fact)?;
            for (position, key) in (0..).zip(keys) {
                let filled = FilledSlot {
                    slot,
                    preference: preference(file_preference, position),
                    dialect,
                };
                let text = key.get_ref().clone();
                if let Some(other) = self.compiled.suffixes.insert(text, filled)
                    && other.slot != slot
                {
                    return Err(contradiction(&key, other.slot.name(), slot.name()));
                }
            }
        }
        Ok(())
    }
}

fn check_name(name: &PlacedText) -> Result<(), Complaint> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.get_ref().is_empty() || !name.get_ref().bytes().all(valid) {
        let reason = "a name has only lower-case letters, digits and `_`";
        return Err(Complaint::of(name, reason.to_owned()));
    }
    Ok(())
}

fn words(lists: NamedLists<PlacedText>) -> Result<WordTable, Complaint> {
    let mut table = WordTable::default();
    for (kind, words) in lists {
        let parsed = NamedKind::parse(kind.get_ref()).map_err(|it| Complaint::of(&kind, it))?;
        for word in words {
            let other = table.add(word.get_ref(), parsed.clone());
            if other.is_some_and(|other| other != parsed) {
                let reason = format!("the word `{}` names two kinds of work", word.get_ref());
                return Err(Complaint::of(&word, reason));
            }
        }
    }
    Ok(table)
}

fn rules(rules: Vec<toml::Spanned<super::file::FileRule>>) -> Result<Vec<Rule>, Complaint> {
    let mut compiled = Vec::new();
    for rule in rules {
        let span = rule.span();
        let rule = Rule::compile(rule.into_inner())?;
        if rule.is_unconditional() {
            return Err(Complaint::at(&span, "a rule needs a condition".to_owned()));
        }
        if rule.is_empty() {
            return Err(Complaint::at(
                &span,
                "the rule says nothing: add `is` or `set`".to_owned(),
            ));
        }
        compiled.push(rule);
    }
    Ok(compiled)
}

//! The rows of the tables that take COPY: their columns, the order, and the values.
//!
//! The merging statements take the same columns as arrays.

use uuid::Uuid;

use super::aliases::{Aliases, NamedParent};
use super::copy::CopyBuffer;
use crate::event::{
    Content, Json, Message, Score, StepDetails, StepEnded, StepStarted, Timestamp, TokenCount,
};

/// A table that takes COPY.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The COPY statement.
    pub copy: &'static str,
    /// The number of columns in `copy`.
    columns: i16,
}

macro_rules! table {
    ($name:literal, $count:literal, $columns:literal) => {
        Table {
            copy: concat!(
                "COPY ",
                $name,
                " (",
                $columns,
                ") FROM STDIN (FORMAT binary)"
            ),
            columns: $count,
        }
    };
}

/// `agent_steps`.
pub const STEPS: Table = table!(
    "agent_steps",
    21,
    "id, run_id, step_type, name, input, output, duration_ms, created_at, parent_step_id, kind, status, error, \
     model, started_at, ended_at, metadata, duration_reported, details_rank, details_at, \
     named_parent_step_id, view"
);
/// `agent_messages`.
pub const MESSAGES: Table = table!(
    "agent_messages",
    12,
    "id, session_id, role, content, thinking, tool_calls, metadata, created_at, run_id, step_id, seq, sighting"
);
/// `agent_token_counts`.
pub const TOKEN_COUNTS: Table = table!(
    "agent_token_counts",
    11,
    "id, run_id, step_id, model, input, output, cache_read, cache_write, reasoning, rollup, created_at"
);

/// `agent_scores`.
pub const SCORES: Table = table!(
    "agent_scores",
    10,
    "id, run_id, step_id, name, value, label, comment, source, metadata, created_at"
);

/// `agent_contents`.
pub const CONTENTS: Table = table!(
    "agent_contents",
    7,
    "run_id, hash, kind, prev, part, name, body"
);

/// `agent_shared_contents`, with the columns of [`CONTENTS`].
pub const SHARED_CONTENTS: Table = table!(
    "agent_shared_contents",
    7,
    "scope_id, hash, kind, prev, part, name, body"
);

/// What one batch says about one step: its start, its end, or both.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepPart<'a> {
    /// The start and its event time.
    pub start: Option<(Timestamp, &'a StepStarted)>,
    /// The end and its event time.
    pub end: Option<(Timestamp, &'a StepEnded)>,
    /// The least start, if other events of the batch may report an earlier one.
    pub earliest: Option<Timestamp>,
}

// Ranks of step details; `merge_steps.sql` compares them.
const DETAILS_NONE: i16 = 0;
const DETAILS_OF_START: i16 = 1;

impl<'a> StepPart<'a> {
    fn ids(&self) -> (Option<Uuid>, Option<Uuid>) {
        let start = self.start.map(|(_, e)| (e.step_id, e.run_id));
        let ids = start.or(self.end.map(|(_, e)| (e.step_id, e.run_id)));
        (ids.map(|ids| ids.0), ids.map(|ids| ids.1))
    }

    /// The parent of the step, if it may be an alias.
    pub fn named_parent(&self) -> Option<NamedParent> {
        let (Some(details), ..) = self.details() else {
            return None;
        };
        let parent = details
            .parent_step_id
            .filter(|_| details.parent_may_be_alias);
        let (step, run) = self.ids();
        Some(NamedParent {
            run: run?,
            step: step?,
            parent: parent?,
        })
    }

    /// The winning details, with the internal rank and time that record their source.
    /// Both are NULL if the details are those of the row's own end.
    /// The details, and the rank and time of those of a start.
    pub fn details(&self) -> (Option<&'a StepDetails>, Option<i16>, Option<Timestamp>) {
        if let Some(details) = self.end.and_then(|(_, end)| end.details.as_ref()) {
            return (Some(details), None, None);
        }
        match self.start {
            Some((at, start)) => (Some(&start.details), Some(DETAILS_OF_START), Some(at)),
            None => (None, Some(DETAILS_NONE), None),
        }
    }

    /// The start time and the end time, as far as the batch knows them.
    pub fn times(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let started_at = [
            self.start.map(|(at, _)| at),
            self.end.and_then(|(_, end)| end.started_at),
            self.earliest,
        ];
        let ended_at = self.end.map(|(at, _)| at);
        (started_at.into_iter().flatten().min(), ended_at)
    }

    /// The row of `agent_steps`.
    pub fn row(&self, aliases: &Aliases) -> StepColumns<'a> {
        let (id, run_id) = self.ids();
        let (details, details_rank, details_at) = self.details();
        let (parent_step_id, named_parent_step_id) = match (details, run_id, id) {
            (Some(details), Some(run), Some(id)) => aliases.parents((run, id), details),
            _ => (None, None),
        };
        let end = self.end.map(|(_, end)| end);
        let (started_at, ended_at) = self.times();
        let reported = end.and_then(|end| end.duration_ms);
        let duration_ms = reported.or_else(|| {
            let millis = ended_at?.millis_since(started_at?);
            Some(i32::try_from(millis).unwrap_or(i32::MAX))
        });
        StepColumns {
            id,
            run_id,
            step_type: details.map(|d| d.step_type.as_str()),
            name: details.and_then(|d| d.name.as_deref()),
            input: details.and_then(|d| d.input.as_ref()),
            output: end.and_then(|end| end.output.as_ref()),
            duration_ms,
            created_at: started_at.or(ended_at),
            parent_step_id,
            kind: details.and_then(|d| d.kind.as_deref()),
            status: end.map_or("running", |end| end.status.as_str()),
            error: end.and_then(|end| end.error.as_deref()),
            model: details.and_then(|d| d.model.as_deref()),
            started_at,
            ended_at,
            metadata: details.and_then(|d| d.metadata.as_ref()),
            duration_reported: reported.map(|_| true),
            details_rank,
            details_at,
            named_parent_step_id,
            view: end.map(|end| end.view).filter(|view| *view != 0),
        }
    }
}

/// A row of `agent_steps`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // fields are named after their columns
pub struct StepColumns<'a> {
    pub id: Option<Uuid>,
    pub run_id: Option<Uuid>,
    pub step_type: Option<&'static str>,
    pub name: Option<&'a str>,
    pub input: Option<&'a Json>,
    pub output: Option<&'a Json>,
    pub duration_ms: Option<i32>,
    pub created_at: Option<Timestamp>,
    pub parent_step_id: Option<Uuid>,
    pub kind: Option<&'a str>,
    pub status: &'static str,
    pub error: Option<&'a str>,
    pub model: Option<&'a str>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub metadata: Option<&'a Json>,
    pub duration_reported: Option<bool>,
    pub details_rank: Option<i16>,
    pub details_at: Option<Timestamp>,
    pub named_parent_step_id: Option<Uuid>,
    pub view: Option<i16>,
}

/// Appends the row of `agent_steps`.
pub fn encode_step(copy: &mut CopyBuffer, row: &StepColumns<'_>) {
    copy.row(STEPS.columns)
        .uuid(row.id)
        .uuid(row.run_id)
        .text(row.step_type)
        .text(row.name)
        .jsonb(row.input)
        .jsonb(row.output)
        .int4(row.duration_ms)
        .timestamp(row.created_at)
        .uuid(row.parent_step_id)
        .text(row.kind)
        .text(Some(row.status))
        .text(row.error)
        .text(row.model)
        .timestamp(row.started_at)
        .timestamp(row.ended_at)
        .jsonb(row.metadata)
        .bool(row.duration_reported)
        .int2(row.details_rank)
        .timestamp(row.details_at)
        .uuid(row.named_parent_step_id)
        .int2(row.view);
}

/// Appends the row of `agent_messages`.
pub fn encode_message(copy: &mut CopyBuffer, time: Timestamp, e: &Message) {
    copy.row(MESSAGES.columns)
        .uuid(Some(e.message_id))
        .uuid(e.session_id)
        .text(Some(e.role.as_str()))
        .text(e.content.as_deref())
        .text(e.thinking.as_deref())
        .jsonb(e.tool_calls.as_ref())
        .jsonb(e.metadata.as_ref())
        .timestamp(Some(time))
        .uuid(e.run_id)
        .uuid(e.step_id)
        .int8(e.seq)
        .bool(e.sighting.then_some(true));
}

/// Appends the row of `agent_token_counts`.
pub fn encode_token_count(copy: &mut CopyBuffer, time: Timestamp, e: &TokenCount) {
    copy.row(TOKEN_COUNTS.columns)
        .uuid(Some(e.token_count_id))
        .uuid(Some(e.run_id))
        .uuid(e.step_id)
        .text(e.model.as_deref())
        .int4(e.input)
        .int4(e.output)
        .int4(e.cache_read)
        .int4(e.cache_write)
        .int4(e.reasoning)
        .bool(Some(e.rollup))
        .timestamp(Some(time));
}

/// Appends the row of `agent_scores`.
pub fn encode_score(copy: &mut CopyBuffer, time: Timestamp, e: &Score) {
    copy.row(SCORES.columns)
        .uuid(Some(e.score_id))
        .uuid(Some(e.run_id))
        .uuid(e.step_id)
        .text(Some(&e.name))
        .float8(e.value)
        .text(e.label.as_deref())
        .text(e.comment.as_deref())
        .text(e.source.as_deref())
        .jsonb(e.metadata.as_ref())
        .timestamp(Some(time));
}

/// Appends the row of `agent_contents` or `agent_shared_contents`. `holder`: the run or the scope.
pub fn encode_content(copy: &mut CopyBuffer, holder: Uuid, content: &Content<'_>) {
    copy.row(CONTENTS.columns)
        .uuid(Some(holder))
        .uuid(Some(content.hash()))
        .int2(Some(content.kind().number()))
        .uuid(content.prev())
        .uuid(content.part())
        .text(content.name())
        .json_text(content.body().as_deref());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EndStatus, FiniteNumber, StepType};

    fn columns(statement: &str) -> Vec<&str> {
        let list = statement.split_once('(').expect("a list").1;
        let list = list.split_once(')').expect("its end").0;
        list.split(',').map(str::trim).collect()
    }

    #[test]
    fn merging_takes_the_copied_columns() {
        for (table, statement) in [
            (STEPS, include_str!("../sql/merge_steps.sql")),
            (MESSAGES, include_str!("../sql/merge_messages.sql")),
            (TOKEN_COUNTS, include_str!("../sql/merge_token_counts.sql")),
            (SCORES, include_str!("../sql/merge_scores.sql")),
        ] {
            let copied = columns(table.copy);
            assert_eq!(copied.len(), table.columns as usize);
            let arrays = statement.split_once("AS u ").expect("arrays").1;
            assert_eq!(columns(arrays), copied);
        }
        let insert = include_str!("../sql/insert_contents.sql");
        for table in [CONTENTS, SHARED_CONTENTS] {
            let copied = columns(table.copy);
            assert_eq!(copied.len(), table.columns as usize);
            let (_, name) = table.copy.split_once(' ').expect("COPY");
            let (name, _) = name.split_once(' ').expect("a table");
            let target = format!("INSERT INTO {name} ");
            assert_eq!(columns(insert.split_once(&target).expect("it").1), copied);
        }
    }

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_postgres_micros(micros).expect("in range")
    }

    fn details(name: &str) -> StepDetails {
        StepDetails {
            step_type: StepType::Other,
            kind: None,
            name: Some(name.into()),
            parent_step_id: None,
            model: None,
            input: None,
            metadata: None,
            parent_may_be_alias: false,
        }
    }

    #[test]
    fn details_of_the_end_win_over_those_of_the_start() {
        let id = Uuid::nil();
        let start = StepStarted {
            step_id: id,
            run_id: id,
            details: details("start"),
        };
        let end = StepEnded {
            step_id: id,
            run_id: id,
            details: Some(details("end")),
            status: EndStatus::Failed,
            output: None,
            error: None,
            started_at: None,
            duration_ms: None,
            announced: false,
            view: 0,
        };
        let winner = |start, end| {
            let part = StepPart {
                start,
                end,
                earliest: None,
            };
            let (details, rank, at) = part.details();
            (details.and_then(|d| d.name.clone()), rank, at)
        };
        let (first, second) = (time(3), time(7));
        let both = winner(Some((first, &start)), Some((second, &end)));
        assert_eq!(both, (Some("end".into()), None, None));
        let bare = StepEnded {
            details: None,
            ..end.clone()
        };
        let both = winner(Some((first, &start)), Some((second, &bare)));
        assert_eq!(both, (Some("start".into()), Some(1), Some(first)));
        let end_only = winner(None, Some((second, &bare)));
        assert_eq!(end_only, (None, Some(0), None));
    }

    #[test]
    fn every_row_has_as_many_fields_as_its_table() {
        let id = Uuid::nil();
        let start = StepStarted {
            step_id: id,
            run_id: id,
            details: details("x"),
        };
        let count = TokenCount {
            token_count_id: id,
            run_id: id,
            step_id: None,
            model: None,
            input: Some(1),
            output: None,
            cache_read: None,
            cache_write: None,
            reasoning: None,
            rollup: false,
        };
        let part = StepPart {
            start: Some((time(0), &start)),
            ..StepPart::default()
        };
        let score = Score {
            score_id: id,
            run_id: id,
            step_id: None,
            name: "x".into(),
            value: FiniteNumber::new(0.5),
            label: None,
            comment: None,
            source: None,
            metadata: None,
        };
        let [mut steps, mut counts, mut scores] = [(); 3].map(|()| CopyBuffer::default());
        encode_step(&mut steps, &part.row(&Aliases::default()));
        encode_token_count(&mut counts, time(0), &count);
        encode_score(&mut scores, time(0), &score);
        for (mut buffer, table) in [(steps, STEPS), (counts, TOKEN_COUNTS), (scores, SCORES)] {
            buffer.finish();
            assert_eq!(fields(buffer.bytes()), table.columns);
        }
    }

    /// Counts the fields of the only row by following their lengths.
    fn fields(copy: &[u8]) -> i16 {
        let declared = i16::from_be_bytes([copy[19], copy[20]]);
        let mut rest = &copy[21..copy.len() - 2];
        let mut fields = 0;
        while let Some((length, value)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            rest = &value[usize::try_from(length).unwrap_or(0)..];
            fields += 1;
        }
        assert_eq!(declared, fields);
        fields
    }
}

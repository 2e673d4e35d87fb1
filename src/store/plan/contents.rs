//! The values of steps that are stored as contents.

use uuid::Uuid;

use super::types::{Plan, StepRow};
use crate::event::{CutValue, Json};

/// A value of a step that was cut.
#[derive(Clone, Copy, Debug)]
pub struct StepValue<'a> {
    /// The run of the step.
    pub run_id: Uuid,
    /// The position of an event that brings the value.
    pub event: Option<usize>,
    /// The value.
    pub value: CutValue<'a>,
}

impl<'a> Plan<'a> {
    /// The values that were cut of all steps to append or to merge.
    pub fn step_values(&self) -> impl Iterator<Item = StepValue<'a>> {
        let steps = self.appends.steps.iter().chain(self.merged_steps());
        steps.flat_map(values_of)
    }
}

fn values_of<'a>(row: &StepRow<'a>) -> impl Iterator<Item = StepValue<'a>> + use<'a> {
    let (details, rank, _) = row.part.details();
    // The details of a row without a rank are those of its end.
    let of_details = match rank {
        Some(_) => row.events[0],
        None => row.events[1],
    };
    let input = details.and_then(|details| details.input.as_ref());
    let output = row.part.end.and_then(|(_, end)| end.output.as_ref());
    let run_id = row.run_id;
    let values = [(of_details, input), (row.events[1], output)];
    values.into_iter().filter_map(move |(event, json)| {
        Some(StepValue {
            run_id,
            event,
            value: json.and_then(Json::contents)?,
        })
    })
}

//! The runs of all servers of a store as one list.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::database::StoreConnection;
use super::super::merged::{Moment, merge_down};
use crate::query::{self, InspectError, RunFilter, RunSearch};

/// What a list of runs is sorted by.
#[derive(Deserialize)]
struct ListPlace {
    run_id: Uuid,
    started_at: Option<String>,
    first_event_at: Option<String>,
}

impl ListPlace {
    fn of(row: &RawValue) -> Result<Self, InspectError> {
        Ok(serde_json::from_str(row.get())?)
    }
}

/// The runs that a filter selects, as [`query::runs`] sorts them.
pub(super) async fn latest(
    servers: &mut [StoreConnection],
    filter: &RunFilter,
) -> anyhow::Result<Vec<Box<RawValue>>> {
    let mut lists = Vec::new();
    for server in servers {
        let rows = query::runs(&mut server.conn, filter).await;
        lists.push(placed(rows).map_err(|error| server.failed(error))?);
    }
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    // Runs that nobody knows a time of come last.
    let rows = merge_down(lists, limit, |(place, _)| {
        let time = match filter.without_start {
            true => &place.first_event_at,
            false => &place.started_at,
        };
        (time.as_deref().map(Moment::read), place.run_id)
    });
    Ok(without_places(rows))
}

/// The runs that a search finds, as [`query::found_runs`] sorts them.
pub(super) async fn found(
    servers: &mut [StoreConnection],
    search: &RunSearch,
) -> anyhow::Result<Vec<Box<RawValue>>> {
    let mut lists = Vec::new();
    for server in servers {
        let rows = query::found_runs(&mut server.conn, search).await;
        lists.push(placed(rows).map_err(|error| server.failed(error))?);
    }
    // Runs without a known start are the newest.
    let rows = merge_down(lists, search.limit, |(place, _)| {
        let start = place.started_at.as_deref().map(Moment::read);
        (start.is_none(), start, place.run_id)
    });
    Ok(without_places(rows))
}

type PlacedRow = (ListPlace, Box<RawValue>);

fn placed(rows: Result<Vec<Box<RawValue>>, InspectError>) -> Result<Vec<PlacedRow>, InspectError> {
    let rows = rows?.into_iter();
    rows.map(|row| Ok((ListPlace::of(&row)?, row))).collect()
}

fn without_places(rows: Vec<PlacedRow>) -> Vec<Box<RawValue>> {
    rows.into_iter().map(|(_, row)| row).collect()
}

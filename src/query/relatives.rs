//! What surrounds a run on the other servers of its store.

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::merged_rows::RowsByTime;
use super::read_pool::{ReadAs, ReadPool};
use super::read_pools::{ReadPools, answers, in_time};
use super::skeleton::{NEAR_RUNS, RunHead, head_session_statement, near_statement};
use super::sql_text::SqlText;

/// How long another server may take. The run itself is read already, and whoever looks at it waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a run says of others.
#[derive(Clone, Copy, Debug, Deserialize)]
struct RunLinks {
    run_id: Uuid,
    parent_run_id: Option<Uuid>,
    session_id: Option<Uuid>,
}

/// What one server has around a run of another one.
struct Around {
    session: Option<String>,
    parent: Option<String>,
    children: Vec<String>,
    siblings: Vec<String>,
}

/// The parts of a session that make it more than an id.
#[derive(Deserialize)]
struct SessionContent {
    title: Option<String>,
    user_id: Option<Uuid>,
    customer_id: Option<Uuid>,
    external_id: Option<String>,
}

/// Of rows of one session, in the order of their preference, the first with content, or else the first.
#[must_use]
pub fn fullest_session(rows: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let mut first = None;
    for row in rows.into_iter().flatten() {
        let content: Option<SessionContent> = serde_json::from_str(&row).ok();
        if content.is_some_and(|content| content.is_some()) {
            return Some(row);
        }
        first.get_or_insert(row);
    }
    first
}

impl SessionContent {
    fn is_some(&self) -> bool {
        self.title.is_some()
            || self.user_id.is_some()
            || self.customer_id.is_some()
            || self.external_id.is_some()
    }
}

impl RunHead {
    /// The head of a run that its own server gave, with what the other servers have around it. Those that cannot say it
    /// now are `away`.
    ///
    /// # Errors
    /// If a row is not as the statements give it.
    pub async fn with_relatives(
        mut self,
        pools: &ReadPools,
        reader: &ReadAs,
    ) -> Result<Self, sqlx::Error> {
        if pools.all().len() == 1 {
            return Ok(self);
        }
        let links: RunLinks =
            serde_json::from_str(&self.run).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let own = pools.place_of(links.run_id);
        let (resting, asked): (Vec<_>, Vec<_>) = (0..pools.all().len())
            .filter(|server| *server != own)
            .partition(|server| pools.rests(*server));
        self.away = resting.into_iter().map(|server| server + 1).collect();
        let found = answers(asked, |server| async move {
            let pool = &pools.all()[server];
            (server, in_time(PATIENCE, links.around(pool, reader)).await)
        })
        .await;
        let mut around = Vec::new();
        for (server, answer) in found {
            pools.note(server, answer.is_ok());
            match answer {
                Ok(found) => around.push((server, found)),
                Err(_) => self.away.push(server + 1),
            }
        }
        self.away.sort_unstable();
        self.join(
            around,
            links.parent_run_id.map(|parent| pools.place_of(parent)),
        )?;
        Ok(self)
    }

    /// Adds what the other servers have. `parent_server` is where the parent is.
    fn join(
        &mut self,
        around: Vec<(usize, Around)>,
        parent_server: Option<usize>,
    ) -> Result<(), sqlx::Error> {
        let mut sessions = vec![self.session.take()];
        let mut children = vec![std::mem::take(&mut self.children)];
        let mut siblings = vec![std::mem::take(&mut self.siblings)];
        for (server, found) in around {
            sessions.push(found.session);
            children.push(found.children);
            siblings.push(found.siblings);
            if parent_server == Some(server) {
                self.parent = found.parent;
            }
        }
        self.session = fullest_session(sessions);
        self.children = RowsByTime::Runs.merged(children, NEAR_RUNS)?;
        self.siblings = RowsByTime::Runs.merged(siblings, NEAR_RUNS)?;
        Ok(())
    }
}

impl RunLinks {
    /// Asks one server what it has around the run.
    async fn around(&self, pool: &ReadPool, reader: &ReadAs) -> Result<Around, sqlx::Error> {
        let id = |id: Option<Uuid>| {
            let mut sql = SqlText::default();
            match id {
                Some(id) => sql.bind(&id.to_string(), "uuid"),
                None => sql.push("NULL::uuid"),
            };
            sql
        };
        let parent = id(self.parent_run_id);
        let near = |condition: &str, value: &SqlText| near_statement(self.run_id, condition, value);
        let mut tx = pool.begin_shared(reader).await?;
        Ok(Around {
            session: head_session_statement(&id(self.session_id))
                .json_row(&mut tx)
                .await?,
            parent: near("r.id = ", &parent).json_row(&mut tx).await?,
            children: near("r.parent_run_id = ", &id(Some(self.run_id)))
                .json_rows(&mut tx)
                .await?,
            siblings: near("r.parent_run_id = ", &parent)
                .json_rows(&mut tx)
                .await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_taken_from_where_it_has_content() {
        let row = |title: &str| {
            Some(format!(
                "{{\"title\":{title},\"user_id\":null,\"customer_id\":null,\"external_id\":null}}"
            ))
        };
        let (empty, full) = (row("null"), row("\"a\""));
        let fullest = |rows: [&Option<String>; 3]| fullest_session(rows.map(Clone::clone));
        assert_eq!(fullest([&None, &None, &None]), None);
        assert_eq!(fullest([&empty, &None, &None]), empty);
        assert_eq!(fullest([&empty, &None, &full]), full);
        assert_eq!(fullest([&full, &row("\"b\""), &empty]), full);
    }
}

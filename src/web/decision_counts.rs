//! How many approvals are decided, on all servers of the store.

use std::collections::HashMap;

use sqlx::Row as _;

use crate::query::{
    ApprovalsOf, ReadAs, ReadPool, ReadPools, SHORT_PATIENCE, decision_counts_statement,
};

/// The counts of one server; `None`: it cannot say them now.
type OneServer = Option<HashMap<ApprovalsOf, i64>>;

/// How many approvals each server knows to be decided.
#[derive(Debug)]
pub(super) struct DecisionCounts<'a> {
    pools: &'a ReadPools,
    servers: Vec<OneServer>,
}

/// Asks all servers how many of these approvals are decided.
pub(super) async fn decision_counts<'a>(
    pools: &'a ReadPools,
    all: &[ApprovalsOf],
) -> DecisionCounts<'a> {
    let ask = |pool: ReadPool| async move { counts(&pool, all).await };
    let answers = pools.asked(SHORT_PATIENCE, ask).await;
    DecisionCounts {
        pools,
        servers: answers.into_iter().map(Result::ok).collect(),
    }
}

async fn counts(
    pool: &ReadPool,
    all: &[ApprovalsOf],
) -> Result<HashMap<ApprovalsOf, i64>, sqlx::Error> {
    let mut tx = pool.begin(&ReadAs::Daemon).await?;
    let rows = decision_counts_statement(all).rows(&mut tx).await?;
    rows.iter()
        .map(|row| {
            let id = row.try_get("id")?;
            let of = match row.try_get("is_run")? {
                true => ApprovalsOf::Run(id),
                false => ApprovalsOf::One(id),
            };
            Ok((of, row.try_get("decided")?))
        })
        .collect()
}

impl DecisionCounts<'_> {
    /// How many are decided; `None`: nobody can say that now. A run is on one server. An approval may be on any.
    pub(super) fn of(&self, of: ApprovalsOf) -> Option<i64> {
        let count = |server: &OneServer| {
            let known = server.as_ref()?;
            Some(known.get(&of).copied().unwrap_or(0))
        };
        match of {
            ApprovalsOf::Run(run) => self.servers.get(self.pools.place_of(run)).and_then(count),
            // Of several servers with the id, each decision is news.
            ApprovalsOf::One(_) => self.servers.iter().map(count).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn what_a_server_cannot_say_is_not_known() {
        let (run, one) = (
            ApprovalsOf::Run(Uuid::nil()),
            ApprovalsOf::One(Uuid::from_u128(1)),
        );
        let pools = ReadPools::new(
            vec![PgConnectOptions::new(); 2],
            |_, _| 1,
            |_| Box::pin(async { Ok(()) }),
        );
        let of = |servers: [OneServer; 2]| {
            let servers = servers.to_vec();
            let counts = DecisionCounts {
                pools: &pools,
                servers,
            };
            (counts.of(run), counts.of(one))
        };
        let none = || Some(HashMap::new());
        let some = |of, count| Some(HashMap::from([(of, count)]));
        assert_eq!(of([none(), none()]), (Some(0), Some(0)));
        assert_eq!(of([none(), some(run, 3)]), (Some(3), Some(0)));
        assert_eq!(of([none(), None]), (None, None));
        assert_eq!(of([None, some(run, 3)]), (Some(3), None));
        assert_eq!(of([some(one, 1), None]), (None, None));
        assert_eq!(of([some(one, 1), some(one, 1)]), (Some(0), Some(2)));
    }
}

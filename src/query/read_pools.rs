//! The pools of all servers of a store.
//!
//! A read of all servers never holds a connection of one of them while it waits for another's, except that statistics
//! hold one of the first. So reads cannot wait for each other in a circle.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;
use uuid::Uuid;

use super::read_pool::{ConnectionCheck, ReadPool};

/// How long one of several servers may take: longer than a connection and a statement.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for what is short, and asked of all servers because nobody knows which of them has it.
pub const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a server that has failed is left alone by reads that can do without it.
const REST: Duration = Duration::from_secs(10);

/// Which of so many servers has a run, or what has only a session.
type ServerOf = fn(Uuid, usize) -> usize;

/// A pool for each server of the store, in their order.
#[derive(Clone, Debug)]
pub struct ReadPools {
    all: Arc<[ReadPool]>,
    /// When each of them last failed, if it has not answered since.
    failed: Arc<[Mutex<Option<Instant>>]>,
    server_of: ServerOf,
}

impl ReadPools {
    /// Pools that connect when they are used. `server_of` says where a run is, and `check` looks at each new connection.
    #[must_use]
    pub fn new(
        databases: Vec<PgConnectOptions>,
        server_of: ServerOf,
        check: ConnectionCheck,
    ) -> Self {
        Self {
            failed: databases.iter().map(|_| Mutex::default()).collect(),
            all: databases
                .into_iter()
                .map(|database| ReadPool::new(database, check))
                .collect(),
            server_of,
        }
    }

    /// The pools of all servers.
    #[must_use]
    pub fn all(&self) -> &[ReadPool] {
        &self.all
    }

    /// The pool of the first server, which has what is not about runs.
    #[must_use]
    pub fn first(&self) -> &ReadPool {
        &self.all[0]
    }

    /// The pools of all servers but the first.
    #[must_use]
    pub fn behind_first(&self) -> &[ReadPool] {
        &self.all[1..]
    }

    /// The number of the server that has a run, from 0.
    #[must_use]
    pub fn place_of(&self, run: Uuid) -> usize {
        (self.server_of)(run, self.all.len())
    }

    /// The pool of the server that has a run, and everything below it.
    #[must_use]
    pub fn one_of(&self, run: Uuid) -> &ReadPool {
        &self.all[self.place_of(run)]
    }

    /// Asks all servers at the same time. The answers are in their order.
    ///
    /// # Errors
    /// If one server fails, or does not answer in time: what the others say would not be all there is.
    pub async fn each<T, F>(&self, ask: impl Fn(ReadPool) -> F) -> Result<Vec<T>, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let answers = self.asked(PATIENCE, ask).await;
        answers.into_iter().collect()
    }

    /// Asks all servers for something short, which one of them may have. Returns the servers that have it, and why others
    /// cannot say. An id is checked by each server alone, so several may have what has one id.
    pub async fn holders<T, F>(
        &self,
        ask: impl Fn(ReadPool) -> F,
    ) -> (Vec<(ReadPool, T)>, Option<sqlx::Error>)
    where
        F: Future<Output = Result<Option<T>, sqlx::Error>>,
    {
        let (mut found, mut failed) = (Vec::new(), None);
        let answers = self.asked(SHORT_PATIENCE, ask).await;
        for (answer, pool) in answers.into_iter().zip(&*self.all) {
            match answer {
                Ok(Some(one)) => found.push((pool.clone(), one)),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        (found, failed)
    }

    /// As [`Self::each`], with an answer or an error of each server. The only server may take its time.
    pub async fn asked<T, F>(
        &self,
        limit: Duration,
        ask: impl Fn(ReadPool) -> F,
    ) -> Vec<Result<T, sqlx::Error>>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let is_only = self.all.len() == 1;
        let ask = |pool| {
            let answer = ask(pool);
            async move {
                match is_only {
                    true => answer.await,
                    false => in_time(limit, answer).await,
                }
            }
        };
        answers(self.all.iter().cloned(), ask).await
    }

    /// Whether a server that is not urgently needed failed so recently that it is left alone.
    pub(super) fn rests(&self, server: usize) -> bool {
        let failed = self.failed[server]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < REST)
    }

    /// Notes whether a server has answered.
    pub(super) fn note(&self, server: usize, answered: bool) {
        let mut failed = self.failed[server]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *failed = (!answered).then(Instant::now);
    }
}

/// Gives up after a time: a frozen server says nothing, whatever its own limits are.
pub(super) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answer = timeout(limit, answer).await;
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// What each of these servers answers, in their order. All are asked at the same time.
pub(super) async fn answers<S, F: Future>(
    servers: impl IntoIterator<Item = S>,
    ask: impl Fn(S) -> F,
) -> Vec<F::Output> {
    all_of(servers.into_iter().map(ask).map(Box::pin).collect()).await
}

/// The results of all these futures, which run at the same time.
async fn all_of<F: Future>(mut futures: Vec<Pin<Box<F>>>) -> Vec<F::Output> {
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *result = Some(output);
            }
        }
        match results.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(servers: usize) -> ReadPools {
        ReadPools::new(
            vec![PgConnectOptions::new(); servers],
            |_, of| of - 1,
            |_| Box::pin(async { Ok(()) }),
        )
    }

    #[tokio::test]
    async fn servers_are_asked_at_the_same_time_and_answer_in_their_order() {
        let pools = pools(3);
        let number = std::cell::Cell::new(0_u64);
        let barrier = tokio::sync::Barrier::new(3);
        let ask = |_| {
            number.set(number.get() + 1);
            let (number, barrier) = (number.get(), &barrier);
            async move {
                barrier.wait().await;
                tokio::time::sleep(Duration::from_millis(30 / number)).await;
                Ok(number)
            }
        };
        assert_eq!(pools.each(ask).await.unwrap(), vec![1, 2, 3]);
        assert_eq!(pools.place_of(Uuid::nil()), 2);
    }

    #[tokio::test]
    async fn all_servers_that_have_an_id_are_found_though_another_fails() {
        let pools = pools(3);
        let found = async |answers: [Option<Option<u8>>; 3]| {
            let next = std::cell::Cell::new(0);
            let ask = |_| {
                let answer = answers[next.replace(next.get() + 1)];
                async move { answer.ok_or(sqlx::Error::PoolClosed) }
            };
            let (found, failed) = pools.holders(ask).await;
            let found: Vec<u8> = found.into_iter().map(|(_, one)| one).collect();
            (found, failed.is_some())
        };
        assert_eq!(
            found([None, Some(None), Some(Some(7))]).await,
            (vec![7], true)
        );
        assert_eq!(
            found([Some(Some(6)), Some(None), Some(Some(7))]).await,
            (vec![6, 7], false)
        );
        assert_eq!(found([Some(None); 3]).await, (vec![], false));
    }

    #[tokio::test]
    async fn one_of_several_servers_is_not_waited_for_without_end() {
        let frozen = |_| std::future::pending::<Result<(), sqlx::Error>>();
        let soon = Duration::from_millis(10);
        let answers = pools(2).asked(soon, frozen).await;
        assert!(answers.iter().all(Result::is_err));
        let only = timeout(10 * soon, pools(1).asked(soon, frozen)).await;
        // It has the limits of its statements.
        assert!(only.is_err());
        let pools = pools(2);
        pools.note(1, false);
        assert_eq!((pools.rests(0), pools.rests(1)), (false, true));
        pools.note(1, true);
        assert!(!pools.rests(1));
    }
}

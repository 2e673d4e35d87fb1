//! The pools of all servers of a store.
//!
//! A read of all servers never holds a connection of one of them while it waits for another's, except that statistics
//! hold one of the first. So reads cannot wait for each other in a circle.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::read_pool::ReadPool;

/// Which of so many servers has a run, or what has only a session.
type ServerOf = fn(Uuid, usize) -> usize;

/// A pool for each server of the store, in their order.
#[derive(Clone, Debug)]
pub struct ReadPools {
    all: Arc<[ReadPool]>,
    server_of: ServerOf,
}

impl ReadPools {
    /// Pools that connect when they are used. `server_of` says where a run is.
    #[must_use]
    pub fn new(databases: Vec<PgConnectOptions>, server_of: ServerOf) -> Self {
        Self {
            all: databases.into_iter().map(ReadPool::new).collect(),
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
    /// If one server fails: what the others say would not be all there is.
    pub async fn each<T, E, F>(&self, ask: impl Fn(ReadPool) -> F) -> Result<Vec<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let pools = self.all.iter().cloned();
        answers(pools, ask).await.into_iter().collect()
    }

    /// Asks all servers for what only one of them has. Returns which has it.
    ///
    /// # Errors
    /// If no server has it, and one fails: it may be the one.
    pub async fn find<T, E, F>(
        &self,
        ask: impl Fn(ReadPool) -> F,
    ) -> Result<Option<(ReadPool, T)>, E>
    where
        F: Future<Output = Result<Option<T>, E>>,
    {
        let mut failed = None;
        let found = answers(self.all.iter().cloned(), ask).await;
        for (answer, pool) in found.into_iter().zip(&*self.all) {
            match answer {
                Ok(Some(found)) => return Ok(Some((pool.clone(), found))),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }
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
    use std::time::Duration;

    use super::*;

    fn pools(servers: usize) -> ReadPools {
        ReadPools::new(vec![PgConnectOptions::new(); servers], |_, of| of - 1)
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
                Ok::<_, ()>(number)
            }
        };
        assert_eq!(pools.each(ask).await, Ok(vec![1, 2, 3]));
        assert_eq!(pools.place_of(Uuid::nil()), 2);
    }

    #[tokio::test]
    async fn what_one_server_has_is_found_though_another_fails() {
        let pools = pools(3);
        let found = async |answers: [Result<Option<u8>, &'static str>; 3]| {
            let next = std::cell::Cell::new(0);
            let ask = |_| {
                let answer = answers[next.replace(next.get() + 1)];
                async move { answer }
            };
            pools.find(ask).await.map(|found| found.map(|(_, one)| one))
        };
        assert_eq!(
            found([Err("away"), Ok(None), Ok(Some(7))]).await,
            Ok(Some(7))
        );
        assert_eq!(found([Ok(None); 3]).await, Ok(None));
        assert_eq!(found([Ok(None), Err("away"), Ok(None)]).await, Err("away"));
    }
}

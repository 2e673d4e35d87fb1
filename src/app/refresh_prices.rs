//! Fills in the catalog's prices of models that appear in traces.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::prices::{self, CatalogModel};
use crate::store::{self, PriceRow, Session, TraceLayout, TracePlace};

/// How often new token counts are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often all token counts and steps are looked at again: a model may become known later, and
/// rows may fill gaps.
const ANEW: Duration = Duration::from_secs(3_600);
/// So many places are looked at together. The next look goes on with others.
const PLACES: usize = 8;
/// How long the database may take for one look, and so how long the sweeper waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What was looked at so far.
#[derive(Default)]
struct PriceProgress {
    next: HashMap<TracePlace, NextPages>,
    /// The number of the place that is next.
    place: usize,
    /// Whether the rows of an earlier version's catalog were written anew.
    renewed: bool,
}

/// Where to go on.
#[derive(Clone, Copy, Default)]
struct NextPages {
    counts: i64,
    /// The same in the steps, which say who the provider is.
    steps: i64,
}

/// Fills in prices until `stop`, in the session of the sweeper. The writers of events do not
/// wait for it.
pub async fn refresh_prices(session: &Mutex<Session>, stop: CancellationToken) {
    let mut progress = PriceProgress::default();
    let mut begun = Instant::now();
    loop {
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        if begun.elapsed() > ANEW {
            progress.next.clear();
            begun = Instant::now();
        }
        let mut session = session.lock().await;
        let round = async {
            let done = fill_in(session.acquire().await?.conn(), &mut progress).await;
            session.release(done.as_ref().err());
            done
        };
        match timeout(TIMEOUT, round).await {
            Ok(Ok(())) => {}
            // Costs stay unknown meanwhile; events do not.
            Ok(Err(error)) => {
                tracing::debug!(error = %store::reason(&error), "prices not filled in");
            }
            Err(_) => session.give_up().await,
        }
    }
}

async fn fill_in(conn: &mut PgConnection, progress: &mut PriceProgress) -> Result<(), sqlx::Error> {
    if !progress.renewed {
        for model in store::catalog_models(conn).await? {
            write(conn, model).await?;
        }
        progress.renewed = true;
    }
    let places = TraceLayout::find(conn).await?.places();
    let at_once = places.len().min(PLACES);
    for _ in 0..at_once {
        let place = places[progress.place % places.len()];
        progress.place = (progress.place + 1) % places.len();
        let next = progress.next.entry(place).or_default();
        let (models, keys) = place
            .within(conn, async |conn| {
                let models = store::unpriced_models(conn, next.counts, at_once).await?;
                Ok((
                    models,
                    store::unpriced_keys(conn, next.steps, at_once).await?,
                ))
            })
            .await?;
        let names: BTreeSet<String> = models.0.into_iter().chain(keys.0).collect();
        for name in names {
            write(conn, name).await?;
        }
        (next.counts, next.steps) = (models.1, keys.1);
    }
    Ok(())
}

async fn write(conn: &mut PgConnection, model: String) -> Result<(), sqlx::Error> {
    let name = model.clone();
    let Ok(found) = spawn_blocking(move || prices::look_up(&name)).await else {
        return Ok(());
    };
    let rows = found.map(rows).unwrap_or_default();
    store::write_catalog_prices(conn, &model, &rows).await
}

fn rows(model: CatalogModel) -> Vec<PriceRow> {
    let priced_as = model.priced_as;
    let row = |price: prices::CatalogPrice| {
        let time = |seconds| Timestamp::from_second(seconds).ok();
        PriceRow {
            valid_from: price.from.and_then(time).map(|time| time.to_string()),
            above_input_tokens: price.above,
            input: Some(price.rates.input),
            output: Some(price.rates.output),
            cache_read: Some(price.rates.cache_read),
            cache_write: Some(price.rates.cache_write),
            reasoning: Some(price.rates.reasoning),
            priced_as: Some(priced_as.clone()),
        }
    };
    model.prices.into_iter().map(row).collect()
}

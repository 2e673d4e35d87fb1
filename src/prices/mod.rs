//! Prices of models, from the catalog that the program brings (the crate `genai-prices`).
//!
//! The catalog answers what one call costs. The database needs rates: from when they hold,
//! and above how many input tokens. So a model is asked about day by day and size by size.

mod probe;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};

use self::probe::Probe;

const DAY: Duration = Duration::from_secs(86_400);
/// The first day that is looked at, in days since 1970: 1 January 2023. Older prices are
/// those of that day.
const FIRST_DAY: u64 = 19_358;
/// Prices change at midnight, and for some models by the time of day: noon's count.
const NOON: Duration = Duration::from_secs(43_200);
/// Days between two looks. Between two that differ, the very day is searched for.
const STRIDE: u64 = 7;
/// The largest input that is looked at, in tokens.
const LARGEST_INPUT: u64 = 4_000_000;

/// US dollars per million tokens, as text of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CatalogRates {
    pub input: String,
    pub output: String,
    pub cache_read: String,
    pub cache_write: String,
    pub reasoning: String,
}

/// A price of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogPrice {
    /// Seconds since 1970 from which it holds; `None`: always.
    pub from: Option<i64>,
    /// Calls with more input tokens than this have it.
    pub above: i64,
    /// The rates.
    pub rates: CatalogRates,
}

/// What the catalog knows of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogModel {
    /// Provider and model in the catalog.
    pub priced_as: String,
    /// Prices, the earliest and smallest first.
    pub prices: Vec<CatalogPrice>,
}

/// Looks a model up by the name that agents use. `None`: the catalog does not know it, or
/// knows no price per token.
#[must_use]
pub fn look_up(model: &str) -> Option<CatalogModel> {
    let (provider, name) = matched(model)?;
    let probe = Probe::new(Calculator::bundled(), &provider, model);
    let today = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs() / DAY.as_secs();
    let mut prices = Vec::new();
    let mut tell = |from: Option<u64>, sizes: Vec<(u64, CatalogRates)>| {
        let from = from.map(|day| (day * DAY.as_secs()).cast_signed());
        prices.extend(sizes.into_iter().map(|(above, rates)| CatalogPrice {
            from,
            above: above.cast_signed(),
            rates,
        }));
    };
    let mut day = FIRST_DAY;
    let mut now = sizes(&probe, day)?;
    tell(None, now.clone());
    while day < today {
        let next = (day + STRIDE).min(today);
        let later = sizes(&probe, next)?;
        if later == now {
            day = next;
            continue;
        }
        // The first day of this stride with other prices than `now`.
        let (mut same, mut other) = (day, next);
        while other - same > 1 {
            let middle = same.midpoint(other);
            match sizes(&probe, middle)? == now {
                true => same = middle,
                false => other = middle,
            }
        }
        (day, now) = (other, sizes(&probe, other)?);
        tell(Some(day), now.clone());
    }
    let is_priced =
        |price: &CatalogPrice| !(is_zero(&price.rates.input) && is_zero(&price.rates.output));
    // Nothing is free that has no price per token: it is paid in another way.
    prices.iter().any(is_priced).then_some(CatalogModel {
        priced_as: format!("{provider}/{name}"),
        prices,
    })
}

fn is_zero(rate: &str) -> bool {
    rate.parse() == Ok(0.0)
}

/// Provider and model of the catalog. A name may begin with its provider.
fn matched(model: &str) -> Option<(String, String)> {
    let usage = Usage::from([(UsageKey::INPUT_TOKENS, 1.0)]);
    let calculator = Calculator::bundled();
    let litellm = PriceRequest::new(model, &usage).with_provider_id("litellm");
    let found = calculator
        .calculate(&PriceRequest::new(model, &usage))
        .or_else(|_| calculator.calculate(&litellm))
        .ok()?;
    Some((found.provider_id, found.model_id))
}

/// The rates of a day: above how many input tokens, and which.
fn sizes(probe: &Probe<'_>, day: u64) -> Option<Vec<(u64, CatalogRates)>> {
    let at = UNIX_EPOCH + DAY * u32::try_from(day).ok()? + NOON;
    let mut found = vec![(0, probe.rates(at, 1)?)];
    let mut size = 1;
    let largest = probe.rates(at, LARGEST_INPUT)?;
    while found.last().is_some_and(|(_, rates)| *rates != largest) {
        let rates = probe.rates(at, size)?;
        // The first size beyond `size` with other rates. There may be more of them beyond.
        let (mut same, mut other) = (size, LARGEST_INPUT);
        while other - same > 1 {
            let middle = same.midpoint(other);
            match probe.rates(at, middle)? == rates {
                true => same = middle,
                false => other = middle,
            }
        }
        found.push((same, probe.rates(at, other)?));
        size = other;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_changed_has_two_rows() {
        let model = look_up("o3").unwrap();
        assert_eq!(model.priced_as, "openai/o3");
        let rows: Vec<_> = model
            .prices
            .iter()
            .map(|price| {
                (
                    price.from,
                    price.above,
                    price.rates.input.as_str(),
                    price.rates.output.as_str(),
                )
            })
            .collect();
        // 10 June 2025.
        let expected = [(None, 0, "10", "40"), (Some(1_749_513_600), 0, "2", "8")];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_price_by_size_has_a_row_for_each() {
        let model = look_up("claude-sonnet-4-5-20250929").unwrap();
        assert_eq!(model.priced_as, "anthropic/claude-sonnet-4-5");
        let rows: Vec<_> = model
            .prices
            .iter()
            .map(|price| {
                let rates = &price.rates;
                (
                    price.above,
                    rates.input.as_str(),
                    rates.output.as_str(),
                    rates.cache_read.as_str(),
                    rates.cache_write.as_str(),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                (0, "3", "15", "0.3", "3.75"),
                (200_000, "6", "22.5", "0.6", "7.5")
            ]
        );
    }

    #[test]
    fn what_the_catalog_does_not_know_has_no_price() {
        for unknown in ["large-1", "", "our-own-model", "💥"] {
            assert_eq!(look_up(unknown), None, "{unknown}");
        }
        assert_eq!(
            look_up("openai/gpt-4o").unwrap().prices[0].rates.input,
            "2.5"
        );
    }
}

//! Prices of models, from the catalog that the program brings (the crate `genai-prices`).
//!
//! The catalog answers what one call costs. The database needs rates: from when they hold,
//! and above how many input tokens. So a model is asked about day by day and size by size.

mod probe;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use genai_prices::{Calculator, PriceRequest, ProviderInfo, Usage, UsageKey};

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

/// What follows a name in the table of prices if the price is one of batches.
const BATCH: &str = ":batch";
/// Providers whose price lists halve every rate of a batch. The catalog has none of batches.
const HALVED: [&str; 3] = ["anthropic", "google", "openai"];

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

impl CatalogRates {
    fn halve(&mut self) {
        let Self {
            input,
            output,
            cache_read,
            cache_write,
            reasoning,
        } = self;
        for rate in [input, output, cache_read, cache_write, reasoning] {
            let dollars: f64 = rate.parse().unwrap_or_default();
            *rate = probe::text(dollars / 2.0);
        }
    }
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

/// Looks a model up by the name that agents use, which may be followed by `@` and a provider,
/// and by `:batch`. `None`: the catalog does not know it, or knows no price per token; or the
/// provider is the usual one, whose price the name alone has.
#[must_use]
pub fn look_up(key: &str) -> Option<CatalogModel> {
    let (name, is_batch) = match key.strip_suffix(BATCH) {
        Some(name) => (name, true),
        None => (key, false),
    };
    let at = name.rsplit_once('@');
    let named = at.and_then(|(model, provider)| Some((model, catalog_provider(provider)?)));
    let Some((model, provider)) = named else {
        let found = match matched(name) {
            Some(found) => look_up_model(name, found),
            None => look_up_anywhere(name),
        };
        return found.filter(|_| !is_batch);
    };
    if !is_batch {
        let usual = matched(model);
        let found = matched_at(model, &provider).filter(|found| usual.as_ref() != Some(found))?;
        return look_up_model(model, found);
    }
    let has_discount = HALVED.contains(&provider.as_str());
    let found = matched_at(model, &provider).filter(|_| has_discount)?;
    let mut found = look_up_model(model, found)?;
    for price in &mut found.prices {
        price.rates.halve();
    }
    found.priced_as.push_str(BATCH);
    Some(found)
}

/// A model by its exact name, if all providers that have one of it ask the same price.
fn look_up_anywhere(model: &str) -> Option<CatalogModel> {
    let has_it = |provider: &ProviderInfo<'_>| provider.models().any(|known| known.id() == model);
    let mut found = Calculator::bundled()
        .providers()
        .filter(has_it)
        .map(|provider| look_up_model(model, (provider.id().to_owned(), model.to_owned())));
    let first = found.next()??;
    let is_same =
        |other: Option<CatalogModel>| other.is_some_and(|other| other.prices == first.prices);
    found.all(is_same).then_some(first)
}

fn look_up_model(model: &str, (provider, name): (String, String)) -> Option<CatalogModel> {
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

/// The same at a provider of the catalog.
fn matched_at(model: &str, provider: &str) -> Option<(String, String)> {
    let usage = Usage::from([(UsageKey::INPUT_TOKENS, 1.0)]);
    let request = PriceRequest::new(model, &usage).with_provider_id(provider);
    let found = Calculator::bundled().calculate(&request).ok()?;
    Some((found.provider_id, found.model_id))
}

/// The provider of the catalog that a source means.
fn catalog_provider(named: &str) -> Option<String> {
    // The catalog takes `azure.ai.openai` for OpenAI.
    let known = match named {
        "x_ai" | "xai" => "x-ai",
        _ if named.contains("azure") || named.starts_with("az.") => "azure",
        _ => named,
    };
    let found = Calculator::bundled().find_provider(Some(known), None);
    Some(found.ok()??.id().to_owned())
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

    #[test]
    fn embeddings_have_a_price_for_what_goes_in() {
        let found = look_up("text-embedding-3-small@openai").unwrap();
        let rates = &found.prices[0].rates;
        assert_eq!((rates.input.as_str(), rates.output.as_str()), ("0.02", "0"));
    }

    #[test]
    fn a_model_without_a_provider_has_the_price_that_all_its_providers_ask() {
        let anywhere = look_up("text-embedding-3-small").unwrap();
        let at_openai = look_up("text-embedding-3-small@openai").unwrap();
        assert_eq!(anywhere.prices, at_openai.prices);
        assert_eq!(look_up("text-embedding-3-small:batch"), None, "of whom?");
        // A part of a name, and one whose providers differ, tell nothing.
        assert_eq!(look_up("text-embedding-3"), None);
        assert_eq!(look_up("thinkingmachines/inkling-small"), None);
    }

    #[test]
    fn another_provider_and_a_batch_have_prices_of_their_own() {
        let first = |key: &str| {
            let found = look_up(key)?;
            let rates = found.prices[0].rates.clone();
            Some((found.priced_as, rates.input, rates.output))
        };
        let told = |priced_as: &str, input: &str, output: &str| {
            Some((priced_as.to_owned(), input.to_owned(), output.to_owned()))
        };
        assert_eq!(first("gpt-4o@openai"), None, "as the name alone");
        assert_eq!(
            first("gpt-4o@openai:batch"),
            told("openai/gpt-4o:batch", "1.25", "5")
        );
        assert_eq!(first("gpt-4o@groq:batch"), None, "no discount is known");
        assert_eq!(first("gpt-4o:batch"), None, "of whom?");
        assert_eq!(
            catalog_provider("azure.ai.openai").as_deref(),
            Some("azure")
        );
        assert_eq!(catalog_provider("my_gateway"), None);
        assert_eq!(
            first("text-embedding-3-small@azure.ai.openai"),
            told("azure/text-embedding-3-small", "0.02", "0")
        );
    }
}

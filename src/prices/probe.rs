//! Asks the catalog what calls cost, and computes rates from the answers.

use std::time::SystemTime;

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};

use super::CatalogRates;

/// Dollars of a token become dollars of a million.
const MILLION: f64 = 1_000_000.0;

/// Asks about one model.
pub(super) struct Probe<'a> {
    calculator: &'a Calculator,
    provider: &'a str,
    model: &'a str,
}

impl<'a> Probe<'a> {
    pub(super) fn new(calculator: &'a Calculator, provider: &'a str, model: &'a str) -> Self {
        // The name may have its provider before it.
        let model = model
            .strip_prefix(provider)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(model);
        Self {
            calculator,
            provider,
            model,
        }
    }

    /// The rates of a call with so many input tokens.
    pub(super) fn rates(&self, at: SystemTime, tokens: u64) -> Option<CatalogRates> {
        #[allow(clippy::cast_precision_loss)] // a few million
        let size = tokens as f64;
        let plain = self.price(at, &[(UsageKey::INPUT_TOKENS, size)])?;
        let with = |more: &[(UsageKey, f64)]| {
            let usage = [&[(UsageKey::INPUT_TOKENS, size)], more].concat();
            self.price(at, &usage)
        };
        // Embeddings put nothing out, and have no price for it.
        let output = with(&[(UsageKey::OUTPUT_TOKENS, size)]).unwrap_or(plain);
        let reasoning = with(&[
            (UsageKey::OUTPUT_TOKENS, size),
            (UsageKey::OUTPUT_REASONING_TOKENS, size),
        ])
        .unwrap_or(output);
        let cached = |key| with(&[(key, size)]).unwrap_or(plain);
        Some(CatalogRates {
            input: rate(plain, size),
            output: rate(output - plain, size),
            cache_read: rate(cached(UsageKey::CACHE_READ_TOKENS), size),
            cache_write: rate(cached(UsageKey::CACHE_WRITE_TOKENS), size),
            reasoning: rate(reasoning - plain, size),
        })
    }

    fn price(&self, at: SystemTime, usage: &[(UsageKey, f64)]) -> Option<f64> {
        let usage: Usage = usage.iter().cloned().collect();
        let request = PriceRequest::new(self.model, &usage)
            .with_provider_id(self.provider)
            .with_timestamp(at);
        Some(self.calculator.calculate(&request).ok()?.total_price)
    }
}

/// Dollars per million tokens.
fn rate(dollars: f64, tokens: f64) -> String {
    text(dollars / tokens * MILLION)
}

/// A rate without the noise of binary fractions.
pub(super) fn text(rate: f64) -> String {
    let text = format!("{rate:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

//! The parameters of a request's URL.

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::error::WebError;
use crate::query::{RunOrder, RunPlace, RunSearch, TimeBound};

/// Runs of a page, unless the request says otherwise.
const DEFAULT_LIMIT: usize = 50;
/// Runs of the largest page.
pub(super) const MAX_LIMIT: usize = 200;
/// Values that one request may have.
const MAX_PARAMETERS: usize = 100;
/// What precedes the key in a filter of metadata.
const META: &str = "meta.";

/// Names and values in order, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(query: Option<&str>) -> Result<Self, WebError> {
        let parts: Vec<&str> = query.unwrap_or_default().split('&').collect();
        if parts.len() > MAX_PARAMETERS {
            return Err(WebError::BadRequest("too many parameters".to_owned()));
        }
        let pairs = parts.into_iter().filter(|part| !part.is_empty());
        let decoded = pairs.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        });
        Ok(Self(
            decoded.filter(|(_, value)| !value.is_empty()).collect(),
        ))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(one, _)| one == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(one, _)| one == name);
        of_name.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true"))
    }

    /// A value of another type.
    pub(super) fn parsed<T: FromStr>(&self, name: &str, kind: &str) -> Result<Option<T>, WebError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| WebError::BadRequest(format!("{name} is not {kind}")))
    }

    fn ids(&self, name: &str) -> Result<Vec<Uuid>, WebError> {
        self.all(name).iter().map(|text| id(text)).collect()
    }

    /// Rows of a page.
    pub(super) fn limit(&self, default: usize) -> Result<usize, WebError> {
        let limit = self.parsed("limit", "a whole number")?.unwrap_or(default);
        Ok(limit.clamp(1, MAX_LIMIT))
    }

    /// A time, or an age such as `2h`.
    pub(super) fn time(&self, name: &str) -> Result<Option<TimeBound>, WebError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        if let Some(age) = age(text) {
            return Ok(Some(TimeBound::Ago(age)));
        }
        match text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(Some(TimeBound::At(text.to_owned()))),
            Err(_) => Err(WebError::BadRequest(format!(
                "{name} is neither a time like 2026-01-31T12:00:00Z nor an age like 15m, 2h or 7d"
            ))),
        }
    }

    /// US dollars. The database computes with the text, so nothing is rounded.
    fn dollars(&self, name: &str) -> Result<Option<String>, WebError> {
        let number: Option<f64> = self.parsed(name, "a number")?;
        match number {
            Some(number) if !number.is_finite() => {
                Err(WebError::BadRequest(format!("{name} is not a number")))
            }
            _ => Ok(self.get(name).map(str::to_owned)),
        }
    }

    /// The filters of a list of runs.
    pub(super) fn run_search(&self) -> Result<RunSearch, WebError> {
        let whole = "a whole number";
        let meta = self.0.iter().filter_map(|(name, value)| {
            let key = name.strip_prefix(META)?;
            Some((key.to_owned(), value.clone()))
        });
        Ok(RunSearch {
            status: self.all("status"),
            agent: self.all("agent"),
            model: self.all("model"),
            tool: self.all("tool"),
            customer: self.ids("customer")?,
            user: self.all("user"),
            session: self.ids("session")?,
            parent: self.ids("parent")?,
            tag: self.all("tag"),
            meta: meta.collect(),
            since: self.time("since")?,
            until: self.time("until")?,
            min_ms: self.parsed("min_ms", whole)?,
            max_ms: self.parsed("max_ms", whole)?,
            min_tokens: self.parsed("min_tokens", whole)?,
            max_tokens: self.parsed("max_tokens", whole)?,
            min_cost: self.dollars("min_cost")?,
            max_cost: self.dollars("max_cost")?,
            error: self.get("error").map(str::to_owned),
            text: self.get("q").map(str::to_owned),
            order: match self.get("sort") {
                None | Some("started") => RunOrder::Started,
                Some("duration") => RunOrder::Duration,
                Some("tokens") => RunOrder::Tokens,
                Some("cost") => RunOrder::Cost,
                Some(_) => {
                    let reason = "sort is not one of started, duration, tokens, cost";
                    return Err(WebError::BadRequest(reason.to_owned()));
                }
            },
            ascending: match self.get("order") {
                None | Some("desc") => false,
                Some("asc") => true,
                Some(_) => {
                    let reason = "order is not one of asc, desc";
                    return Err(WebError::BadRequest(reason.to_owned()));
                }
            },
            limit: self.limit(DEFAULT_LIMIT)?,
            after: match self.get("cursor") {
                Some(cursor) => {
                    let (key, id) = read_cursor(cursor)?;
                    Some(RunPlace { key, id })
                }
                None => None,
            },
        })
    }
}

/// An id as a UUID, or as the 22 characters that a skeleton has.
pub(super) fn id(text: &str) -> Result<Uuid, WebError> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(id);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| WebError::BadRequest("an id is not a UUID".to_owned()))
}

/// The cursor of a place. Clients do not look into it.
pub(super) fn write_cursor(key: Option<&str>, id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(format!("{id} {}", key.unwrap_or_default()))
}

/// The key and the id of a cursor.
pub(super) fn read_cursor(cursor: &str) -> Result<(Option<String>, Uuid), WebError> {
    let malformed = || WebError::BadRequest("the cursor is not one of this API".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| malformed())?;
    let text = String::from_utf8(bytes).map_err(|_| malformed())?;
    let (id, key) = text.split_once(' ').ok_or_else(malformed)?;
    let id = Uuid::try_parse(id).map_err(|_| malformed())?;
    Ok(((!key.is_empty()).then(|| key.to_owned()), id))
}

/// A duration such as `30s`, `15m`, `2h`, `7d` or `4w`.
pub(super) fn age(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

/// Decodes `%XX` and `+`. What is no UTF-8 becomes U+FFFD.
fn decode(text: &str) -> String {
    String::from_utf8_lossy(&decoded_bytes(text)).into_owned()
}

/// Whether a path names something that can be read as text.
pub(super) fn is_text(path: &str) -> bool {
    std::str::from_utf8(&decoded_bytes(path)).is_ok()
}

fn decoded_bytes(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let params = Params::of(Some("a=%C3%BC+x&b=&a=100%&c&meta.team=%26")).unwrap();
        assert_eq!(params.all("a"), ["ü x", "100%"]);
        assert_eq!(params.get("b"), None);
        assert_eq!(params.get("c"), None);
        let search = params.run_search().unwrap();
        assert_eq!(search.meta, [("team".to_owned(), "&".to_owned())]);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let id = Uuid::from_u128(7);
        for key in [None, Some("2026-01-31 12:00:00.5+00"), Some("-1")] {
            let read = read_cursor(&write_cursor(key, id)).unwrap();
            assert_eq!(read, (key.map(str::to_owned), id));
        }
        for malformed in ["", "?", "AAAA", "ICAg"] {
            assert!(read_cursor(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn ids_are_read_in_both_forms() {
        let uuid = Uuid::from_u128(0x0194_bb0a_0000_7000_8000_0000_0000_0001);
        let short = URL_SAFE_NO_PAD.encode(uuid.as_bytes());
        assert_eq!(short.len(), 22);
        assert_eq!(id(&short).unwrap(), uuid);
        assert_eq!(id(&uuid.to_string()).unwrap(), uuid);
        assert!(id("x").is_err());
    }

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("15m"), Some(Duration::from_secs(900)));
        assert_eq!(age("7d"), Some(Duration::from_secs(604_800)));
        for malformed in ["", "7", "d", "-1d", "1.5h", "7ü"] {
            assert_eq!(age(malformed), None, "{malformed}");
        }
    }
}

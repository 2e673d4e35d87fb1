//! Finds the scores that a span, a span event or a log record states.
//!
//! Sources: the GenAI conventions (`gen_ai.evaluation.result`), OpenInference
//! (`evaluation.*`, `annotation.*`), Arize (`eval.NAME.*`), Braintrust
//! (`braintrust.scores`), LangWatch (`langwatch.evaluation.custom`), Langfuse
//! (`langfuse.score.NAME`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use uuid::Uuid;

use super::fit::FieldFitter;
use super::ids::{self, IdSource};
use super::value;
use crate::event::{FiniteNumber, Score};
use crate::ingest::otlp::wire::{AnyValue, KeyValue};

/// The event of LangWatch, which holds one score as JSON.
const LANGWATCH_EVENT: &str = "langwatch.evaluation.custom";
/// The prefix of the event of the conventions, and of older ones that have the name of the
/// score in their own.
const EVENT_PREFIX: &str = "gen_ai.evaluation.";
/// The most scores of one span. An evaluator gives a few.
const MAX_SCORES: usize = 1_000;

/// One score.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the fields are those of the event
pub struct StatedScore {
    pub name: String,
    pub value: Option<FiniteNumber>,
    pub label: Option<String>,
    pub comment: Option<String>,
    pub source: Option<String>,
    /// Other fields of a span event or log record.
    pub rest: Map<String, Value>,
}

/// Whether a span event or log record of this name states a score.
pub fn states_score(name: &str) -> bool {
    name == LANGWATCH_EVENT || name.starts_with(EVENT_PREFIX)
}

/// The score of a span event or log record. `fields` are its attributes and its body.
pub fn of_event(name: &str, fields: &Value) -> Option<StatedScore> {
    if name == LANGWATCH_EVENT {
        let text = fields.get("json_encoded_event")?.as_str()?;
        return of_object(None, &value::parse(text));
    }
    let mut score = StatedScore::default();
    for (key, value) in fields.as_object()? {
        let field = key.strip_prefix(EVENT_PREFIX);
        if !field.is_some_and(|field| score.add(field, value)) {
            score.rest.insert(key.clone(), value.clone());
        }
    }
    // Older emitters name the score in the event.
    let of_event = name.strip_prefix(EVENT_PREFIX).unwrap_or_default();
    if score.name.is_empty() && of_event != "result" {
        score.name = of_event.to_owned();
    }
    score.is_stated().then_some(score)
}

/// The scores in the attributes of a span.
pub fn of_attributes<'a>(attributes: impl Iterator<Item = &'a KeyValue<'a>>) -> Vec<StatedScore> {
    // By the part of the key that all fields of one score share.
    let mut found: BTreeMap<String, StatedScore> = BTreeMap::new();
    let mut listed = Vec::new();
    for attribute in attributes {
        let Some(value) = &attribute.value else {
            continue;
        };
        match place(attribute.key) {
            None => {}
            Some(ScorePlace::Object) => add_object(&value::parsed(value), &mut listed),
            Some(ScorePlace::Field(group, name, field)) => {
                if found.len() >= MAX_SCORES && !found.contains_key(group) {
                    continue;
                }
                let score = found.entry(group.to_owned()).or_default();
                if let Some(name) = name {
                    score.name = name.to_owned();
                }
                score.add(field, &json_of(value));
            }
        }
    }
    let mut scores: Vec<_> = found.into_values().chain(listed).collect();
    scores.retain(StatedScore::is_stated);
    scores.truncate(MAX_SCORES);
    scores
}

/// Where an attribute belongs.
enum ScorePlace<'a> {
    /// A field of one score: what all its keys share, its name if that is in the key, the field.
    Field(&'a str, Option<&'a str>, &'a str),
    /// JSON with several scores.
    Object,
}

fn place(key: &str) -> Option<ScorePlace<'_>> {
    /// Keys that hold scores by name, or a list of scores.
    const OBJECTS: [&str; 4] = [
        "braintrust.scores",
        "langfuse.scores",
        "langfuse.trace.scores",
        "langfuse.observation.scores",
    ];
    /// Keys that end with the name of a score, and hold its value.
    const NAMED: [&str; 3] = [
        "langfuse.score.",
        "langfuse.trace.score.",
        "langfuse.observation.score.",
    ];
    /// Groups of fields of one score.
    const GROUPS: [&str; 3] = [EVENT_PREFIX, "evaluation.", "annotation."];
    /// The same with a number: `evaluations.0.evaluation.name`.
    const LISTS: [&str; 2] = ["evaluations.", "annotations."];
    // Most keys begin otherwise.
    const BEGINNINGS: [&str; 5] = [
        "langfuse.",
        "gen_ai.eval",
        "eval",
        "annotation",
        "braintrust.",
    ];
    if !BEGINNINGS
        .iter()
        .any(|beginning| key.starts_with(beginning))
    {
        return None;
    }
    if OBJECTS.contains(&key) {
        return Some(ScorePlace::Object);
    }
    if let Some(name) = NAMED.iter().find_map(|prefix| key.strip_prefix(prefix)) {
        return Some(ScorePlace::Field(key, Some(name), "value"));
    }
    if let Some(rest) = key.strip_prefix("eval.") {
        let (name, field) = rest.rsplit_once('.')?;
        let group = &key[..key.len() - field.len()];
        return Some(ScorePlace::Field(group, Some(name), field));
    }
    if let Some(prefix) = GROUPS.iter().find(|prefix| key.starts_with(**prefix)) {
        return Some(ScorePlace::Field(prefix, None, &key[prefix.len()..]));
    }
    let prefix = LISTS.iter().find(|prefix| key.starts_with(**prefix))?;
    let (_, rest) = key[prefix.len()..].split_once('.')?;
    let group = &key[..key.len() - rest.len()];
    let field = rest.split_once('.').map_or(rest, |(_, field)| field);
    Some(ScorePlace::Field(group, None, field))
}

/// Adds the scores of `{"name": value}`, `{"name": {"score": …}}` or `[{"name": …}]`.
fn add_object(json: &Value, to: &mut Vec<StatedScore>) {
    match json {
        Value::Object(scores) => {
            let scores = scores.iter().take(MAX_SCORES);
            to.extend(scores.filter_map(|(name, value)| match value {
                Value::Object(_) => of_object(Some(name), value),
                value => {
                    let mut score = StatedScore {
                        name: name.clone(),
                        ..StatedScore::default()
                    };
                    score.add("value", value);
                    Some(score)
                }
            }));
        }
        Value::Array(scores) => {
            let scores = scores.iter().take(MAX_SCORES);
            to.extend(scores.filter_map(|score| of_object(None, score)));
        }
        _ => {}
    }
}

/// The score in an object with its fields.
fn of_object(name: Option<&str>, json: &Value) -> Option<StatedScore> {
    let mut score = StatedScore {
        name: name.unwrap_or_default().to_owned(),
        ..StatedScore::default()
    };
    for (field, value) in json.as_object()? {
        score.add(field, value);
    }
    score.is_stated().then_some(score)
}

fn json_of(value: &AnyValue<'_>) -> Value {
    value::json(value)
}

impl StatedScore {
    /// Whether it has a name and a result.
    fn is_stated(&self) -> bool {
        !self.name.is_empty()
            && (self.value.is_some() || self.label.is_some() || self.comment.is_some())
    }

    /// The event of the score. Its id follows from what it says about which span, so that
    /// the same score as a span event and as a log record is one.
    pub fn into_event(
        self,
        run_id: Uuid,
        step_id: Option<Uuid>,
        span_id: &[u8],
        fit: &mut FieldFitter,
    ) -> Score {
        let mut content = span_id.to_vec();
        let value = self.value.map(|value| value.get().to_string());
        for text in [&Some(self.name.clone()), &value, &self.label, &self.comment] {
            content.push(0);
            content.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
        }
        Score {
            score_id: ids::derived(run_id, IdSource::Score(&content)),
            run_id,
            step_id,
            name: fit.text(self.name),
            value: self.value,
            label: self.label.map(|text| fit.text(text)),
            comment: self.comment.map(|text| fit.text(text)),
            source: self.source.map(|text| fit.text(text)),
            metadata: (!self.rest.is_empty())
                .then(|| fit.object(&self.rest))
                .flatten(),
        }
    }

    /// Adds one field, by any of its names. False if it is none of a score.
    fn add(&mut self, field: &str, value: &Value) -> bool {
        let text = || match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        };
        match field {
            "name" => self.name = text().unwrap_or_default(),
            "value" | "score" | "score.value" | "score_value" => match number(value) {
                Some(number) => self.value = FiniteNumber::new(number).or(self.value),
                None => self.label = self.label.take().or_else(text),
            },
            "label" | "score.label" | "score_label" | "string_value" => {
                self.label = text().or_else(|| self.label.take());
            }
            "passed" => {
                let word = value
                    .as_bool()
                    .map(|passed| if passed { "pass" } else { "fail" });
                self.label = self.label.take().or_else(|| word.map(str::to_owned));
            }
            "explanation" | "comment" | "details" | "reason" | "reasoning" => {
                self.comment = text();
            }
            "source" | "annotator_kind" | "evaluator" | "evaluator.name" => self.source = text(),
            _ => return false,
        }
        true
    }
}

/// A number, or text of one, which may be NaN. True is 1.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn score(name: &str, value: Option<f64>, label: Option<&str>) -> StatedScore {
        StatedScore {
            name: name.into(),
            value: value.and_then(FiniteNumber::new),
            label: label.map(str::to_owned),
            ..StatedScore::default()
        }
    }

    fn of(attributes: &[(&'static str, AnyValue<'static>)]) -> Vec<StatedScore> {
        let attributes: Vec<KeyValue<'_>> = attributes
            .iter()
            .map(|(key, value)| KeyValue {
                key,
                value: Some(value.clone()),
            })
            .collect();
        of_attributes(attributes.iter())
    }

    #[test]
    fn each_vocabulary_is_read() {
        let text = AnyValue::String;
        assert_eq!(
            of(&[
                ("gen_ai.evaluation.name", text("relevance")),
                ("gen_ai.evaluation.score.value", AnyValue::Double(0.5)),
                ("gen_ai.evaluation.score.label", text("so-so")),
            ]),
            [score("relevance", Some(0.5), Some("so-so"))]
        );
        assert_eq!(
            of(&[
                ("evaluations.0.evaluation.name", text("a")),
                ("evaluations.0.evaluation.score", AnyValue::Int(1)),
                ("evaluations.1.evaluation.name", text("b")),
                ("evaluations.1.evaluation.label", text("pass")),
            ]),
            [score("a", Some(1.0), None), score("b", None, Some("pass"))]
        );
        assert_eq!(
            of(&[
                ("eval.is.polite.score", AnyValue::Bool(true)),
                ("eval.is.polite.label", text("polite")),
            ]),
            [score("is.polite", Some(1.0), Some("polite"))]
        );
        assert_eq!(
            of(&[("braintrust.scores", text(r#"{"exact":0,"close":0.9}"#))]),
            [
                score("close", Some(0.9), None),
                score("exact", Some(0.0), None)
            ]
        );
        assert_eq!(
            of(&[
                ("langfuse.score.helpful", text("0.25")),
                (
                    "langfuse.trace.scores",
                    text(r#"[{"name":"tone","value":"kind"}]"#)
                ),
            ]),
            [
                score("helpful", Some(0.25), None),
                score("tone", None, Some("kind"))
            ]
        );
    }

    #[test]
    fn events_state_one_score() {
        let fields = json!({
            "gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 1,
            "gen_ai.evaluation.explanation": "on topic", "gen_ai.response.id": "r",
        });
        let want = StatedScore {
            comment: Some("on topic".into()),
            rest: Map::from_iter([("gen_ai.response.id".to_owned(), "r".into())]),
            ..score("relevance", Some(1.0), None)
        };
        assert_eq!(of_event("gen_ai.evaluation.result", &fields), Some(want));
        let fields = json!({"gen_ai.evaluation.score": 0.5});
        let want = Some(score("fluency", Some(0.5), None));
        assert_eq!(of_event("gen_ai.evaluation.fluency", &fields), want);
        let fields = json!({"json_encoded_event": r#"{"name":"toxic","score":0.1,"passed":true}"#});
        let want = Some(score("toxic", Some(0.1), Some("pass")));
        assert_eq!(of_event("langwatch.evaluation.custom", &fields), want);
    }

    #[test]
    fn what_has_no_result_or_no_name_is_no_score() {
        let text = AnyValue::String;
        assert_eq!(of(&[("gen_ai.evaluation.name", text("a"))]), []);
        assert_eq!(of(&[("evaluation.score", AnyValue::Int(1))]), []);
        assert_eq!(of(&[("evaluation.score", AnyValue::Double(f64::NAN))]), []);
        assert_eq!(of(&[("llm.model_name", text("a"))]), []);
        assert_eq!(of_event("gen_ai.evaluation.result", &json!({})), None);
    }
}

//! Reads the captures that `scripts/pack-otlp-captures.py --truths` packs.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use crate::otlp::corpus::{PackedRequest, Request};

/// The requests of one scenario, and what truly happened in it.
#[derive(Debug)]
pub struct TruthCapture {
    /// The SDK.
    pub sdk: String,
    /// The name of the scenario.
    pub scenario: String,
    /// What truly happened.
    pub truth: ScriptedTruth,
    /// The requests, as the exporter sent them.
    pub requests: Vec<Request>,
}

impl TruthCapture {
    /// The name in messages: SDK and scenario.
    pub fn name(&self) -> String {
        format!("{}/{}", self.sdk, self.scenario)
    }
}

/// What truly happened in a scenario.
#[derive(Debug, Deserialize)]
pub struct ScriptedTruth {
    pub runs: usize,
    pub status: String,
    #[serde(default)]
    agents: Option<OneOrMany>,
    pub inputs: Vec<Option<String>>,
    pub outputs: Vec<Option<String>>,
    pub prompts: Vec<String>,
    pub answers: Vec<String>,
    pub llm_calls: usize,
    pub llm_failed: usize,
    pub tools: Vec<ScriptedTool>,
    /// The tool calls that the model asked for.
    pub asked: usize,
    /// How often a text was said, if more than once.
    pub repeats: BTreeMap<String, usize>,
    pub tokens: BTreeMap<String, i64>,
    pub session: Option<String>,
    pub user: Option<Value>,
    pub error: Option<String>,
    pub tool_error: Option<String>,
    /// The facts that the requests do not carry.
    pub not_carried: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl ScriptedTruth {
    /// The agents: the outer one, then those within it.
    pub fn agents(&self) -> &[String] {
        match &self.agents {
            None => &[],
            Some(OneOrMany::One(name)) => std::slice::from_ref(name),
            Some(OneOrMany::Many(names)) => names,
        }
    }
}

/// A tool call.
#[derive(Debug, Deserialize)]
pub struct ScriptedTool {
    pub name: String,
    pub arguments: Value,
    pub result: Option<Value>,
}

#[derive(Deserialize)]
struct Line {
    scenario: String,
    truth: ScriptedTruth,
    requests: Vec<PackedRequest>,
}

/// The lines of a packed file.
pub fn lines(file: &Path) -> Vec<String> {
    let packed = fs::read(file).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// All captures, by SDK and scenario.
pub fn captures() -> Vec<TruthCapture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otlp-truths");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "zst"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<TruthCapture> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let sdk = name.strip_suffix(".jsonl.zst").unwrap();
    let capture = |line: &String| {
        let line: Line = serde_json::from_str(line).unwrap();
        TruthCapture {
            sdk: sdk.to_owned(),
            scenario: line.scenario,
            truth: line.truth,
            requests: line
                .requests
                .into_iter()
                .map(PackedRequest::unpack)
                .collect(),
        }
    };
    lines(file).iter().map(capture).collect()
}

//! What Prometheus makes of the daemon's metrics: promtool evaluates rules and expressions over scrapes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::docs::markdown;
use crate::support::daemon::Daemon;
use crate::support::watchdog;

/// The alerts.
pub fn rules() -> PathBuf {
    markdown::path("deploy/prometheus/alerts.yaml")
}

/// promtool, unless it cannot be had here; with CI=true that is a failure.
pub fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let script = markdown::path("scripts/install-promtool.sh");
        let output = Command::new(script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "promtool cannot be had");
        let path = String::from_utf8(output.stdout).unwrap();
        (!path.trim().is_empty()).then(|| PathBuf::from(path.trim()))
    };
    FOUND.get_or_init(find).clone()
}

/// Runs promtool on a file.
pub fn run(promtool: &Path, args: &[&str], file: &Path) {
    let output = Command::new(promtool)
        .args(args)
        .arg(file)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
}

/// What one Prometheus scraped of one daemon, a text of `/metrics` a minute.
#[derive(Default)]
pub struct Scrapes(Vec<String>);

impl Scrapes {
    /// The daemon stays as it is now for so many minutes.
    pub async fn minutes(&mut self, daemon: &Daemon, count: usize) {
        let (status, text) = daemon.get("/metrics").await;
        assert_eq!(status, 200);
        self.0.extend(std::iter::repeat_n(text, count));
    }

    /// Nobody answers for so many minutes.
    pub fn silence(&mut self, count: usize) {
        self.0.extend(std::iter::repeat_n(String::new(), count));
    }

    /// Asserts that exactly these alerts fire at the last minute.
    pub fn assert_firing(&self, names: &[&str]) {
        let firing = "group by (alertname) (ALERTS{alertstate=\"firing\"})";
        let samples: Vec<_> = names
            .iter()
            .map(|name| json!({"labels": format!("{{alertname=\"{name}\"}}"), "value": 1}))
            .collect();
        self.evaluate(&[(firing.to_owned(), json!(samples))]);
    }

    /// Asserts that each expression has a number at the last minute: what nothing was observed for
    /// has none.
    pub fn assert_values(&self, expressions: &[String]) {
        let some = json!([{"labels": "{}", "value": 1}]);
        let tests: Vec<_> = expressions
            .iter()
            .map(|expression| (format!("group(({expression}) >= 0)"), some.clone()))
            .collect();
        self.evaluate(&tests);
    }

    fn evaluate(&self, tests: &[(String, Value)]) {
        let Some(promtool) = program() else { return };
        let at = format!("{}m", self.0.len() - 1);
        let tests: Vec<_> = tests
            .iter()
            .map(|(expr, samples)| json!({"expr": expr, "eval_time": at, "exp_samples": samples}))
            .collect();
        let series: Vec<_> = self
            .series()
            .into_iter()
            .map(|(series, values)| json!({"series": series, "values": values.join(" ")}))
            .collect();
        let test = json!({
            "rule_files": [rules()],
            "evaluation_interval": "1m",
            "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
        });
        let dir = watchdog::scratch_dir("promtool");
        // JSON is YAML.
        let file = dir.join("test.yaml");
        fs::write(&file, test.to_string()).unwrap();
        run(&promtool, &["test", "rules"], &file);
        watchdog::remove_scratch_dir(&dir);
    }

    /// Each series with one value a minute; where it is missing, Prometheus marks it as stale.
    fn series(&self) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (minute, text) in self.0.iter().enumerate() {
            for (series, value) in text.lines().filter_map(sample) {
                let values = all.entry(series).or_default();
                values.resize(minute, "stale".to_owned());
                values.push(value);
            }
        }
        for values in all.values_mut() {
            values.resize(self.0.len(), "stale".to_owned());
        }
        all
    }
}

/// The series and the value of a line of `/metrics`, with the labels that Prometheus adds.
fn sample(line: &str) -> Option<(String, String)> {
    const TARGET: &str = "instance=\"one:4318\",job=\"runtraced\"";
    if line.starts_with('#') {
        return None;
    }
    // Behind this an exemplar may stand.
    let line = line.split(" # ").next()?;
    let (series, value) = line.rsplit_once(' ')?;
    let series = match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{TARGET},{labels}"),
        None => format!("{series}{{{TARGET}}}"),
    };
    Some((series, value.to_owned()))
}

#[test]
fn a_line_of_metrics_becomes_a_series() {
    let plain = sample("runtraced_ready 1").unwrap();
    assert_eq!(
        plain.0,
        "runtraced_ready{instance=\"one:4318\",job=\"runtraced\"}"
    );
    let labelled = sample("a_bucket{le=\"0.1\"} 3 # {trace_id=\"x\"} 0.05").unwrap();
    assert_eq!(
        labelled,
        (
            "a_bucket{instance=\"one:4318\",job=\"runtraced\",le=\"0.1\"}".to_owned(),
            "3".to_owned()
        )
    );
    assert_eq!(sample("# EOF"), None);
}

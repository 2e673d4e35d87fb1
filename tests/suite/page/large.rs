//! Runs that are too large to be shown at once.

use runtraced::proto::EndStatus;
use runtraced::proto::event::Event as Body;
use serde_json::json;
use uuid::Uuid;

use super::browser::Browser;
use super::world::{About, started, tool};
use crate::support::daemon::Daemon;
use crate::support::events::{self, new_id};
use crate::support::pg;

const STEPS: i64 = 10_000;
/// How often something is tried, of which the median counts.
const TRIES: usize = 5;
/// What the first rows of a run of ten steps take on a machine that has nothing else to do, in ms.
const SMALL_MS: f64 = 250.0;

/// Notes when the first rows are there, by the clock of the page: before it, a script of the test
/// would only look now and then.
const FIRST_ROWS: &str = "window.rowsAt = null;
    new MutationObserver((_, watch) => {
        if (document.querySelectorAll('.tree .vrow').length < 10) return;
        window.rowsAt = performance.now();
        watch.disconnect();
    }).observe(document, { childList: true, subtree: true });";
/// Scrolls on, and says after the next frame how many elements there are; less than none: this is the end.
const SCROLL: &str = "const done = arguments[0]; const list = document.querySelector('.tree');
    const over = list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
    list.scrollTop += 1500;
    requestAnimationFrame(() => requestAnimationFrame(() => done(over ? -1 : document.querySelectorAll('*').length)));";

/// When the first rows of a run are there, in ms.
fn first_rows(page: &Browser, run: Uuid) -> f64 {
    page.go(&format!("/runs/{run}"));
    page.wait("window.rowsAt");
    page.value("window.rowsAt").as_f64().unwrap()
}

/// Seconds for which the page has kept a processor busy so far.
fn busy(page: &Browser) -> f64 {
    let metrics = page.devtools("Performance.getMetrics", &json!({}));
    let metrics = metrics["metrics"].as_array().unwrap();
    let busy = metrics
        .iter()
        .find(|metric| metric["name"] == "TaskDuration");
    busy.unwrap()["value"].as_f64().unwrap()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A finished run of so many steps, of which one failed.
async fn traced(daemon: &Daemon, steps: i64, failed: i64) -> Uuid {
    let run = new_id();
    let mut list = vec![started(run, &base())];
    for n in 0..steps {
        let error = (n == failed).then_some("the step failed");
        list.push(tool(run, new_id(), &base(), 10 * n, 10 * n + 8, error));
    }
    list.push(events::run_ended(10 * steps, run, EndStatus::Completed));
    for part in list.chunks(1_000) {
        assert_eq!(daemon.submit(part.to_vec()).await.refused, []);
    }
    run
}

fn base() -> About<'static> {
    About {
        name: "large",
        agent: "agent",
        tool: "search",
        ..About::default()
    }
}

/// Scenario: a run of 10,000 steps, of which one failed near the end, and one of ten steps.
/// Guarantees: the first rows are there within a second; there are never 2,000 elements; no frame of a
/// scroll keeps the page busy for 200 ms; one key finds the error.
///
/// Other programs may take the processors meanwhile, so waiting proves nothing. A second is a second on a
/// machine on which ten steps take what they take alone; where those take longer, so may these. What a
/// frame costs is the time of the processor, which does not count while another program has it.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_steps_scroll_like_ten() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let small = traced(&daemon, 10, -1).await;
    let run = traced(&daemon, STEPS, 9_000).await;
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.devtools(
        "Page.addScriptToEvaluateOnNewDocument",
        &json!({ "source": FIRST_ROWS }),
    );
    let (mut alone, mut all) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        alone.push(first_rows(&page, small));
        all.push(first_rows(&page, run));
    }
    let slowness = (median(alone) / SMALL_MS).max(1.0);
    let shown = median(all);
    assert!(
        shown <= 1_000.0 * slowness,
        "the first rows came after {shown} ms, where the machine is {slowness} times as slow as alone"
    );
    page.devtools(
        "Performance.enable",
        &json!({ "timeDomain": "threadTicks" }),
    );
    let begun = busy(&page);
    let (mut frames, mut before) = (0, begun);
    loop {
        let elements = page.run_async(SCROLL).as_i64().unwrap();
        if elements < 0 {
            break;
        }
        assert!(elements < 2_000, "{elements} elements");
        let now = busy(&page);
        let took = now - before;
        assert!(
            took <= 0.2,
            "frame {frames} keeps the page busy for {took} s"
        );
        (frames, before) = (frames + 1, now);
    }
    assert!(
        frames > 100,
        "the whole run was scrolled in {frames} frames"
    );
    let names = page.value(
        "[...document.querySelectorAll('[aria-activedescendant]')].map(el => el.getAttribute('aria-activedescendant')).filter(id => id && !document.getElementById(id))",
    );
    assert_eq!(names, json!([]), "rows are named that are not there");
    page.press("e");
    page.wait_text("[aria-selected=true]", "search");
    page.wait_text(".right", "the step failed");
    page.finish();
    daemon.finish().await;
}

/// Scenario: a tool gave back 20 MB.
/// Guarantees: the first rows are there at once, the rest when asked for; what stands at the
/// end is found; there are never 2,000 elements.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_twenty_megabytes_is_read_to_its_end() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let mut step = tool(run, new_id(), &base(), 10, 20, None);
    if let Some(Body::StepEnded(ended)) = &mut step.event {
        ended.output_json = Some(
            json!({"page": format!("{}needle", "lorem ipsum ".repeat(1_700_000))}).to_string(),
        );
    }
    let list = vec![
        started(run, &base()),
        step,
        events::run_ended(30, run, EndStatus::Completed),
    ];
    assert_eq!(daemon.submit(list).await.refused, []);
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}"));
    page.wait("document.querySelectorAll('.tree .vrow').length === 2");
    page.press("j");
    // 262,144 characters are enough for the first rows: the rest is not asked for.
    page.wait_text(".right .text", "lorem ipsum");
    let length = "performance.getEntriesByType('resource').findLast(e => e.name.includes('/payload?')).decodedBodySize";
    let first = page.value(length).as_u64().unwrap();
    assert!((200_000..1_000_000).contains(&first), "{first} bytes");
    page.run("[...document.querySelectorAll('.right button')].find(b => b.textContent === 'Load the rest').click()", &[]);
    page.wait("![...document.querySelectorAll('.right button')].some(b => b.textContent === 'Load the rest') && !document.querySelector('.right').textContent.includes('loading')");
    page.run(
        "const field = document.querySelector('[aria-label=\"Find in Output\"]'); field.value = 'needle'; field.dispatchEvent(new Event('input'))",
        &[],
    );
    page.wait_text(".right .text mark", "needle");
    assert!(page.count("*") < 2_000);
    page.finish();
    daemon.finish().await;
}

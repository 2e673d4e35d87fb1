//! Runs that are too large to be shown at once.

use std::time::{Duration, Instant};

use runtraced::proto::EndStatus;
use runtraced::proto::event::Event as Body;
use serde_json::json;

use super::browser::Browser;
use super::world::{About, started, tool};
use crate::support::daemon::Daemon;
use crate::support::events::{self, new_id};
use crate::support::pg;

const STEPS: i64 = 10_000;
/// How often something is tried, of which the median counts.
const TRIES: usize = 5;
/// How often that is done again, because other tests keep the machine busy for a while.
const SETS: usize = 3;

/// Watches for tasks that keep the page busy.
const WATCH: &str = "window.long = []; new PerformanceObserver(list => { for (const e of list.getEntries()) window.long.push(e.duration) }).observe({type: 'longtask'})";
/// Scrolls from the top to the end, and says how many elements there were at most.
const SCROLL: &str = "const done = arguments[0]; const list = document.querySelector('.tree'); let most = 0; list.scrollTop = 0;
    const step = () => {
        most = Math.max(most, document.querySelectorAll('*').length);
        if (list.scrollTop + list.clientHeight >= list.scrollHeight - 1) return done(most);
        list.scrollTop += 1500;
        requestAnimationFrame(step);
    };
    step();";

/// The least median of some sets of tries.
fn median(limit: f64, mut measure: impl FnMut() -> f64) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..SETS {
        let mut all: Vec<f64> = (0..TRIES).map(|_| measure()).collect();
        all.sort_by(f64::total_cmp);
        least = least.min(all[TRIES / 2]);
        if least <= limit {
            break;
        }
    }
    least
}

fn base() -> About<'static> {
    About {
        name: "large",
        agent: "agent",
        tool: "search",
        ..About::default()
    }
}

/// Scenario: a run of 10,000 steps, of which one failed near the end.
/// Guarantees: the first rows are there within a second; there are never 2,000 elements; no
/// task takes 200 ms while somebody scrolls; one key finds the error.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_steps_scroll_like_ten() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let mut list = vec![started(run, &base())];
    for n in 0..STEPS {
        let error = (n == 9_000).then_some("step 9000 failed");
        list.push(tool(run, new_id(), &base(), 10 * n, 10 * n + 8, error));
    }
    list.push(events::run_ended(10 * STEPS, run, EndStatus::Completed));
    for part in list.chunks(1_000) {
        assert_eq!(daemon.submit(part.to_vec()).await.refused, []);
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    let shown = median(1_000.0, || {
        page.go(&format!("/runs/{run}"));
        page.wait("document.querySelectorAll('.tree .vrow').length > 20");
        page.value("performance.now()").as_f64().unwrap()
    });
    assert!(shown <= 1_000.0, "the first rows came after {shown} ms");
    let busy = median(200.0, || {
        page.run(WATCH, &[]);
        let most = page.run_async(SCROLL).as_u64().unwrap();
        assert!(most < 2_000, "{most} elements");
        page.value("Math.max(0, ...window.long)").as_f64().unwrap()
    });
    assert!(busy <= 200.0, "a scroll keeps the page busy for {busy} ms");
    page.press("e");
    page.wait_text("[aria-selected=true]", "search");
    page.wait_text(".right", "step 9000 failed");
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
    let pressed = Instant::now();
    page.press("j");
    page.wait_text(".right .text", "lorem ipsum");
    assert!(pressed.elapsed() < Duration::from_secs(20));
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

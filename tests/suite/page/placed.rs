//! The page on a database whose customer tables are elsewhere, or left out.

use serde_json::json;

use super::browser::Browser;
use super::world::{About, told};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;

/// Scenario: a run of a customer, in a database of each form; somebody looks at the list, filters by the
/// customer, and opens the run.
/// Guarantees: all of it is shown; the filter offers the customer's name, or its id where there are no names.
#[tokio::test(flavor = "multi_thread")]
async fn runs_of_customers_are_shown_in_both_forms() {
    for flags in [&["--schema", "customer data"][..], &["--without-customers"]] {
        let moved = flags.len() == 2;
        let database = pg::database().await;
        let (code, said) = runtraced(&[&["migrate"], flags].concat(), database.url()).await;
        assert_eq!(code, 0, "{said}");
        let customer = new_id();
        if moved {
            let id = customer.to_string();
            let add = ["customers", "add", "--name", "Acme", "--id", &id];
            assert_eq!(runtraced(&add, database.url()).await.0, 0);
        }
        let daemon = Daemon::start(database.url()).await;
        let of_customer = told(&About {
            name: "Write to Dana",
            agent: "writer",
            customer: Some(customer),
            took: 100,
            tool: "mail",
            ..About::default()
        });
        assert_eq!(daemon.submit(of_customer.events).await.refused, []);
        let Some(page) = Browser::open(daemon.http_address()) else {
            return daemon.finish().await;
        };
        page.go(&format!("/?customer={customer}"));
        page.wait_text("tbody tr", "Write to Dana");
        page.run("document.querySelector('details').open = true", &[]);
        page.wait("document.querySelector('#customers option')");
        let offered = page.value("[...document.querySelectorAll('#customers option')].map(o => [o.value, o.textContent])");
        let shown = if moved { "Acme" } else { "" };
        assert_eq!(offered, json!([[customer, shown]]));
        page.go(&format!("/runs/{}", of_customer.run));
        page.wait_text("main", "mail");
        page.finish();
        daemon.finish().await;
    }
}

//! The clock of the database, compared with this machine's.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::PgConnection;

use super::finding::{Finding, fine, warning};

/// Clocks that are apart further than this make times that people compare wrong.
const MOST_SECONDS: f64 = 5.0;

pub(super) async fn examine(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let before = now();
    let theirs: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(conn)
        .await?;
    let after = now();
    // What the answer took may have passed on either side.
    let ahead = if theirs < before {
        theirs - before
    } else {
        (theirs - after).max(0.0)
    };
    Ok(clocks(ahead))
}

fn now() -> f64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    passed.map_or(0.0, |passed| passed.as_secs_f64())
}

/// `ahead`: by how many seconds the database's clock is ahead.
fn clocks(ahead: f64) -> Finding {
    const CHECK: &str = "clock";
    if ahead.abs() <= MOST_SECONDS {
        return fine(CHECK, "the database's clock agrees with this machine's");
    }
    let direction = if ahead > 0.0 { "ahead of" } else { "behind" };
    warning(
        CHECK,
        format!(
            "the database's clock is {:.0} s {direction} this machine's",
            ahead.abs()
        ),
        "synchronize both clocks (NTP): ages of spooled events and of approvals depend on them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn clocks_that_differ() {
        for (ahead, severity) in [
            (0.2, Severity::Ok),
            (9.0, Severity::Warning),
            (-3_600.0, Severity::Warning),
        ] {
            assert_eq!(clocks(ahead).severity, severity, "{ahead}");
        }
        assert!(
            clocks(-9.0).found.contains("9 s behind"),
            "{:?}",
            clocks(-9.0)
        );
    }
}

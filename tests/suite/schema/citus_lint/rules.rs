//! What Citus refuses in a statement, or prints wrongly for its workers.

use super::node::Node;
use super::volatility::{Catalog, Volatility};

/// What is wrong with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// `SET x = clock_timestamp()`.
    VolatileInSet,
    /// The same in WHERE.
    VolatileInWhere,
    /// A STABLE function, operator or cast of a column, in SET or WHERE. Compute it in a MATERIALIZED part of WITH.
    StableOfColumn,
    /// Any STABLE one within CASE or COALESCE, in SET or WHERE.
    StableInCase,
    /// What is not IMMUTABLE, in RETURNING.
    MutableInReturning,
    /// The same in DO UPDATE and its WHERE. `excluded.x` may have been computed by anything.
    MutableInDoUpdate,
    /// A sub-select in DO UPDATE.
    SelectInDoUpdate,
    /// `CASE x & 1 WHEN`: it is printed wrongly.
    SimpleCase,
    /// A VOLATILE function in another part of a statement that changes rows.
    VolatileBeside,
    /// Rows are found by where they are.
    Ctid,
}

/// The numbers of commands in `CmdType`.
const UPDATE: &str = "2";
const INSERT: &str = "3";
const DELETE: &str = "4";
/// The number of the column `ctid`.
const CTID: &str = "-1";

/// What is wrong with an analysed statement; each fault once.
pub fn findings(tree: &Node, catalog: &Catalog) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut queries = Vec::new();
    tree.walk(&mut |node| {
        if node.name() == "QUERY" {
            queries.push(node);
        }
        if is_simple_case(node) {
            found.push(Finding::SimpleCase);
        }
    });
    let is_ctid = |node: &Node| node.name() == "VAR" && node.value("varattno") == CTID;
    if queries.iter().any(|query| changes_rows(query)) {
        let selects = queries.iter().filter(|query| !changes_rows(query));
        let mut selects = selects.filter(|query| !is_around(query));
        if selects.any(|query| catalog.has(query, Volatility::Volatile)) {
            found.push(Finding::VolatileBeside);
        }
        if tree.any(&is_ctid) {
            found.push(Finding::Ctid);
        }
    }
    for query in queries {
        of_query(query, catalog, &mut found);
    }
    found.sort_by_key(|finding| *finding as u8);
    found.dedup();
    found
}

fn changes_rows(query: &Node) -> bool {
    [UPDATE, INSERT, DELETE].contains(&query.value("commandType"))
}

/// Whether a query has one that changes rows within it.
fn is_around(query: &Node) -> bool {
    query.any(&|node| node.name() == "QUERY" && changes_rows(node))
}

fn is_simple_case(node: &Node) -> bool {
    let of = node.field("arg").first().map_or("", Node::name);
    node.name() == "CASEEXPR" && !["", "VAR", "PARAM"].contains(&of)
}

fn of_query(query: &Node, catalog: &Catalog, found: &mut Vec<Finding>) {
    let command = query.value("commandType");
    let set = query.field("targetList");
    let place = query.field("jointree");
    if command == UPDATE {
        for part in set {
            if catalog.has(part, Volatility::Volatile) {
                found.push(Finding::VolatileInSet);
            }
            stable(part, catalog, found);
        }
    }
    if [UPDATE, DELETE].contains(&command) {
        for part in place {
            if catalog.has(part, Volatility::Volatile) {
                found.push(Finding::VolatileInWhere);
            }
            stable(part, catalog, found);
        }
    }
    for part in query.field("returningList") {
        if catalog.has(part, Volatility::Stable) {
            found.push(Finding::MutableInReturning);
        }
    }
    for conflict in query.field("onConflict") {
        for part in ["onConflictSet", "onConflictWhere", "arbiterWhere"] {
            for part in conflict.field(part) {
                if catalog.has(part, Volatility::Stable) {
                    found.push(Finding::MutableInDoUpdate);
                }
                if part.any(&|node| node.name() == "SUBLINK") {
                    found.push(Finding::SelectInDoUpdate);
                }
            }
        }
    }
}

/// Finds STABLE calls that depend on a row, or that stand where they may not be called.
fn stable(node: &Node, catalog: &Catalog, found: &mut Vec<Finding>) {
    match node.name() {
        // It has its own rules, and is computed before.
        "QUERY" => return,
        "CASEEXPR" | "COALESCEEXPR" if catalog.has(node, Volatility::Stable) => {
            found.push(Finding::StableInCase);
        }
        _ => {}
    }
    if catalog.of(node) == Volatility::Stable && node.any(&|node| node.name() == "VAR") {
        found.push(Finding::StableOfColumn);
    }
    for child in node.children() {
        stable(child, catalog, found);
    }
}

//! How volatile the functions of the server are.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::node::Node;

/// What a call depends on, besides its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// Nodes that call the function of a field, and the fields in which others name their type.
const CALLS: [&str; 4] = ["funcid", "opfuncid", "aggfnoid", "winfnoid"];
const TYPES: [&str; 14] = [
    "vartype",
    "funcresulttype",
    "opresulttype",
    "paramtype",
    "consttype",
    "resulttype",
    "casetype",
    "coalescetype",
    "aggtype",
    "wintype",
    "array_typeid",
    "minmaxtype",
    "refrestype",
    "row_typeid",
];

/// What the server has.
pub struct Catalog {
    functions: HashMap<String, Volatility>,
    /// By type: reading and printing a value.
    texts: HashMap<String, (Volatility, Volatility)>,
}

impl Catalog {
    pub async fn read(conn: &mut PgConnection) -> Self {
        let functions: Vec<(String, String)> =
            sqlx::query_as("SELECT oid::text, provolatile::text FROM pg_proc")
                .fetch_all(&mut *conn)
                .await
                .unwrap();
        let texts: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT t.oid::text, i.provolatile::text, o.provolatile::text FROM pg_type t
             JOIN pg_proc i ON i.oid = t.typinput JOIN pg_proc o ON o.oid = t.typoutput",
        )
        .fetch_all(conn)
        .await
        .unwrap();
        let of = |letter: &str| match letter {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            _ => Volatility::Volatile,
        };
        let functions = functions
            .into_iter()
            .map(|(oid, letter)| (oid, of(&letter)));
        let texts = texts.into_iter();
        Self {
            functions: functions.collect(),
            texts: texts.map(|(oid, i, o)| (oid, (of(&i), of(&o)))).collect(),
        }
    }

    /// Of a node itself, without what is below it.
    pub fn of(&self, node: &Node) -> Volatility {
        match node.name() {
            "SQLVALUEFUNCTION" => return Volatility::Stable,
            "NEXTVALUEEXPR" => return Volatility::Volatile,
            "COERCEVIAIO" => {
                let argument = node.field("arg").first().expect("an argument");
                let (reads, _) = self.texts[node.value("resulttype")];
                let (_, prints) = self.texts[type_of(argument)];
                return reads.max(prints);
            }
            _ => {}
        }
        let called = CALLS.iter().map(|field| node.value(field));
        let called = called.filter(|oid| !oid.is_empty());
        let called = called.map(|oid| self.functions[oid]);
        called.max().unwrap_or(Volatility::Immutable)
    }

    /// Whether something at or below a node is at least so volatile.
    pub fn has(&self, node: &Node, least: Volatility) -> bool {
        node.any(&|node| self.of(node) >= least)
    }
}

fn type_of(node: &Node) -> &str {
    if node.name() == "SUBLINK" {
        let select = node.field("subselect").first().expect("a query");
        let entry = select
            .field("targetList")
            .first()
            .and_then(|list| list.children().next());
        return type_of(
            entry
                .and_then(|entry| entry.field("expr").first())
                .expect("a column"),
        );
    }
    let mut types = TYPES.iter().map(|field| node.value(field));
    types
        .find(|oid| !oid.is_empty())
        .unwrap_or_else(|| panic!("of what type is {node:?}"))
}

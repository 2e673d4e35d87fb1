//! Customers, as traces name them.

use sqlx::PgConnection;
use uuid::Uuid;

/// A customer, with all that traces may have in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    id: Option<Uuid>,
    names: Vec<String>,
}

/// What a text may mean that is to name a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedCustomer {
    /// One customer.
    One(Customer),
    /// These customers have the name.
    Several(Vec<Uuid>),
    /// No customer has the name, and no trace names it.
    Unknown,
}

impl From<Uuid> for Customer {
    fn from(id: Uuid) -> Self {
        Self {
            id: Some(id),
            names: vec![id.to_string()],
        }
    }
}

impl Customer {
    /// Its id. `None`: only traces name it, by a name.
    pub(super) fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// Its id, if it has one, and else its name.
    pub(super) fn key(&self) -> String {
        self.names.first().cloned().unwrap_or_default()
    }

    /// All that runs and sessions may have in its place, its key first.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// Finds the customer that a text means: its id, its name in the table of customers, or the name
/// that traces give it.
///
/// # Errors
/// If the database fails.
pub async fn named_customer(
    conn: &mut PgConnection,
    text: &str,
) -> Result<NamedCustomer, sqlx::Error> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(NamedCustomer::One(id.into()));
    }
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM public.customer_names() WHERE name = $1 ORDER BY id")
            .bind(text)
            .fetch_all(&mut *conn)
            .await?;
    let mut names: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    names.push(text.to_owned());
    let id = ids.first().copied();
    if ids.len() > 1 {
        return Ok(NamedCustomer::Several(ids));
    }
    let is_known = id.is_some() || is_named_by_traces(conn, text).await?;
    Ok(match is_known {
        true => NamedCustomer::One(Customer { id, names }),
        false => NamedCustomer::Unknown,
    })
}

/// The same in all servers of a store. The tables of customers should be the same on all.
///
/// # Errors
/// If a database fails.
pub async fn named_customer_anywhere<'a>(
    servers: impl IntoIterator<Item = &'a mut PgConnection>,
    text: &str,
) -> Result<NamedCustomer, sqlx::Error> {
    let mut found = NamedCustomer::Unknown;
    for conn in servers {
        found = found.or(named_customer(conn, text).await?);
    }
    Ok(found)
}

impl NamedCustomer {
    /// What two servers know together.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, known) | (known, Self::Unknown) => known,
            (Self::One(one), Self::One(other)) => match (one.id, other.id) {
                (Some(id), Some(other)) if id != other => Self::Several(vec![id, other]),
                (Some(_), _) => Self::One(one),
                (None, _) => Self::One(other),
            },
            (Self::Several(ids), _) | (_, Self::Several(ids)) => Self::Several(ids),
        }
    }
}

/// Whether traces name a customer that the table of customers does not have, or did before it was
/// erased.
async fn is_named_by_traces(conn: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(include_str!("named_by_traces.sql"))
        .bind(name)
        .fetch_one(conn)
        .await
}

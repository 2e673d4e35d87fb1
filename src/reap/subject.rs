//! Whom or what to erase.

use sqlx::PgConnection;
use uuid::Uuid;

/// Whom or what to erase.
#[derive(Clone, Debug)]
pub enum Subject {
    /// What was sent with the customer's keys, or names the customer.
    Customer(Uuid),
    /// A session and its runs.
    Session(Uuid),
    /// The sessions of a user, and runs whose metadata names the user.
    User(String),
}

/// A subject, as the statements ask for it.
#[derive(Debug)]
pub(super) struct SubjectKey {
    /// What it is.
    pub kind: &'static str,
    /// Its id. A UUID is in lower case.
    pub id: String,
    /// The id, if it is one.
    pub uuid: Option<Uuid>,
    /// What tombstones have in its place: they must not name who was erased.
    pub mark: String,
}

impl SubjectKey {
    pub async fn of(conn: &mut PgConnection, subject: &Subject) -> Result<Self, sqlx::Error> {
        let (kind, id, uuid) = match subject {
            Subject::Customer(id) => ("customer", id.to_string(), Some(*id)),
            Subject::Session(id) => ("session", id.to_string(), Some(*id)),
            Subject::User(text) => match Uuid::try_parse(text) {
                Ok(id) => ("user", id.to_string(), Some(id)),
                Err(_) => ("user", text.clone(), None),
            },
        };
        let mark =
            sqlx::query_scalar("SELECT encode(sha256(convert_to($1 || ':' || $2, 'UTF8')), 'hex')")
                .bind(kind)
                .bind(&id)
                .fetch_one(conn)
                .await?;
        Ok(Self {
            kind,
            id,
            uuid,
            mark,
        })
    }
}

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
    User {
        /// Its id or name.
        user: String,
        /// Only what belongs to this customer: users of two customers may have one name.
        customer: Option<Uuid>,
    },
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
    /// Only what belongs to this customer.
    pub customer: Option<Uuid>,
    /// The customer whose its runs are, if it is one.
    pub owner: Option<Uuid>,
    /// What tombstones have in its place: they must not name who was erased.
    pub mark: String,
}

impl SubjectKey {
    pub async fn of(conn: &mut PgConnection, subject: &Subject) -> Result<Self, sqlx::Error> {
        let (kind, id, uuid, customer) = match subject {
            Subject::Customer(id) => ("customer", id.to_string(), Some(*id), None),
            Subject::Session(id) => ("session", id.to_string(), Some(*id), None),
            Subject::User { user, customer } => match hyphenated(user) {
                Some(id) => ("user", id.to_string(), Some(id), *customer),
                None => ("user", user.clone(), None, *customer),
            },
        };
        let of = customer.map_or_else(String::new, |customer| format!("{customer}:"));
        let mark =
            sqlx::query_scalar("SELECT encode(sha256(convert_to($1 || ':' || $2, 'UTF8')), 'hex')")
                .bind(format!("{of}{kind}"))
                .bind(&id)
                .fetch_one(conn)
                .await?;
        Ok(Self {
            kind,
            id,
            uuid,
            customer,
            owner: customer.or(uuid.filter(|_| kind == "customer")),
            mark,
        })
    }
}

impl SubjectKey {
    /// Whether several users may have this name.
    pub fn is_ambiguous(&self) -> bool {
        self.kind == "user" && self.uuid.is_none() && self.customer.is_none()
    }
}

/// Reads a UUID in its usual form. 32 digits without hyphens may be any name.
fn hyphenated(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_is_a_uuid() {
        let usual = "0194BB0A-0000-7000-8000-000000000001";
        assert_eq!(hyphenated(usual), Uuid::try_parse(usual).ok());
        for other in [
            "0194bb0a000070008000000000000001",
            "{0194bb0a-0000-7000-8000-000000000001}",
            "ann",
        ] {
            assert_eq!(hyphenated(other), None, "{other}");
        }
    }
}

//! Whom or what to erase.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::customer::Customer;
use super::everywhere::Elsewhere;
use super::whose::SubjectOwners;

/// Where the metadata of a run names its user: paths as Postgres writes them.
pub(super) const USER_PATHS: [&str; 8] = [
    "{user}",
    "{user,id}",
    "{user_id}",
    "{userId}",
    "{user.id}",
    "{user.name}",
    "{user.email}",
    "{enduser.id}",
];

/// The keys at the top of these paths.
pub(super) fn user_keys() -> Vec<&'static str> {
    let keys = USER_PATHS.iter().map(|path| path.trim_matches(['{', '}']));
    keys.filter(|key| !key.contains(',')).collect()
}

/// Whom or what to erase.
#[derive(Clone, Debug)]
pub enum Subject {
    /// What was sent with the customer's keys, or names the customer.
    Customer(Customer),
    /// A session and its runs.
    Session(Uuid),
    /// The sessions of a user, and runs whose metadata names the user.
    User {
        /// Its id or name.
        user: String,
        /// Only what belongs to this customer: users of two customers may have one name.
        customer: Option<Customer>,
    },
}

/// A subject, as the statements ask for it.
#[derive(Clone, Debug)]
pub(super) struct SubjectKey {
    /// What it is.
    pub kind: &'static str,
    /// Its id. A UUID is in lower case.
    pub id: String,
    /// All that traces may have in its place. A UUID is in lower case.
    pub names: Vec<String>,
    /// The id, if it is one.
    pub uuid: Option<Uuid>,
    /// It means the same whoever says it. The name of a user means another user elsewhere.
    pub is_global: bool,
    /// Only what belongs to this customer.
    pub customer: Option<Customer>,
    /// The customers whose its rows are, as far as they are known.
    pub owners: SubjectOwners,
    /// What tombstones have in its place: they must not name who was erased.
    pub mark: String,
    /// What is known of it from other servers of the store.
    pub elsewhere: Elsewhere,
}

impl SubjectKey {
    pub async fn of(conn: &mut PgConnection, subject: &Subject) -> Result<Self, sqlx::Error> {
        let mut key = Self::unmarked(subject);
        let of = key.customer.as_ref().map(|customer| customer.key() + ":");
        key.mark =
            sqlx::query_scalar("SELECT encode(sha256(convert_to($1 || ':' || $2, 'UTF8')), 'hex')")
                .bind(format!("{}{}", of.unwrap_or_default(), key.kind))
                .bind(&key.id)
                .fetch_one(conn)
                .await?;
        Ok(key)
    }

    fn unmarked(subject: &Subject) -> Self {
        let (kind, names, uuid, customer) = match subject {
            Subject::Customer(one) => ("customer", one.names().to_vec(), one.id(), None),
            Subject::Session(id) => ("session", vec![id.to_string()], Some(*id), None),
            Subject::User { user, customer } => {
                let id = Uuid::try_parse(user).ok();
                let names = id.map_or_else(|| vec![user.clone()], spellings);
                ("user", names, id, customer.clone())
            }
        };
        let is_global = match subject {
            Subject::User { user, .. } => hyphenated(user).is_some(),
            _ => true,
        };
        let owner = match subject {
            Subject::Customer(one) => Some(one),
            _ => customer.as_ref(),
        };
        let owners = owner.map(Customer::names).unwrap_or_default();
        Self {
            kind,
            id: names.first().cloned().unwrap_or_default(),
            owners: SubjectOwners::customer(owners),
            names,
            uuid,
            is_global,
            customer,
            mark: String::new(),
            elsewhere: Elsewhere::default(),
        }
    }

    /// What runs and sessions may have in place of the customer that they must belong to.
    pub fn customer_names(&self) -> Option<&[String]> {
        self.customer.as_ref().map(Customer::names)
    }

    /// Whether several users may have this name.
    pub fn is_ambiguous(&self) -> bool {
        !self.is_global && self.customer.is_none()
    }

    /// Whether metadata names it as the user of its run, as `subject_runs.sql` looks for it.
    pub fn is_user_of(&self, metadata: &Value) -> bool {
        let named = |data: &Value| {
            USER_PATHS.iter().any(|path| {
                let mut keys = path.trim_matches(['{', '}']).split(',');
                let found = keys.try_fold(data, |data, key| data.get(key));
                found
                    .and_then(Value::as_str)
                    .is_some_and(|name| self.is_called(name))
            })
        };
        self.kind == "user" && (named(metadata) || metadata.get("resource").is_some_and(named))
    }

    fn is_called(&self, name: &str) -> bool {
        match self.uuid {
            Some(_) => self.names.contains(&name.to_lowercase()),
            None => name == self.id,
        }
    }

    /// A regular expression for places in JSON, without backslashes, that name the user. `None`:
    /// it is no user.
    pub fn user_places_in_json(&self) -> Option<String> {
        if self.kind != "user" {
            return None;
        }
        let keys = user_keys().into_iter();
        let keys: Vec<String> = keys
            .chain(["decidedBy", "decided_by"])
            .map(|key| key.replace('.', "\\."))
            .collect();
        let names: Vec<String> = self.names.iter().map(|name| json_spellings(name)).collect();
        let any_case = if self.uuid.is_some() { "(?i)" } else { "" };
        Some(format!(
            "{any_case}(\"({})\"|\"user\"\\s*:\\s*\\{{[^{{}}]*\"id\")\\s*:\\s*\"({})\"",
            keys.join("|"),
            names.join("|")
        ))
    }
}

/// The ways to write a UUID, the usual one first.
fn spellings(id: Uuid) -> Vec<String> {
    let forms = [
        id.to_string(),
        id.simple().to_string(),
        id.urn().to_string(),
        id.braced().to_string(),
    ];
    forms.to_vec()
}

/// Reads a UUID in its usual form. 32 digits without hyphens may be any name.
fn hyphenated(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// A regular expression for a text as clients write it in JSON, after all backslashes were removed.
fn json_spellings(text: &str) -> String {
    let mut spellings = String::new();
    for char in text.chars().filter(|char| *char != '\\') {
        if char.is_ascii_alphanumeric() {
            spellings.push(char);
            continue;
        }
        // Python writes all but ASCII as escape sequences.
        let escaped: String = char
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("u{unit:04x}"))
            .map(|unit| unit.chars().map(either_case).collect::<String>())
            .collect();
        let plain = match char.is_ascii() {
            true => format!("\\{char}"),
            false => char.to_string(),
        };
        spellings.push_str(&format!("({plain}|{escaped})"));
    }
    spellings
}

fn either_case(digit: char) -> String {
    match digit {
        'a'..='f' => format!("[{digit}{}]", digit.to_ascii_uppercase()),
        _ => digit.to_string(),
    }
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

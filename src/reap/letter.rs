//! What one dead letter says, and whether it is about a subject.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::subject::SubjectKey;
use super::whose::SubjectOwners;

/// A dead letter, as far as it matters whose it is.
#[derive(Debug, Default)]
pub(super) struct Letter {
    pub id: Uuid,
    /// The customer whose key sent it.
    pub tenant: Option<String>,
    /// The customer that it names.
    customer: Option<String>,
    /// The customer of the run that it is about, if that run is there.
    run_owner: Option<String>,
    /// All ids in it.
    ids: Vec<Uuid>,
    /// Its wire form in hex, if it has no JSON form.
    hex: Option<String>,
    /// It names the user where users are named.
    says_user: bool,
    /// The run that it starts.
    pub started: Option<Uuid>,
    session: Option<Uuid>,
    parent: Option<Uuid>,
    /// The metadata of the run that it starts.
    metadata: Option<serde_json::Value>,
}

impl Letter {
    /// Reads a row of `subject_letters.sql`.
    pub fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let id = |column: &str| -> Result<Option<Uuid>, sqlx::Error> {
            let text: Option<&str> = row.try_get(column)?;
            Ok(text.and_then(|text| Uuid::try_parse(text).ok()))
        };
        let metadata: Option<&str> = row.try_get("metadata")?;
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant")?,
            customer: row.try_get("customer")?,
            run_owner: row.try_get("run_owner")?,
            ids: row.try_get("ids")?,
            hex: row.try_get("hex")?,
            says_user: row.try_get("says_user")?,
            started: id("started")?,
            session: id("session")?,
            parent: id("parent")?,
            metadata: metadata.and_then(|text| serde_json::from_str(text).ok()),
        })
    }

    /// The customer whose run it is, if the letter is right. A key decides, whatever the letter says.
    pub fn claims(&self) -> Option<&str> {
        self.tenant.as_deref().or(self.customer.as_deref())
    }

    /// The customer whose letter it is.
    pub fn owner(&self) -> Option<&str> {
        self.claims().or(self.run_owner.as_deref())
    }

    /// Whether it names the user where users are named.
    pub fn says_user(&self) -> bool {
        self.says_user
    }

    /// Whether it is about the subject, whose `ids` and `owners` are known. What another customer
    /// sent stays, also if it names an id of the subject.
    pub fn is_of(&self, subject: &SubjectKey, owners: &SubjectOwners, ids: &HashSet<Uuid>) -> bool {
        // The id of a user means the same everywhere; a name means another user elsewhere.
        let names_user_id = subject.kind == "user"
            && subject.is_global
            && subject.customer.is_none()
            && subject.uuid.is_some_and(|id| self.names(id));
        names_user_id
            || self.says_user && self.may_name_user(subject, owners)
            || self.is_in_session(ids)
            || self.names_any(subject, ids) && self.may_belong(owners)
            || subject.kind == "customer" && says_one_of(&subject.names, self.tenant.as_deref())
    }

    /// Whether it starts a run of the subject. A letter that only mentions the subject says nothing
    /// about its run.
    pub fn starts_run_of(
        &self,
        subject: &SubjectKey,
        owners: &SubjectOwners,
        ids: &HashSet<Uuid>,
    ) -> bool {
        let names_user = || {
            let metadata = self.metadata.as_ref();
            metadata.is_some_and(|metadata| subject.is_user_of(metadata))
        };
        let is_in = |place: Option<Uuid>| place.is_some_and(|place| ids.contains(&place));
        self.is_in_session(ids)
            || self.may_belong(owners) && (is_in(self.session) || is_in(self.parent))
            || subject.kind == "customer" && says_one_of(&subject.names, self.claims())
            || names_user() && self.may_name_user(subject, owners)
    }

    /// Without a key, a run may start in any session.
    fn is_in_session(&self, ids: &HashSet<Uuid>) -> bool {
        self.tenant.is_none() && self.session.is_some_and(|session| ids.contains(&session))
    }

    fn may_belong(&self, owners: &SubjectOwners) -> bool {
        match &self.tenant {
            Some(tenant) => owners.allow_key(tenant),
            None => owners.allow(self.owner()),
        }
    }

    fn may_name_user(&self, subject: &SubjectKey, owners: &SubjectOwners) -> bool {
        match &subject.customer {
            Some(_) => self.owner().is_some() && self.may_belong(owners),
            None => subject.is_global || owners.allow(self.owner()),
        }
    }

    fn names(&self, id: Uuid) -> bool {
        let bytes_or_text = |hex: &String| {
            hex.contains(&id.simple().to_string()) || hex.contains(&in_hex(&id.to_string()))
        };
        self.ids.contains(&id) || self.hex.as_ref().is_some_and(bytes_or_text)
    }

    /// Whether it names one of `ids`, or, in its wire form, the subject.
    fn names_any(&self, subject: &SubjectKey, ids: &HashSet<Uuid>) -> bool {
        self.ids.iter().any(|id| ids.contains(id))
            || self.hex.as_ref().is_some_and(|hex| {
                let mut names = subject.names.iter();
                names.any(|name| hex.contains(&in_hex(name)))
                    || ids.iter().any(|id| self.names(*id))
            })
    }
}

fn says_one_of(names: &[String], said: Option<&str>) -> bool {
    said.is_some_and(|said| names.iter().any(|name| name == said))
}

fn in_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_names_ids_as_bytes_and_as_text() {
        let id = Uuid::from_u128(0x0194_bb0a_0000_7000_8000_0000_0000_0001);
        let subject = SubjectKey {
            kind: "user",
            id: "ann".into(),
            names: vec!["ann".into()],
            uuid: None,
            is_global: false,
            customer: None,
            owners: SubjectOwners::default(),
            mark: String::new(),
            elsewhere: Default::default(),
        };
        let ids = HashSet::from([id]);
        for hex in [
            "0a100194bb0a000070008000000000000001",
            "1224303139346262306120",
            "0a03616e6e",
        ] {
            let names_id = hex.contains("0194bb0a0000");
            let letter = Letter {
                hex: Some(hex.into()),
                ..Letter::default()
            };
            assert_eq!(
                letter.names_any(&subject, &ids),
                names_id || hex.contains("616e6e"),
                "{hex}"
            );
        }
    }
}

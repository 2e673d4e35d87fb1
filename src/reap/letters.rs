//! The dead letters that are about a subject.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::subject::SubjectKey;

/// Dead letters that one statement looks at.
const LETTERS: i64 = 500;

/// The dead letters of a subject.
pub(super) struct SubjectLetters {
    pub letters: Vec<Uuid>,
    /// The runs that they start, and that belong to the subject.
    pub runs: Vec<Uuid>,
}

/// Finds the dead letters that name the subject, one of `ids`, or a run of the subject that such
/// a letter starts.
pub(super) async fn letters_of(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    mut ids: HashSet<Uuid>,
) -> Result<SubjectLetters, sqlx::Error> {
    ids.extend(subject.uuid);
    let erased: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM ingest_tombstones WHERE erased_for = $1")
            .bind(&subject.mark)
            .fetch_all(&mut *conn)
            .await?;
    ids.extend(erased);
    loop {
        let found = look_once(conn, subject, &ids).await?;
        // A letter that starts a run may come after one that only names it.
        let known = ids.len();
        ids.extend(&found.runs);
        if ids.len() == known {
            return Ok(found);
        }
    }
}

async fn look_once(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    ids: &HashSet<Uuid>,
) -> Result<SubjectLetters, sqlx::Error> {
    let mut found = SubjectLetters {
        letters: Vec::new(),
        runs: Vec::new(),
    };
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query(include_str!("subject_letters.sql"))
            .bind(subject.kind)
            .bind(&subject.id)
            .bind(subject.uuid.is_some())
            .bind(after)
            .bind(LETTERS)
            .bind(subject.customer)
            .bind(json_spellings(&subject.id))
            .fetch_all(&mut *conn)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(found);
        };
        after = last.try_get("id")?;
        for row in &rows {
            let named: Vec<Uuid> = row.try_get("ids")?;
            let hex: Option<&str> = row.try_get("hex")?;
            if row.try_get("named")?
                || named.iter().any(|id| ids.contains(id))
                || hex.is_some_and(|hex| wire_names(hex, subject, ids))
            {
                found.letters.push(row.try_get("id")?);
                found.runs.extend(started_run(row, ids)?);
            }
        }
    }
}

/// The run that a letter starts, if the letter says that the run belongs to the subject. A letter
/// that only mentions the subject says nothing about its run.
fn started_run(row: &PgRow, ids: &HashSet<Uuid>) -> Result<Option<Uuid>, sqlx::Error> {
    let started: Option<&str> = row.try_get("started")?;
    let places: Vec<String> = row.try_get("places")?;
    let mut places = places.iter().filter_map(|id| Uuid::try_parse(id).ok());
    let belongs = row.try_get("users")? || places.any(|place| ids.contains(&place));
    let run = started.and_then(|run| Uuid::try_parse(run).ok());
    Ok(run.filter(|_| belongs))
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

/// Whether the wire form of an event, in hex, names the subject or one of `ids`. Ids are bytes
/// there, or text.
fn wire_names(hex: &str, subject: &SubjectKey, ids: &HashSet<Uuid>) -> bool {
    let as_text = |text: &str| {
        let bytes = text.bytes();
        bytes.map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let names = |id: &Uuid| {
        hex.contains(&id.simple().to_string()) || hex.contains(&as_text(&id.to_string()))
    };
    ids.iter().any(names) || hex.contains(&as_text(&subject.id))
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
            uuid: None,
            customer: None,
            owner: None,
            mark: String::new(),
        };
        let ids = HashSet::from([id]);
        for hex in [
            "0a100194bb0a000070008000000000000001",
            "1224303139346262306120",
            "0a03616e6e",
        ] {
            let names_id = hex.contains("0194bb0a0000");
            assert_eq!(
                wire_names(hex, &subject, &ids),
                names_id || hex.contains("616e6e"),
                "{hex}"
            );
        }
    }
}

//! The rows that a workload has become, as Postgres itself gives them out in
//! binary, cut into the COPYs of plain connections.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use sqlx::PgConnection;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::database::{Scratch, TABLES, columns};

/// Signature, flags (none), length of the extension (none); see the PostgreSQL
/// manual, "COPY, Binary Format".
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// All rows of all tables.
#[derive(Debug)]
pub struct Rows {
    tables: Vec<TableRows>,
}

#[derive(Debug)]
struct TableRows {
    statement: String,
    bytes: Vec<u8>,
    /// Of each row: what it belongs to, and where it ends in `bytes`.
    ends: Vec<(Uuid, usize)>,
}

/// One COPY: its statement and its whole stream.
#[derive(Clone, Debug)]
pub struct Copy {
    /// `COPY … FROM STDIN (FORMAT binary)`.
    pub statement: String,
    /// Header, rows, trailer.
    pub stream: Bytes,
}

/// What is copied in one transaction, parents first.
pub type Transaction = Vec<Copy>;

impl Rows {
    /// Reads what is in the tables.
    ///
    /// # Errors
    /// When the server is away or gives out something else.
    pub async fn read(scratch: &Scratch) -> anyhow::Result<Self> {
        let mut conn = scratch.connect().await?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push(read_table(&mut conn, table).await?);
        }
        Ok(Self { tables })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tables.iter().map(|table| table.ends.len()).sum()
    }

    /// How many bytes they are in COPY's binary format.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.bytes.len()).sum()
    }

    /// Transactions of so many rows for each of so many connections. What
    /// refers to one another stays on one connection, parents first.
    #[must_use]
    pub fn cut(&self, connections: usize, rows: usize) -> Vec<Vec<Transaction>> {
        let mut lanes: Vec<Lane> = (0..connections.max(1)).map(|_| Lane::default()).collect();
        let mut at = [0; TABLES.len()];
        loop {
            let heads = self
                .tables
                .iter()
                .zip(at)
                .filter_map(|(t, at)| t.ends.get(at));
            let Some(group) = heads.map(|(group, _)| *group).min() else {
                break;
            };
            let Some(lane) = lanes.iter_mut().min_by_key(|lane| lane.total) else {
                break;
            };
            for (number, table) in self.tables.iter().enumerate() {
                while table.ends.get(at[number]).is_some_and(|(g, _)| *g == group) {
                    lane.add(number, table.row(at[number]));
                    at[number] += 1;
                    if lane.rows >= rows {
                        lane.cut(&self.tables);
                    }
                }
            }
        }
        lanes
            .into_iter()
            .map(|mut lane| {
                lane.cut(&self.tables);
                lane.transactions
            })
            .collect()
    }
}

impl TableRows {
    fn row(&self, number: usize) -> &[u8] {
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before].1);
        &self.bytes[start..self.ends[number].1]
    }
}

/// What one connection copies.
#[derive(Default)]
struct Lane {
    transactions: Vec<Transaction>,
    streams: [Vec<u8>; TABLES.len()],
    rows: usize,
    total: usize,
}

impl Lane {
    fn add(&mut self, table: usize, row: &[u8]) {
        let stream = &mut self.streams[table];
        if stream.is_empty() {
            stream.extend_from_slice(HEADER);
        }
        stream.extend_from_slice(row);
        self.rows += 1;
        self.total += 1;
    }

    fn cut(&mut self, tables: &[TableRows]) {
        self.rows = 0;
        let streams = std::mem::take(&mut self.streams);
        let copies = streams
            .into_iter()
            .zip(tables)
            .filter_map(|(mut stream, table)| {
                if stream.is_empty() {
                    return None;
                }
                stream.extend_from_slice(&TRAILER);
                Some(Copy {
                    statement: table.statement.clone(),
                    stream: stream.into(),
                })
            });
        let transaction: Transaction = copies.collect();
        if !transaction.is_empty() {
            self.transactions.push(transaction);
        }
    }
}

/// The rows of a table in the order of what they belong to: its session, else its run.
async fn read_table(conn: &mut PgConnection, table: &str) -> anyhow::Result<TableRows> {
    let (group, join) = match table {
        "agent_sessions" => ("t.id", ""),
        "agent_runs" => ("coalesce(t.session_id, t.id)", ""),
        "agent_messages" | "approvals" => (
            "coalesce(r.session_id, t.session_id, t.run_id)",
            "LEFT JOIN agent_runs r ON r.id = t.run_id",
        ),
        _ => (
            "coalesce(r.session_id, t.run_id)",
            "JOIN agent_runs r ON r.id = t.run_id",
        ),
    };
    let columns = columns(conn, table).await?;
    let selected: Vec<String> = columns.iter().map(|column| format!("t.{column}")).collect();
    let copy_out = format!(
        "COPY (SELECT {group}, {} FROM {table} t {join} ORDER BY 1, t.id) TO STDOUT (FORMAT binary)",
        selected.join(", ")
    );
    let mut rows = TableRows {
        statement: format!(
            "COPY {table} ({}) FROM STDIN (FORMAT binary)",
            columns.join(", ")
        ),
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    // Chunks end where rows do not: what is left of one goes before the next.
    let mut rest = Vec::new();
    let mut header = HEADER.len();
    let mut chunks = conn.copy_out_raw(&copy_out).await?;
    while let Some(chunk) = chunks.next().await {
        rest.extend_from_slice(&chunk?);
        let skipped = header.min(rest.len());
        rest.drain(..skipped);
        header -= skipped;
        let used = rows.take(&rest)?;
        rest.drain(..used);
    }
    ensure!(rest == TRAILER, "{table}: the COPY ends amid a row");
    Ok(rows)
}

impl TableRows {
    /// Takes the whole rows at the front; returns how many bytes they are.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some(len) = row_len(&bytes[used..]) {
            let row = &bytes[used..used + len];
            let fields = i16::from_be_bytes([row[0], row[1]]);
            let group = row.get(6..22).context("a row without a group")?;
            let group = Uuid::from_slice(group)?;
            // The group, an i32 of length and 16 bytes, is no column.
            self.bytes.extend_from_slice(&(fields - 1).to_be_bytes());
            self.bytes.extend_from_slice(&row[22..]);
            self.ends.push((group, self.bytes.len()));
            used += len;
        }
        Ok(used)
    }
}

/// The length of the row at the front; none at the trailer or where it is not whole.
fn row_len(bytes: &[u8]) -> Option<usize> {
    let fields = i16::from_be_bytes(*bytes.first_chunk()?);
    let mut at = 2;
    for _ in 0..u16::try_from(fields).ok()? {
        let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        // NULL is -1.
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of a table of one column, after its group.
    fn given(group: u128, value: &[u8]) -> Vec<u8> {
        let mut row = vec![0, 2, 0, 0, 0, 16];
        row.extend(group.to_be_bytes());
        row.extend((value.len() as i32).to_be_bytes());
        row.extend(value);
        row
    }

    fn table(rows: &[(u128, &[u8])]) -> TableRows {
        let mut table = TableRows {
            statement: String::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for (group, value) in rows {
            let row = given(*group, value);
            assert_eq!(table.take(&row[..row.len() - 1]).unwrap(), 0);
            assert_eq!(table.take(&row).unwrap(), row.len());
        }
        assert_eq!(table.take(&TRAILER).unwrap(), 0);
        table
    }

    #[test]
    fn what_belongs_together_stays_on_one_connection_parents_first() {
        let mut tables: Vec<TableRows> = (0..TABLES.len()).map(|_| table(&[])).collect();
        tables[1] = table(&[(1, b"r1"), (2, b"r2")]);
        tables[2] = table(&[(1, b"s1"), (1, b"s2"), (2, b"s3")]);
        let rows = Rows { tables };
        assert_eq!(rows.count(), 5);
        let text = |copy: &Copy| String::from_utf8_lossy(&copy.stream).into_owned();
        let lanes = rows.cut(2, 2);
        let seen: Vec<Vec<Vec<Vec<&str>>>> = lanes
            .iter()
            .map(|lane| {
                let lane = lane.iter().map(|transaction| {
                    let copies = transaction.iter().map(|copy| {
                        let text = text(copy);
                        let all = ["r1", "r2", "s1", "s2", "s3"];
                        all.into_iter().filter(|v| text.contains(v)).collect()
                    });
                    copies.collect()
                });
                lane.collect()
            })
            .collect();
        assert_eq!(seen[0], [vec![vec!["r1"], vec!["s1"]], vec![vec!["s2"]]]);
        assert_eq!(seen[1], [vec![vec!["r2"], vec!["s3"]]]);
    }
}

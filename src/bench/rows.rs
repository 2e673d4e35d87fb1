//! Reads the rows of a workload back in COPY's binary format, and splits them into
//! transactions for plain COPY.

use std::ops::Range;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use sqlx::PgConnection;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::database::{ScratchDatabase, TABLES, columns};

/// Signature, flags (none) and header extension length (0): PostgreSQL manual, COPY, Binary
/// Format.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of -1 ends the stream.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Where the group's UUID is in a row: after the field count (2 bytes) and the length of the
/// first field (4 bytes).
const GROUP: Range<usize> = 6..22;

/// All rows that a workload has become, by table.
#[derive(Debug)]
pub struct WorkloadRows {
    tables: Vec<TableRows>,
}

#[derive(Debug)]
struct TableRows {
    /// The COPY that writes these rows.
    statement: String,
    bytes: Vec<u8>,
    /// For each row its group, and the offset of its end in `bytes`.
    ends: Vec<(Uuid, usize)>,
}

/// One COPY: its statement and its complete stream.
#[derive(Clone, Debug)]
pub struct TableCopy {
    /// `COPY … FROM STDIN (FORMAT binary)`.
    pub statement: String,
    /// Header, rows, trailer.
    pub stream: Bytes,
}

/// The COPYs of one transaction, parents first.
pub type CopyTransaction = Vec<TableCopy>;

impl WorkloadRows {
    /// Reads all tables.
    ///
    /// # Errors
    /// When the server is unreachable or its output is not in the expected format.
    pub async fn read(scratch: &ScratchDatabase) -> anyhow::Result<Self> {
        let mut conn = scratch.connect().await?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push(read_table(&mut conn, table).await?);
        }
        Ok(Self { tables })
    }

    /// The number of rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tables.iter().map(|table| table.ends.len()).sum()
    }

    /// The size of all rows in COPY's binary format, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.bytes.len()).sum()
    }

    /// Splits all rows into transactions of `rows` rows for each connection. Rows of one group
    /// refer to one another, so they stay on one connection, parents first.
    #[must_use]
    pub fn split(&self, connections: usize, rows: usize) -> Vec<Vec<CopyTransaction>> {
        let mut plans: Vec<ConnectionPlan> = (0..connections.max(1))
            .map(|_| ConnectionPlan::default())
            .collect();
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
            let Some(plan) = plans.iter_mut().min_by_key(|plan| plan.total) else {
                break;
            };
            for (number, table) in self.tables.iter().enumerate() {
                while table.ends.get(at[number]).is_some_and(|(g, _)| *g == group) {
                    plan.add(number, table.row(at[number]));
                    at[number] += 1;
                    if plan.rows >= rows {
                        plan.end_transaction(&self.tables);
                    }
                }
            }
        }
        plans
            .into_iter()
            .map(|mut plan| {
                plan.end_transaction(&self.tables);
                plan.transactions
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

/// The transactions of one connection, while they are built.
#[derive(Default)]
struct ConnectionPlan {
    transactions: Vec<CopyTransaction>,
    streams: [Vec<u8>; TABLES.len()],
    /// Rows in the transaction that is being built.
    rows: usize,
    /// Rows in all transactions.
    total: usize,
}

impl ConnectionPlan {
    fn add(&mut self, table: usize, row: &[u8]) {
        let stream = &mut self.streams[table];
        if stream.is_empty() {
            stream.extend_from_slice(HEADER);
        }
        stream.extend_from_slice(row);
        self.rows += 1;
        self.total += 1;
    }

    fn end_transaction(&mut self, tables: &[TableRows]) {
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
                Some(TableCopy {
                    statement: table.statement.clone(),
                    stream: stream.into(),
                })
            });
        let transaction: CopyTransaction = copies.collect();
        if !transaction.is_empty() {
            self.transactions.push(transaction);
        }
    }
}

/// Reads a table's rows ordered by group: the session of a row, or its run without a session.
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
    let order = match table {
        "agent_contents" => "t.run_id, t.hash",
        _ => "t.id",
    };
    let columns = columns(conn, table).await?;
    let selected: Vec<String> = columns.iter().map(|column| format!("t.{column}")).collect();
    let copy_out = format!(
        "COPY (SELECT {group}, {} FROM {table} t {join} ORDER BY 1, {order}) TO STDOUT (FORMAT binary)",
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
    // Chunks can end inside a row, so the incomplete rest of one precedes the next.
    let mut rest = Vec::new();
    let mut header = HEADER.len();
    let mut chunks = conn.copy_out_raw(&copy_out).await?;
    while let Some(chunk) = chunks.next().await {
        rest.extend_from_slice(&chunk?);
        let skipped = header.min(rest.len());
        rest.drain(..skipped);
        header -= skipped;
        let used = rows.append_complete_rows(&rest)?;
        rest.drain(..used);
    }
    ensure!(
        rest == TRAILER,
        "{table}: the COPY output ends inside a row"
    );
    Ok(rows)
}

impl TableRows {
    /// Appends the complete rows at the front of `bytes`. Returns their length in bytes.
    fn append_complete_rows(&mut self, bytes: &[u8]) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some(len) = row_len(&bytes[used..]) {
            let row = &bytes[used..used + len];
            let fields = i16::from_be_bytes([row[0], row[1]]);
            let group = row.get(GROUP).context("a row has no group")?;
            let group = Uuid::from_slice(group)?;
            // The group is not a column of the table.
            self.bytes.extend_from_slice(&(fields - 1).to_be_bytes());
            self.bytes.extend_from_slice(&row[GROUP.end..]);
            self.ends.push((group, self.bytes.len()));
            used += len;
        }
        Ok(used)
    }
}

/// The length of the first row in `bytes`; `None` at the trailer or for an incomplete row.
fn row_len(bytes: &[u8]) -> Option<usize> {
    let fields = i16::from_be_bytes(*bytes.first_chunk()?);
    let mut at = 2;
    for _ in 0..u16::try_from(fields).ok()? {
        let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        // The length of NULL is -1, with no bytes after it.
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as COPY returns it: its group, then one column.
    fn row_with_group(group: u128, value: &[u8]) -> Vec<u8> {
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
            let row = row_with_group(*group, value);
            assert_eq!(
                table.append_complete_rows(&row[..row.len() - 1]).unwrap(),
                0
            );
            assert_eq!(table.append_complete_rows(&row).unwrap(), row.len());
        }
        assert_eq!(table.append_complete_rows(&TRAILER).unwrap(), 0);
        table
    }

    #[test]
    fn rows_of_a_group_stay_on_one_connection_parents_first() {
        let mut tables: Vec<TableRows> = (0..TABLES.len()).map(|_| table(&[])).collect();
        tables[1] = table(&[(1, b"r1"), (2, b"r2")]);
        tables[2] = table(&[(1, b"s1"), (1, b"s2"), (2, b"s3")]);
        let rows = WorkloadRows { tables };
        assert_eq!(rows.count(), 5);
        let text = |copy: &TableCopy| String::from_utf8_lossy(&copy.stream).into_owned();
        let plans = rows.split(2, 2);
        let seen: Vec<Vec<Vec<Vec<&str>>>> = plans
            .iter()
            .map(|plan| {
                let plan = plan.iter().map(|transaction| {
                    let copies = transaction.iter().map(|copy| {
                        let text = text(copy);
                        let all = ["r1", "r2", "s1", "s2", "s3"];
                        all.into_iter().filter(|v| text.contains(v)).collect()
                    });
                    copies.collect()
                });
                plan.collect()
            })
            .collect();
        assert_eq!(seen[0], [vec![vec!["r1"], vec!["s1"]], vec![vec!["s2"]]]);
        assert_eq!(seen[1], [vec![vec!["r2"], vec!["s3"]]]);
    }
}

//! Statements that go to the connection together: each way to its thread and back costs more than most statements.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::failed;
use crate::store::StoreError;

pub(super) enum Cell {
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    Null,
}

/// Statements and what is bound in them, one after the other.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    cells: Vec<Cell>,
}

impl Script {
    /// Adds a statement of our own words; each `?` in it stands for the next of the cells.
    pub fn add(&mut self, sql: &str, cells: impl IntoIterator<Item = Cell>) {
        self.sql.push_str(sql);
        self.sql.push_str(";\n");
        self.cells.extend(cells);
    }

    /// Executes what was added, and is empty again. Says how many rows it touched in all.
    pub async fn run(&mut self, conn: &mut SqliteConnection) -> Result<u64, StoreError> {
        let Self { sql, cells } = std::mem::take(self);
        if sql.is_empty() {
            return Ok(0);
        }
        // put together from constants and question marks
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for cell in cells {
            query = match cell {
                Cell::Int(number) => query.bind(number),
                Cell::Real(number) => query.bind(number),
                Cell::Text(text) => query.bind(text),
                Cell::Blob(bytes) => query.bind(bytes),
                Cell::Null => query.bind(None::<i64>),
            };
        }
        Ok(query.execute(conn).await.map_err(failed)?.rows_affected())
    }
}

/// Rows to be inserted.
pub(super) struct Batch {
    insert: &'static str,
    /// What follows the values.
    then: &'static str,
    pub rows: Vec<Vec<Cell>>,
}

/// So many rows at once are a statement that is prepared once and sent alone.
const BULK: usize = 64;

impl Batch {
    pub fn new(insert: &'static str, then: &'static str) -> Self {
        Self { insert, then, rows: Vec::new() }
    }

    pub fn push<const N: usize>(&mut self, row: [Cell; N]) {
        self.rows.push(row.into());
    }

    /// Adds the rows to a script; many of them are executed at once, after what is in the script already.
    pub async fn write(self, script: &mut Script, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let Some(columns) = self.rows.first().map(Vec::len) else { return Ok(()) };
        let mut rows = self.rows.into_iter();
        while rows.len() > 0 {
            let count = rows.len().min(BULK);
            if count == BULK {
                script.run(conn).await?;
            }
            script.add(&values(self.insert, columns, count, self.then), rows.by_ref().take(count).flatten());
            if count == BULK {
                script.run(conn).await?;
            }
        }
        Ok(())
    }
}

/// A statement that inserts so many rows.
pub(super) fn values(insert: &str, columns: usize, rows: usize, then: &str) -> String {
    let one = format!("({})", vec!["?"; columns].join(", "));
    format!("{insert} values {} {then}", vec![one.as_str(); rows].join(", "))
}

//! Between rows and records: the small ordinals of types, partitions, authors and names, and the packed form.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::failed;
use crate::domain::clock::Hlc;
use crate::domain::ids::{Incarnation, NodeId, Partition, TypeName};
use crate::domain::record::pack::{Dictionary, unpack};
use crate::domain::stamp::{Author, Stamp};
use crate::store::{Flags, Held, StoreError};

/// The ordinals in use. The writer grows its own copy and publishes it before it commits; readers never meet a row with
/// an ordinal they cannot look up.
#[derive(Debug, Clone, Default)]
pub(super) struct Ordinals {
    types: Vec<TypeName>,
    types_by_name: HashMap<TypeName, i64>,
    partitions: Vec<Partition>,
    partitions_by_name: HashMap<Partition, i64>,
    pub dictionary: Dictionary,
}

impl Ordinals {
    pub async fn load(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        let mut ordinals = Self::default();
        let rows =
            sqlx::query("select name from type order by ordinal").fetch_all(&mut *connection).await.map_err(failed)?;
        for row in rows {
            let name: String = row.get(0);
            let name = name.parse().map_err(|_| StoreError::Damaged(format!("a type is called {name}")))?;
            ordinals.type_of(&name);
        }
        let rows = sqlx::query("select name from partition order by ordinal")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        for row in rows {
            ordinals.partition_of(&Partition(row.get(0)));
        }
        let rows = sqlx::query("select node, incarnation, person from author order by ordinal")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let mut authors = Vec::with_capacity(rows.len());
        for row in rows {
            authors.push(Author {
                node: NodeId(row.get::<i64, _>(0) as u64),
                incarnation: Incarnation(row.get::<i64, _>(1) as u64),
                person: id_of(row.get(2))?,
            });
        }
        let rows = sqlx::query("select text from name order by ordinal").fetch_all(connection).await.map_err(failed)?;
        ordinals.dictionary = Dictionary::of(authors, rows.iter().map(|row| row.get(0)).collect());
        Ok(ordinals)
    }

    /// The ordinal of a type, made if it has none. Counted from 1.
    pub fn type_of(&mut self, name: &TypeName) -> i64 {
        if let Some(at) = self.types_by_name.get(name) {
            return *at;
        }
        self.types.push(name.clone());
        let at = self.types.len() as i64;
        self.types_by_name.insert(name.clone(), at);
        at
    }

    pub fn known_type(&self, name: &TypeName) -> Option<i64> {
        self.types_by_name.get(name).copied()
    }

    pub fn partition_of(&mut self, partition: &Partition) -> i64 {
        if let Some(at) = self.partitions_by_name.get(partition) {
            return *at;
        }
        self.partitions.push(partition.clone());
        let at = self.partitions.len() as i64;
        self.partitions_by_name.insert(partition.clone(), at);
        at
    }

    pub fn known_partition(&self, partition: &Partition) -> Option<i64> {
        self.partitions_by_name.get(partition).copied()
    }

    /// How many types, authors, names and partitions there are.
    pub fn counts(&self) -> [usize; 4] {
        [self.types.len(), self.dictionary.authors().len(), self.dictionary.names().len(), self.partitions.len()]
    }

    pub fn types(&self) -> &[TypeName] {
        &self.types
    }

    pub fn type_named(&self, at: i64) -> Result<&TypeName, StoreError> {
        let known = usize::try_from(at - 1).ok().and_then(|at| self.types.get(at));
        known.ok_or_else(|| StoreError::Damaged(format!("there is no type {at}")))
    }

    fn partition_named(&self, at: i64) -> Result<&Partition, StoreError> {
        let known = usize::try_from(at - 1).ok().and_then(|at| self.partitions.get(at));
        known.ok_or_else(|| StoreError::Damaged(format!("there is no partition {at}")))
    }

    pub fn stamp(&self, time: i64, author: i64, tag: i64) -> Result<Stamp, StoreError> {
        let author = usize::try_from(author).ok().and_then(|at| self.dictionary.authors().get(at));
        let author = *author.ok_or_else(|| StoreError::Damaged("a stamp names no author".into()))?;
        Ok(Stamp { time: Hlc(time), author, tag: tag as u32 })
    }

    /// A record from the columns `type, id, partition, doc, stamps, seq, flags`.
    pub fn held(&self, row: &SqliteRow) -> Result<Held, StoreError> {
        let type_name = self.type_named(row.get(0))?.clone();
        let id = id_of(row.get(1))?;
        let damaged = |why: String| StoreError::Damaged(format!("{type_name}/{id}: {why}"));
        let document: Value = serde_json::from_str(row.get::<&str, _>(3)).map_err(|err| damaged(err.to_string()))?;
        let seq = row.get::<i64, _>(5) as u64;
        let state = unpack(row.get::<&[u8], _>(4), seq, Some(document), &self.dictionary)
            .map_err(|err| damaged(err.to_string()))?;
        let document = state.document();
        let partition = self.partition_named(row.get(2))?.clone();
        Ok(Held { type_name, id, partition, state, document, seq, flags: Flags(row.get::<i64, _>(6) as u8) })
    }
}

pub(super) fn id_of(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| StoreError::Damaged("an id has not 16 bytes".into()))
}

/// The columns [`Ordinals::held`] reads.
pub(super) const COLUMNS: &str =
    "record.type, record.id, record.partition, record.doc, record.stamps, record.seq, record.flags";

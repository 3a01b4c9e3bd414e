//! The form of a type: its schema, made once per publication and shared. Which controls it has depends on the answers, see `walk`.

use std::sync::Arc;

use crate::domain::schema::Schema;

/// The form of a type.
#[derive(Debug)]
pub struct Layout {
    schema: Arc<Schema>,
}

impl Layout {
    pub fn of(schema: Arc<Schema>) -> Self {
        Self { schema }
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

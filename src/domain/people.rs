//! Who may do what. Pages and API alike come through [`authorise`]; nothing else decides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{NodeId, PersonId, TypeName};
use super::path::Path;

/// What a person or a token may do at most; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees records.
    Viewer,
    /// Creates, edits, bins and restores records, and decides about values that lost a merge.
    Staff,
    /// Makes, changes and publishes types.
    Designer,
    /// People, tokens, nodes, backup and restore.
    Admin,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Staff, Role::Designer, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Staff => "staff",
            Role::Designer => "designer",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("“{text}” is no role; choose viewer, staff, designer or admin"))
    }
}

/// On whose behalf something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Person {
        id: PersonId,
        role: Role,
    },
    Token {
        id: Uuid,
        role: Role,
    },
    /// Another node, within its scope.
    Node(NodeId),
    /// Whoever runs commands on this machine: they could read the database file as well.
    Operator,
}

impl Actor {
    /// Whom the stamps of what they write name. Tokens are named by their own id.
    pub fn person(&self) -> PersonId {
        match self {
            Actor::Person { id, .. } | Actor::Token { id, .. } => *id,
            Actor::Node(_) | Actor::Operator => PersonId::nil(),
        }
    }

    fn role(&self) -> Option<Role> {
        match self {
            Actor::Person { role, .. } | Actor::Token { role, .. } => Some(*role),
            Actor::Operator => Some(Role::Admin),
            Actor::Node(_) => None,
        }
    }

    pub fn is_at_least(&self, role: Role) -> bool {
        self.role().is_some_and(|own| own >= role)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// See records, types and the state of the link.
    See,
    Create,
    Edit,
    /// Into the bin and back.
    Bin,
    /// Decide about a value that lost a merge.
    Decide,
    /// Send and fetch now, pause, resume.
    Link,
    /// Make, change, publish, retire types.
    Design,
    /// People, tokens, nodes.
    Administer,
}

/// They may not. The words say what is needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this needs the role {needed}")]
pub struct Denied {
    pub needed: Role,
}

/// Judges an operation on a record (or on none in particular) and on some of its fields (none: the record as a whole).
/// Roles decide alone for now; the record and the fields are here for the permissions that narrow them.
pub fn authorise(
    actor: &Actor,
    operation: Operation,
    _record: Option<(&TypeName, Uuid)>,
    _fields: &[Path],
) -> Result<(), Denied> {
    let needed = match operation {
        Operation::See => Role::Viewer,
        Operation::Create | Operation::Edit | Operation::Bin | Operation::Decide | Operation::Link => Role::Staff,
        Operation::Design => Role::Designer,
        Operation::Administer => Role::Admin,
    };
    match actor {
        // a node carries what its people wrote; each save is judged by its author
        Actor::Node(_) if operation == Operation::See => Ok(()),
        _ if actor.is_at_least(needed) => Ok(()),
        _ => Err(Denied { needed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_it_says_and_no_more() {
        use Operation::*;
        let all = [See, Create, Edit, Bin, Decide, Link, Design, Administer];
        for (role, may) in [(Role::Viewer, 1), (Role::Staff, 6), (Role::Designer, 7), (Role::Admin, 8)] {
            let actor = Actor::Person { id: Uuid::nil(), role };
            let allowed = all.iter().filter(|operation| authorise(&actor, **operation, None, &[]).is_ok()).count();
            assert_eq!(allowed, may, "{role}");
        }
        assert!(authorise(&Actor::Node(NodeId(1)), Edit, None, &[]).is_err());
        assert!(authorise(&Actor::Operator, Administer, None, &[]).is_ok());
    }
}

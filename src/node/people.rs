//! People: who they are, how they sign in, what keeps them signed in, and the tokens of programs.
//!
//! People are records and sync, with the hash of their password, so that an edge signs them in without the hub.
//! Sessions and tokens stay on the node that made them, and only as hashes.

use std::collections::HashMap;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::types::set;
use super::{Node, NodeError, Result};
use crate::domain::FieldError;
use crate::domain::ids::{PersonId, TypeName};
use crate::domain::json as canonical;
use crate::domain::path::Path;
use crate::domain::people::{Actor, Operation, Role, authorise};
use crate::domain::record::{Act, Change, Content, Cover};
use crate::domain::save::Save;
use crate::store::{Expect, Held, LocalChange, LocalRecord, Outcome, Request, Store};

/// A person as this node knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub email: String,
    pub name: String,
    pub role: Role,
    pub disabled: bool,
    /// A PHC string; `None` until a password is set.
    password: Option<String>,
}

impl Person {
    pub(super) fn of(held: &Held) -> Option<Self> {
        let value = &held.document.value;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        Some(Self {
            id: held.id,
            email: text("email")?.to_owned(),
            name: text("name").unwrap_or_default().to_owned(),
            role: text("role")?.parse().ok()?,
            disabled: value.get("disabled").and_then(Value::as_bool).unwrap_or(false),
            password: text("password").map(str::to_owned),
        })
    }
}

/// Someone who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub person: PersonId,
    pub name: String,
    pub email: String,
    pub role: Role,
    /// Stands in every form of theirs; a post without it is not from a page of ours.
    pub csrf: String,
}

impl Session {
    pub fn actor(&self) -> Actor {
        Actor::Person { id: self.person, role: self.role }
    }
}

/// What a sign-in gives: the secret for the cookie, told once.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub secret: String,
    pub session: Session,
}

/// A token of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    pub id: Uuid,
    pub name: String,
    pub role: Role,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub revoked: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptSession {
    person: PersonId,
    csrf: String,
    expires_at: i64,
}

/// Wrong passwords for one address since the last right one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Failures {
    count: u32,
    until: i64,
}

/// The kind of local document that says who is signed in.
pub(super) const SESSION: &str = "session";
const TOKEN: &str = "token";
const SETUP: &str = "setup";
/// A session ends when it was not renewed by a sign-in for this long.
const SESSION_MILLIS: i64 = 30 * 24 * 3600 * 1000;
const MAX_FAILURES: u32 = 5;
const LOCK_MILLIS: i64 = 5 * 60 * 1000;
/// A set-up address works this long.
const SETUP_MILLIS: i64 = 24 * 3600 * 1000;
const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 1024;

/// Hashes a password with argon2id. Takes 19 MiB and some tens of milliseconds.
pub fn hash_password(password: &str, salt: u128) -> String {
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt.to_le_bytes())
        .expect("a password and sixteen bytes of salt can be hashed")
        .to_string()
}

/// The tokens in this store, by fingerprint. They are asked for with every request, so the node holds them at hand.
pub(super) async fn tokens(store: &dyn Store) -> Result<HashMap<String, ApiToken>> {
    let kept = store.locals(TOKEN).await?;
    Ok(kept.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_value(value).ok()?))).collect())
}

const POISON: &str = "no holder of this lock panics";

fn fingerprint(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

impl Node {
    fn secret_text(&self) -> String {
        let bytes = [self.world().random().to_le_bytes(), self.world().random().to_le_bytes()].concat();
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }

    /// Signs a person in. After five wrong passwords an address waits five minutes.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<SignIn> {
        let email = email.trim().to_lowercase();
        let now = self.now();
        let failures = self.inner.failures.read().expect("no holder panics").get(&email).copied().unwrap_or_default();
        if failures.until > now {
            return Err(NodeError::Wait(((failures.until - now) as u64).div_ceil(1000)));
        }
        let person = self.caches().people().into_iter().find(|person| person.email == email && !person.disabled);
        let hash = person.as_ref().and_then(|person| person.password.clone());
        if !self.verify(password, hash).await {
            let mut all = self.inner.failures.write().expect("no holder panics");
            if all.len() > 10_000 {
                all.retain(|_, failures| failures.until > now);
            }
            let failures = all.entry(email).or_default();
            failures.count += 1;
            if failures.count >= MAX_FAILURES {
                *failures = Failures { count: 0, until: now + LOCK_MILLIS };
            }
            return Err(NodeError::SignedOut);
        }
        self.inner.failures.write().expect("no holder panics").remove(&email);
        let person = person.ok_or(NodeError::SignedOut)?;
        self.open_session(&person).await
    }

    /// Checks a password; takes as long for an address nobody has.
    async fn verify(&self, password: &str, hash: Option<String>) -> bool {
        if password.len() > MAX_PASSWORD {
            return false;
        }
        let _permit = self.inner.hashing.acquire().await;
        let password = password.to_owned();
        let check = move || match hash {
            Some(hash) => PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
            None => {
                hash_password(&password, 0);
                false
            }
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    async fn open_session(&self, person: &Person) -> Result<SignIn> {
        let secret = self.secret_text();
        let kept = KeptSession { person: person.id, csrf: self.secret_text(), expires_at: self.now() + SESSION_MILLIS };
        self.keep(SESSION, fingerprint(&secret), &kept).await?;
        let session = Session {
            person: person.id,
            name: person.name.clone(),
            email: person.email.clone(),
            role: person.role,
            csrf: kept.csrf,
        };
        Ok(SignIn { secret, session })
    }

    /// Who the secret of a cookie belongs to; `None` if it is unknown, expired, or its person may not sign in any more.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>> {
        let Some(value) = self.store().local(SESSION, &fingerprint(secret)).await? else { return Ok(None) };
        let Ok(kept) = serde_json::from_value::<KeptSession>(value) else { return Ok(None) };
        let person = self.caches().person(kept.person).filter(|person| !person.disabled);
        Ok(person.filter(|_| kept.expires_at > self.now()).map(|person| Session {
            person: person.id,
            name: person.name.clone(),
            email: person.email.clone(),
            role: person.role,
            csrf: kept.csrf,
        }))
    }

    pub async fn sign_out(&self, secret: &str) -> Result<()> {
        self.drop_local(SESSION, fingerprint(secret)).await
    }

    /// Makes a token for a program. Its secret is told once.
    pub async fn create_token(&self, actor: &Actor, name: &str, role: Role) -> Result<(String, ApiToken)> {
        authorise(actor, Operation::Administer, None, &[])?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            let error = FieldError::new("/name", "minLength", "Enter a name for the token, for example nightly export");
            return Err(NodeError::Invalid(vec![error]));
        }
        let secret = format!("op_{}", self.secret_text());
        let token = ApiToken { id: self.new_id(), name: name.to_owned(), role, created_at: self.now(), revoked: false };
        self.keep_token(fingerprint(&secret), &token).await?;
        Ok((secret, token))
    }

    pub async fn tokens(&self, actor: &Actor) -> Result<Vec<ApiToken>> {
        authorise(actor, Operation::Administer, None, &[])?;
        let mut tokens: Vec<ApiToken> = self.inner.tokens.read().expect(POISON).values().cloned().collect();
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }

    /// Withdraws a token by its id, or all of this name. Doing it again changes nothing.
    pub async fn revoke_token(&self, actor: &Actor, which: &str) -> Result<ApiToken> {
        authorise(actor, Operation::Administer, None, &[])?;
        let named = |token: &ApiToken| token.id.to_string() == which || token.name == which;
        let found: Vec<(String, ApiToken)> = {
            let tokens = self.inner.tokens.read().expect(POISON);
            tokens.iter().filter(|(_, token)| named(token)).map(|(key, token)| (key.clone(), token.clone())).collect()
        };
        let mut revoked = None;
        for (key, mut token) in found {
            if !token.revoked {
                token.revoked = true;
                self.keep_token(key, &token).await?;
            }
            revoked = Some(token);
        }
        revoked.ok_or(NodeError::NotFound("token"))
    }

    /// The actor a bearer token stands for.
    pub async fn token_actor(&self, secret: &str) -> Result<Actor> {
        match self.inner.tokens.read().expect(POISON).get(&fingerprint(secret)) {
            Some(token) if !token.revoked => Ok(Actor::Token { id: token.id, role: token.role }),
            _ => Err(NodeError::SignedOut),
        }
    }

    /// What a token of this node is called; stamps name the token that wrote.
    pub fn token_name(&self, id: Uuid) -> Option<String> {
        let tokens = self.inner.tokens.read().expect(POISON);
        tokens.values().find(|token| token.id == id).map(|token| token.name.clone())
    }

    async fn keep_token(&self, key: String, token: &ApiToken) -> Result<()> {
        self.keep(TOKEN, key.clone(), token).await?;
        self.inner.tokens.write().expect(POISON).insert(key, token.clone());
        Ok(())
    }

    pub fn people(&self, actor: &Actor) -> Result<Vec<std::sync::Arc<Person>>> {
        authorise(actor, Operation::Administer, None, &[])?;
        Ok(self.caches().people())
    }

    /// Whether anybody can sign in here yet.
    pub fn has_people(&self) -> bool {
        !self.caches().people().is_empty()
    }

    /// Adds a person. The address is taken in lower case and names one person only.
    pub async fn add_person(
        &self,
        actor: &Actor,
        email: &str,
        name: &str,
        role: Role,
        password: Option<&str>,
    ) -> Result<Person> {
        authorise(actor, Operation::Administer, None, &[])?;
        self.make_person(actor, email, name, role, password).await
    }

    /// What is wrong with a new person, all at once; or their address and name as they are kept.
    fn judge_person(&self, email: &str, name: &str, password: Option<&str>) -> Result<(String, String)> {
        let email = email.trim().to_lowercase();
        let mut errors = Vec::new();
        let (local, domain) = email.split_once('@').unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '@';
        if local.is_empty() || domain.is_empty() || email.len() > 254 || local.contains(odd) || domain.contains(odd) {
            let message = "Enter an e-mail address, for example ingrid@example.org";
            errors.push(FieldError::new("/email", "format", message));
        } else if self.caches().people().iter().any(|person| person.email == email) {
            errors.push(FieldError::new("/email", "unique", "Somebody has this address already; enter another"));
        }
        let name = if name.trim().is_empty() { local } else { name.trim() }.to_owned();
        if name.chars().count() > 200 {
            errors.push(FieldError::new("/name", "maxLength", "Enter a name of at most 200 characters"));
        }
        errors.extend(password.and_then(weak));
        if errors.is_empty() { Ok((email, name)) } else { Err(NodeError::Invalid(errors)) }
    }

    async fn make_person(
        &self,
        actor: &Actor,
        email: &str,
        name: &str,
        role: Role,
        password: Option<&str>,
    ) -> Result<Person> {
        let (email, name) = self.judge_person(email, name, password)?;
        let mut document = json!({ "email": email, "name": name, "role": role });
        if let Some(password) = password {
            document["password"] = json!(self.hash(password).await);
        }
        let id = self.new_id();
        let create = Change {
            path: Path::root(),
            act: Act::Set(Content::json(canonical::sorted(document))),
            replaces: Cover::nothing(),
        };
        let record = person_record(id, Expect::New, vec![create]);
        if self.save(actor, vec![record]).await?.is_err() {
            return Err(NodeError::Conflict("somebody with this id was added meanwhile".into()));
        }
        self.known_person(id)
    }

    pub async fn set_password(&self, actor: &Actor, id: PersonId, password: &str) -> Result<Person> {
        if actor.person() != id {
            authorise(actor, Operation::Administer, None, &[])?;
        }
        if let Some(error) = weak(password) {
            return Err(NodeError::Invalid(vec![error]));
        }
        let hash = self.hash(password).await;
        self.end_sessions(id).await?;
        self.change_person(actor, id, "password", json!(hash)).await
    }

    /// A disabled person cannot sign in, and whoever is signed in as them is signed out at once.
    pub async fn set_disabled(&self, actor: &Actor, id: PersonId, disabled: bool) -> Result<Person> {
        authorise(actor, Operation::Administer, None, &[])?;
        if disabled {
            self.keep_an_admin(id)?;
            self.end_sessions(id).await?;
        }
        self.change_person(actor, id, "disabled", json!(disabled)).await
    }

    pub async fn set_role(&self, actor: &Actor, id: PersonId, role: Role) -> Result<Person> {
        authorise(actor, Operation::Administer, None, &[])?;
        if role != Role::Admin {
            self.keep_an_admin(id)?;
        }
        self.change_person(actor, id, "role", json!(role)).await
    }

    /// Refuses what would leave nobody who can administer.
    fn keep_an_admin(&self, id: PersonId) -> Result<()> {
        let people = self.caches().people();
        let is_admin = |person: &Person| person.role == Role::Admin && !person.disabled;
        let is_last = people.iter().any(|person| person.id == id && is_admin(person))
            && !people.iter().any(|person| person.id != id && is_admin(person));
        if is_last {
            Err(NodeError::Conflict("this is the last admin; make somebody else admin first".into()))
        } else {
            Ok(())
        }
    }

    async fn change_person(&self, actor: &Actor, id: PersonId, field: &str, value: Value) -> Result<Person> {
        let type_name = TypeName::built_in(TypeName::PERSON);
        let held = self.store().record(&type_name, id).await?.ok_or(NodeError::NotFound("person"))?;
        let change = set(&held.state, &Path::root().property(field), value);
        if self.save(actor, vec![person_record(id, Expect::Exists, vec![change])]).await?.is_err() {
            return Err(NodeError::NotFound("person"));
        }
        self.known_person(id)
    }

    fn known_person(&self, id: PersonId) -> Result<Person> {
        self.caches().person(id).map(|person| (*person).clone()).ok_or(NodeError::NotFound("person"))
    }

    async fn hash(&self, password: &str) -> String {
        let _permit = self.inner.hashing.acquire().await;
        let (password, salt) = (password.to_owned(), self.world().random());
        tokio::task::spawn_blocking(move || hash_password(&password, salt)).await.expect("hashing does not panic")
    }

    async fn end_sessions(&self, person: PersonId) -> Result<()> {
        for (key, value) in self.store().locals(SESSION).await? {
            if serde_json::from_value::<KeptSession>(value).is_ok_and(|kept| kept.person == person) {
                self.drop_local(SESSION, key).await?;
            }
        }
        Ok(())
    }

    /// A one-time secret for the first admin; the one before it stops working. `None` once there are people.
    pub async fn begin_setup(&self) -> Result<Option<String>> {
        if self.has_people() || !self.is_hub() {
            return Ok(None);
        }
        let secret = self.secret_text();
        let value = json!({ "hash": fingerprint(&secret), "expires_at": self.now() + SETUP_MILLIS });
        self.keep(SETUP, SETUP.into(), &value).await?;
        Ok(Some(secret))
    }

    /// Whether a set-up secret still works.
    pub async fn may_set_up(&self, secret: &str) -> Result<bool> {
        Ok(!self.has_people() && self.setup_of(secret).await?.is_some())
    }

    async fn setup_of(&self, secret: &str) -> Result<Option<Value>> {
        let kept = self.store().local(SETUP, SETUP).await?;
        Ok(kept.filter(|kept| {
            kept["hash"] == fingerprint(secret) && kept["expires_at"].as_i64().is_some_and(|at| at > self.now())
        }))
    }

    /// Makes the first admin with a set-up secret, which is used up, and signs them in.
    pub async fn set_up(&self, secret: &str, email: &str, name: &str, password: &str) -> Result<SignIn> {
        let kept = self.setup_of(secret).await?;
        let Some(kept) = kept.filter(|_| !self.has_people()) else {
            return Err(NodeError::Conflict("this set-up address was used or is too old".into()));
        };
        // judged before the secret is used up
        self.judge_person(email, name, Some(password))?;
        let used = LocalChange { kind: SETUP, key: SETUP.into(), value: None, expect: Some(Some(kept.clone())) };
        if self.store().write(Request::Local(vec![used])).await? != Outcome::Done {
            return Err(NodeError::Conflict("this set-up address was used or is too old".into()));
        }
        match self.make_person(&Actor::Operator, email, name, Role::Admin, Some(password)).await {
            Ok(person) => self.open_session(&person).await,
            Err(err) => {
                self.keep(SETUP, SETUP.into(), &kept).await?;
                Err(err)
            }
        }
    }

    /// Judges a save that another node carried here by the rights of its author. `Err` says why it may not be.
    pub fn permits(&self, save: &Save) -> Result<(), String> {
        let person = self.caches().person(save.author.person);
        let actor = match &person {
            Some(person) if person.disabled => return Err(format!("{} may not sign in any more", person.name)),
            Some(person) => Actor::Person { id: person.id, role: person.role },
            // tokens and the operator of an edge are not known here: the edge vouches for them, for records only
            None => Actor::Person { id: save.author.person, role: Role::Staff },
        };
        for record in &save.records {
            let operation = match record.type_name.as_str() {
                TypeName::TYPE | TypeName::REVISION => Operation::Design,
                TypeName::PERSON if record.id == save.author.person => own_password(record)?,
                TypeName::PERSON => Operation::Administer,
                TypeName::LOST => Operation::Decide,
                _ if record.creates() => Operation::Create,
                _ => Operation::Edit,
            };
            let fields: Vec<Path> = record.changes.iter().map(|change| change.path.clone()).collect();
            authorise(&actor, operation, Some((&record.type_name, record.id)), &fields)
                .map_err(|err| err.to_string())?;
        }
        Ok(())
    }

    async fn keep(&self, kind: &'static str, key: String, value: &impl Serialize) -> Result<()> {
        let value = serde_json::to_value(value).expect("what is kept is plain data");
        let change = LocalChange { kind, key, value: Some(value), expect: None };
        self.store().write(Request::Local(vec![change])).await?;
        Ok(())
    }

    async fn drop_local(&self, kind: &'static str, key: String) -> Result<()> {
        self.store().write(Request::Local(vec![LocalChange { kind, key, value: None, expect: None }])).await?;
        Ok(())
    }
}

/// What changing one's own record needs: nothing for the password alone.
fn own_password(record: &crate::domain::save::SavedRecord) -> Result<Operation, String> {
    let password = Path::root().property("password");
    let only = record.changes.iter().all(|change| change.path == password);
    Ok(if only { Operation::See } else { Operation::Administer })
}

fn person_record(id: PersonId, expect: Expect, changes: Vec<Change>) -> LocalRecord {
    LocalRecord { type_name: TypeName::built_in(TypeName::PERSON), id, revision: None, expect, changes }
}

fn weak(password: &str) -> Option<FieldError> {
    let length = password.chars().count();
    if length < MIN_PASSWORD {
        Some(FieldError::new("/password", "minLength", "Enter a password of at least 8 characters"))
    } else if password.len() > MAX_PASSWORD {
        Some(FieldError::new("/password", "maxLength", "Enter a password of at most 1,024 bytes"))
    } else {
        None
    }
}

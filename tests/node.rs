//! What one can ask of a node, asked directly: the rules that pages, API and commands share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, PersonId, RecordId, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::people::{Actor, Role};
use outpost::domain::protocol::{Enrol, Push};
use outpost::domain::record::{Act, Change, Content, Cover};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::Author;
use outpost::node::{Caches, Identity, Node, NodeError, Nodes, World};
use outpost::store::Model;
use outpost::sync::Hub;
use serde_json::{Value, json};

/// A clock that is set, and dice that are known.
struct Fixed {
    now: AtomicI64,
    dice: AtomicU64,
}

impl World for Fixed {
    fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    fn ticks(&self) -> i64 {
        self.now()
    }

    fn random(&self) -> u128 {
        let mut x = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mut next = || {
            x ^= x >> 30;
            x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x ^= x >> 27;
            x
        };
        u128::from(next()) << 64 | u128::from(next())
    }
}

async fn hub() -> (Node, Arc<Fixed>) {
    let world = Arc::new(Fixed { now: 1_800_000_000_000.into(), dice: 1.into() });
    let caches = Arc::new(Caches::default());
    let store = Arc::new(Model::new(caches.clone()));
    let identity = Identity::hub(&*world, "Tern Bay");
    assert!(identity.settle(&*store).await.expect("the store answers"));
    (Node::open(store, caches, world.clone(), identity).await.expect("the node opens"), world)
}

const SCHEMA: &str = r#"{"type": "object", "title": "Note", "properties": {"text": {"type": "string", "title": "Text"}, "n": {"type": "integer"}}, "required": ["text"]}"#;

fn someone(role: Role) -> Actor {
    Actor::Person { id: PersonId::from_u128(7), role }
}

#[tokio::test]
async fn a_type_is_made_once_and_published_anew_under_the_same_name() {
    let (node, _) = hub().await;
    let designer = someone(Role::Designer);
    let made = node.create_type(&designer, "note", SCHEMA.as_bytes()).await.expect("it is made");
    assert!(made.is_new && made.found.current.version == 1 && made.found.title == "Note");
    let again = node.create_type(&designer, "note", SCHEMA.as_bytes()).await.expect("making it again is harmless");
    assert!(!again.is_new);
    let other = r#"{"type": "object", "title": "Memo"}"#;
    let taken = node.create_type(&designer, "note", other.as_bytes()).await;
    assert!(matches!(taken, Err(NodeError::Conflict(_))), "{taken:?}");
    let published = node.publish_type(&designer, "note", other.as_bytes(), "shorter").await.expect("it is published");
    assert_eq!((published.found.current.version, published.found.title.as_str()), (2, "Memo"));
    let ids = |found: &outpost::node::Type| found.field_ids.get("/text").cloned();
    assert!(ids(&made.found).is_some() && ids(&made.found) == ids(&published.found), "the ids of fields stay");
    let same = node.publish_type(&designer, "note", other.as_bytes(), "").await.expect("harmless");
    assert!(!same.is_new && same.found.current.version == 2);
    assert_eq!(node.caches().versions(&made.found.name).len(), 2);
    let text = &node.caches().versions(&made.found.name)[1].text;
    assert_eq!(text, SCHEMA, "a publication keeps its bytes");
}

#[tokio::test]
async fn a_retired_type_takes_no_records_until_it_is_brought_back() {
    let (node, _) = hub().await;
    let admin = someone(Role::Admin);
    node.create_type(&admin, "note", SCHEMA.as_bytes()).await.expect("it is made");
    let made = node.create_record(&admin, "note", None, serde_json::json!({"text": "a"})).await.expect("it is made");
    node.retire_type(&admin, "note").await.expect("it is retired");
    assert!(node.types(&admin, false).expect("seen").is_empty());
    let refused = node.create_record(&admin, "note", None, serde_json::json!({"text": "b"})).await;
    assert!(matches!(refused, Err(NodeError::Conflict(_))));
    node.record(&admin, "note", made.held.id).await.expect("its records are kept");
    node.bring_type_back(&admin, "note").await.expect("it is back");
    node.create_record(&admin, "note", None, serde_json::json!({"text": "b"})).await.expect("it is made");
}

#[tokio::test]
async fn who_may_not_is_told_and_nothing_happens() {
    let (node, _) = hub().await;
    node.create_type(&someone(Role::Designer), "note", SCHEMA.as_bytes()).await.expect("it is made");
    let viewer = someone(Role::Viewer);
    let data = serde_json::json!({"text": "a"});
    assert!(matches!(node.create_record(&viewer, "note", None, data.clone()).await, Err(NodeError::Denied(_))));
    let staff = someone(Role::Staff);
    let made = node.create_record(&staff, "note", None, data).await.expect("staff may");
    assert!(matches!(node.bin_record(&viewer, "note", made.held.id, None, true).await, Err(NodeError::Denied(_))));
    assert!(matches!(node.retire_type(&staff, "note").await, Err(NodeError::Denied(_))));
    assert!(matches!(node.create_token(&someone(Role::Designer), "x", Role::Staff).await, Err(NodeError::Denied(_))));
    node.record(&viewer, "note", made.held.id).await.expect("a viewer sees");
}

#[tokio::test]
async fn what_is_not_valid_is_refused_with_its_place() {
    let (node, _) = hub().await;
    let admin = someone(Role::Admin);
    node.create_type(&admin, "note", SCHEMA.as_bytes()).await.expect("it is made");
    let refused = node.create_record(&admin, "note", None, serde_json::json!({"n": "x"})).await;
    let Err(NodeError::Invalid(errors)) = refused else { panic!("not refused") };
    let mut found: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.keyword.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [("/n", "type"), ("/text", "required")]);
    let list = node.create_record(&admin, "note", None, serde_json::json!([])).await;
    assert!(matches!(list, Err(NodeError::Invalid(_))));
    for name in ["", "Note", "_type", "a b"] {
        let refused = node.create_type(&admin, name, SCHEMA.as_bytes()).await;
        assert!(matches!(&refused, Err(NodeError::Invalid(errors)) if errors[0].pointer == "/name"), "{name}");
    }
}

#[tokio::test]
async fn the_first_admin_comes_by_an_address_that_works_once() {
    let (node, world) = hub().await;
    let secret = node.begin_setup().await.expect("the store answers").expect("nobody is here yet");
    let weak = node.set_up(&secret, "mei@example.org", "Mei", "short").await;
    assert!(matches!(weak, Err(NodeError::Invalid(_))));
    assert!(node.set_up("other", "mei@example.org", "Mei", "long enough").await.is_err());
    let signed = node.set_up(&secret, "Mei@Example.org", "Mei", "long enough").await.expect("it works");
    assert_eq!(signed.session.role, Role::Admin);
    assert!(node.set_up(&secret, "eve@example.org", "Eve", "long enough").await.is_err());
    assert_eq!(node.begin_setup().await.expect("the store answers"), None);
    let session = node.session(&signed.secret).await.expect("the store answers").expect("signed in");
    assert_eq!(session.email, "mei@example.org");
    world.now.fetch_add(31 * 24 * 3600 * 1000, Ordering::Relaxed);
    assert_eq!(node.session(&signed.secret).await.expect("the store answers"), None, "a session ends");
}

#[tokio::test]
async fn wrong_passwords_wait_and_a_disabled_person_is_out_at_once() {
    let (node, world) = hub().await;
    let operator = Actor::Operator;
    let boss =
        node.add_person(&operator, "boss@example.org", "", Role::Admin, Some("long enough")).await.expect("added");
    let staff =
        node.add_person(&operator, "i@example.org", "Ingrid", Role::Staff, Some("long enough")).await.expect("added");
    assert!(
        node.add_person(&operator, "I@example.org", "", Role::Staff, None).await.is_err(),
        "an address is one person's"
    );
    let signed = node.sign_in("I@example.org ", "long enough").await.expect("the password is right");
    for _ in 0..5 {
        assert!(matches!(node.sign_in("i@example.org", "wrong").await, Err(NodeError::SignedOut)));
    }
    assert!(matches!(node.sign_in("i@example.org", "long enough").await, Err(NodeError::Wait(_))));
    world.now.fetch_add(5 * 60 * 1000 + 1, Ordering::Relaxed);
    node.sign_in("i@example.org", "long enough").await.expect("it may be tried again");
    node.set_disabled(&operator, staff.id, true).await.expect("disabled");
    assert_eq!(node.session(&signed.secret).await.expect("the store answers"), None);
    assert!(matches!(node.sign_in("i@example.org", "long enough").await, Err(NodeError::SignedOut)));
    let last = node.set_disabled(&operator, boss.id, true).await;
    assert!(matches!(last, Err(NodeError::Conflict(_))), "somebody must be left who can administer");
    assert!(matches!(node.set_role(&operator, boss.id, Role::Staff).await, Err(NodeError::Conflict(_))));
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let (node, _) = hub().await;
    let (secret, token) = node.create_token(&Actor::Operator, "export", Role::Viewer).await.expect("made");
    let actor = node.token_actor(&secret).await.expect("it works");
    assert_eq!(actor, Actor::Token { id: token.id, role: Role::Viewer });
    assert!(matches!(node.token_actor("op_other").await, Err(NodeError::SignedOut)));
    node.revoke_token(&Actor::Operator, "export").await.expect("revoked");
    assert!(matches!(node.token_actor(&secret).await, Err(NodeError::SignedOut)));
    let kept = node.store().locals("token").await.expect("the store answers");
    assert!(!format!("{kept:?}").contains(&secret), "only the hash is kept");
}

#[tokio::test]
async fn sending_a_creation_again_is_harmless_and_other_data_is_not() {
    let (node, _) = hub().await;
    let admin = someone(Role::Admin);
    node.create_type(&admin, "note", SCHEMA.as_bytes()).await.expect("it is made");
    let id = Some(uuid::Uuid::from_u128(77));
    let data = serde_json::json!({"text": "a", "n": 1});
    let first = node.create_record(&admin, "note", id, data.clone()).await.expect("it is made");
    let again = node.create_record(&admin, "note", id, data.clone()).await.expect("harmless");
    assert!(first.is_new && !again.is_new && first.held.hash() == again.held.hash());
    let patch = outpost::node::Patch::Merge(serde_json::json!({"text": "b", "n": null}));
    let patched = node.patch_record(&admin, "note", first.held.id, None, patch).await.expect("patched");
    assert_eq!(patched.document.value, serde_json::json!({"text": "b"}));
    let late = node.create_record(&admin, "note", id, data.clone()).await.expect("harmless after an edit, too");
    assert_eq!(late.held.document.value, serde_json::json!({"text": "b"}));
    let other = node.create_record(&admin, "note", id, serde_json::json!({"text": "b"})).await;
    assert!(matches!(other, Err(NodeError::Conflict(_))));
    node.bin_record(&admin, "note", first.held.id, None, true).await.expect("binned");
    assert!(matches!(node.create_record(&admin, "note", id, data).await, Err(NodeError::Conflict(_))));
    let patch = outpost::node::Patch::Merge(serde_json::json!({"text": "c"}));
    assert!(matches!(node.patch_record(&admin, "note", first.held.id, None, patch).await, Err(NodeError::Conflict(_))));
    let back = node.bin_record(&admin, "note", first.held.id, None, false).await.expect("restored");
    assert_eq!(back.document.value, serde_json::json!({"text": "b"}));
}

#[tokio::test]
async fn a_patch_of_a_version_that_is_gone_is_told_and_changes_nothing() {
    let (node, _) = hub().await;
    let admin = someone(Role::Admin);
    node.create_type(&admin, "note", SCHEMA.as_bytes()).await.expect("it is made");
    let made = node.create_record(&admin, "note", None, serde_json::json!({"text": "a"})).await.expect("it is made");
    let merge = |text: &str| outpost::node::Patch::Merge(serde_json::json!({"text": text}));
    let hash = made.held.hash();
    let id = made.held.id;
    node.patch_record(&admin, "note", id, Some(hash), merge("b")).await.expect("it was that version");
    let stale = node.patch_record(&admin, "note", id, Some(hash), merge("c")).await;
    assert!(matches!(stale, Err(NodeError::Changed(now)) if now.document.value["text"] == "b"));
    let invalid = node.patch_record(&admin, "note", id, None, merge_remove()).await;
    assert!(matches!(invalid, Err(NodeError::Invalid(errors)) if errors[0].pointer == "/text"));
    assert_eq!(node.history(&admin, "note", id).await.expect("seen").len(), 1);
}

fn merge_remove() -> outpost::node::Patch {
    outpost::node::Patch::Merge(serde_json::json!({"text": null}))
}

/// A save of a note's text on an edge.
fn typed(author: Author, id: RecordId, number: u128, changes: Vec<Change>, world: &Fixed) -> Push {
    let type_name = TypeName::custom("note").expect("a name");
    let time = Hlc::at(world.now() + number as i64);
    let records = vec![SavedRecord { type_name, id, revision: None, time, changes }];
    Push { since: 0, saves: vec![Save { id: SaveId(number << 96), author, records }] }
}

#[tokio::test]
async fn what_somebody_saves_after_she_was_stopped_waits_for_an_admin() {
    let (node, world) = hub().await;
    node.create_type(&Actor::Operator, "note", SCHEMA.as_bytes()).await.expect("it is made");
    let ingrid =
        node.add_person(&Actor::Operator, "ingrid@example.org", "Ingrid", Role::Staff, None).await.expect("added");
    let hub = Hub::of(&node, world.clone()).await.expect("the store answers");
    let token = hub.invite("Platform 7", json!("all"), false).await.expect("an invitation");
    let secret = "PDaJ5Gd2Tmyl7nVqD0J4jw".to_owned();
    let enrolled = hub.enrol(&Enrol { token, name: String::new(), secret }).await.expect("it is let in");
    let edge = hub.recognise(Some(&enrolled.credential)).await.expect("it is known");
    let author = Author { node: enrolled.node, incarnation: Incarnation(5), person: ingrid.id };
    let id = RecordId::from_u128(1);
    let set =
        |path: Path, value: Value| Change { path, act: Act::Set(Content::json(value)), replaces: Cover::nothing() };
    let made = typed(author, id, 1, vec![set(Path::root(), json!({"text": "a"}))], &world);
    let verdict = hub.push(&edge, made.clone()).await.expect("answered").verdicts.remove(0);
    assert_eq!((verdict.refused, verdict.quarantined), (None, None));

    node.set_disabled(&Actor::Operator, ingrid.id, true).await.expect("stopped");
    let text = Path::root().property("text");
    let later = typed(author, id, 2, vec![set(text, json!("b"))], &world);
    for _ in 0..2 {
        let verdict = hub.push(&edge, later.clone()).await.expect("answered").verdicts.remove(0);
        assert_eq!(verdict.quarantined.as_deref(), Some("Ingrid may not sign in any more"));
    }
    let again = hub.push(&edge, made).await.expect("answered").verdicts.remove(0);
    assert_eq!(again.quarantined, None, "what was accepted before stays so");
    let value = async || node.record(&Actor::Operator, "note", id).await.expect("there").document.value;
    assert_eq!(value().await, json!({"text": "a"}));

    let waiting = node.quarantine(&Actor::Operator, Some("open"), 10, None).await.expect("listed").items;
    assert_eq!(waiting.len(), 1);
    let hers = node.quarantine(&Actor::Person { id: ingrid.id, role: Role::Staff }, None, 10, None).await;
    assert_eq!(hers.expect("listed").items.len(), 1);
    let others = node.quarantine(&someone(Role::Designer), None, 10, None).await;
    assert!(others.expect("listed").items.is_empty());
    let denied = node.admit(&someone(Role::Designer), waiting[0].id).await;
    assert!(matches!(denied, Err(NodeError::Denied(_))), "{denied:?}");
    node.admit(&Actor::Operator, waiting[0].id).await.expect("it is admitted");
    assert_eq!(value().await, json!({"text": "b"}));

    // a revoked device hands over, and is told nothing of what is here
    hub.revoke(enrolled.node).await.expect("it is known");
    assert!(hub.authenticate(Some(&enrolled.credential)).await.is_err());
    let edge = hub.recognise(Some(&enrolled.credential)).await.expect("it is known");
    let made = typed(author, RecordId::from_u128(2), 3, vec![set(Path::root(), json!({"text": "c"}))], &world);
    let pushed = hub.push(&edge, made).await.expect("answered");
    assert_eq!(pushed.verdicts[0].quarantined.as_deref(), Some("the device it was made on was revoked"));
    assert!(pushed.partitions.is_empty());
    let waiting = node.quarantine(&Actor::Operator, Some("open"), 10, None).await.expect("listed").items;
    let back = node.send_back(&Actor::Operator, waiting[0].id, "Not from a stolen device").await.expect("sent back");
    assert_eq!(back.decision.and_then(|decision| decision.word).as_deref(), Some("Not from a stolen device"));
}

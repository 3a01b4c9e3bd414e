//! What the hub did not accept, on its pages.

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, SaveId, THE_HUB, TypeName};
use outpost::domain::path::Path;
use outpost::domain::people::Role;
use outpost::domain::record::{Act, Change, Content};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::Author;
use outpost::store::{Denied, Request};
use serde_json::json;

use crate::browser::Site;

/// A change of the title by the person with the role `staff`, made on a device that was revoked.
async fn deny(site: &Site, record: &str) {
    let type_name = TypeName::custom("work-order").expect("a name");
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    let held = site.node.store().record(&type_name, id).await.expect("read").expect("there");
    let person = site.node.caches().people().iter().find(|person| person.role == Role::Staff).expect("there").id;
    let path = Path::root().property("title");
    let change = Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(json!("Both seals"))) };
    let time = Hlc::at(site.node.now() + 1000);
    let revision = held.state.revision();
    let save = Save {
        id: SaveId(held.id.as_u128()),
        author: Author { node: NodeId(9), incarnation: Incarnation(9), person },
        records: vec![SavedRecord { type_name, id, revision, time, changes: vec![change] }],
    };
    let identity = site.node.identity();
    let by = Author { node: identity.node, incarnation: identity.incarnation, person: THE_HUB };
    let denied = Denied { save, reason: "the device it was made on was revoked".into(), via: NodeId(9) };
    let now = site.node.now();
    site.node.store().write(Request::Quarantine { saves: vec![denied], by, now }).await.expect("kept");
    site.hands.advance(5000);
}

#[actix_web::test]
async fn an_admin_sees_what_was_not_accepted_and_admits_it() {
    let site = Site::start().await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    deny(&site, &record).await;
    let admin = site.browser(Role::Admin).await;
    admin.get("/").await.expect(200).says("the device it was made on was revoked");
    let page = admin.get("/attention").await.expect(200);
    page.says("Not accepted").says("staff person saved it").says("Both seals").says("stands: Seal").says("Admit it");
    let address = page.attribute("form[action^='/quarantine/']", "action");
    let export = admin.get(&format!("{address}/export")).await;
    assert!(export.header("content-disposition").contains("attachment"));
    assert!(export.text.contains("Both seals"));
    admin.get(&record).await.expect(200).says("Not accepted").says("Both seals");
    admin.get(&format!("{record}/history")).await.expect(200).says("saved what the hub did not accept");
    assert_eq!(admin.press(&address, &[("_do", "admit"), ("_to", &record)]).await.led_to(), record);
    assert_eq!(site.data(&record).await["title"], "Both seals");
    admin.press(&address, &[("_do", "admit")]).await.expect(409);
    admin.get("/attention").await.expect(200).says("Nothing to look at");
    admin.get("/attention?kind=denied").await.expect(200).says("admin person admitted it");
}

#[actix_web::test]
async fn whoever_saved_it_sees_why_and_what_became_of_it_and_nobody_else_does() {
    let site = Site::start().await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    deny(&site, &record).await;
    let (staff, admin) = (site.browser(Role::Staff).await, site.browser(Role::Admin).await);
    let page = staff.get("/attention").await.expect(200);
    page.says("the device it was made on was revoked").says("An admin decides about it at the hub");
    assert!(!page.has("form[action^='/quarantine/']"), "deciding is for admins");
    let address = admin.get("/attention").await.attribute("form[action^='/quarantine/']", "action");
    staff.press(&address, &[("_do", "admit")]).await.expect(403);
    admin.press(&address, &[("_do", "return"), ("word", " ")]).await.expect(422);
    assert_eq!(admin.press(&address, &[("_do", "return"), ("word", "Ask me <first>")]).await.led_to(), "/attention");
    staff.get("/attention").await.expect(200).says("admin person sent it back").says("Ask me <first>");
    staff.get(&record).await.expect(200).says("Ask me <first>");
    assert_eq!(site.data(&record).await["title"], "Seal");
    let designer = site.browser(Role::Designer).await;
    designer.get("/attention").await.expect(200).says("Nothing to look at");
    designer.get(&format!("{address}/export")).await.expect(404);
    let others = designer.get(&record).await.expect(200);
    assert!(!others.main().contains("Not accepted"));
}

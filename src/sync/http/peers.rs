//! What other edges of the site ask of this one.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{HubData, answer, its, read};
use crate::domain::peer::{Meet, Sealed};
use crate::sync::hub::HubError;

/// `POST /sync/v1/peer/meet`: a conversation of two edges begins.
pub async fn meet(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let met = async { its(&hub)?.meet(&read::<Meet>(&request, body).await?).await };
    answer(&request, met.await)
}

/// `POST /sync/v1/peer/ask`: a question of such a conversation.
pub async fn ask(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let told = async {
        let sealed = read::<Sealed>(&request, body).await?;
        hub.ok_or(HubError::NotAHub)?.into_inner().asked_by_peer(sealed).await
    };
    answer(&request, told.await)
}

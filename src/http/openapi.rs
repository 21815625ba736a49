//! placeholder
use actix_web::HttpResponse;
/// doc
pub fn document() -> String {
    String::new()
}
pub(super) async fn serve() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document())
}

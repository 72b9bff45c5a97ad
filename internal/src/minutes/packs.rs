//! The packs of a request, and the texts about what is wrong with them, which name each pack by its index.

use jiff::civil::Date;
use serde_json::Value;
use tally_directory::MinutePack;
use tally_service::api::ApiError;
use utoipa::ToSchema;

use crate::declared::{Coerced, Failures, Fields, date, integer, text};
use crate::refusal::Refusal;

/// Packs that one request may hold.
const MAX_PACKS: usize = 500;

/// Bytes of a purchase's id.
const MAX_XID_BYTES: usize = 255;

/// Packs that were bought.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
pub(super) struct Packs {
    packs: Vec<BoughtPack>,
}

/// One purchase.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct BoughtPack {
    number_of_minutes: i64,
    #[schema(format = Date)]
    expires_at: String,
    /// The seller's id of the purchase: one that is known is not booked again.
    purchase_xid: String,
}

/// A pack as it was sent; `None` is null.
#[derive(Debug, Default)]
pub(super) struct Purchase {
    number_of_minutes: Option<i64>,
    expires_at: Option<Date>,
    pub(super) xid: Option<String>,
}

impl Purchase {
    /// The pack it makes, unless something is blank. GitLab's one text for all of that.
    pub(super) fn pack(&self, namespace_id: i64) -> Result<MinutePack, Refusal> {
        let purchase_xid = self.xid.clone().filter(|xid| (1..=MAX_XID_BYTES).contains(&xid.len()));
        if let (Some(purchase_xid), Some(expires_at), Some(number_of_minutes)) =
            (purchase_xid, self.expires_at, self.number_of_minutes)
        {
            return Ok(MinutePack { purchase_xid, namespace_id, expires_at, number_of_minutes });
        }
        let text = "400 Bad request - Unable to save additional packs";
        Err(Refusal::Api(ApiError::BadRequest(text.into())))
    }
}

/// The request's packs, each complete.
pub(super) fn parse(sent: &Fields) -> Result<Vec<Purchase>, ApiError> {
    let mut failures = Failures::default();
    let items = match sent.get("packs") {
        None => {
            failures.add("packs", "is missing");
            &[][..]
        }
        Some(Value::Array(items)) => items,
        Some(_) => {
            failures.add("packs", "is invalid");
            &[]
        }
    };
    if items.len() > MAX_PACKS {
        let text = format!("Maximum {MAX_PACKS} packs allowed in one request.");
        return Err(ApiError::BadRequest(text.into()));
    }
    // Parameter by parameter over all packs, as GitLab checks them.
    let minutes = column(items, "number_of_minutes", integer, &mut failures);
    let expiries = column(items, "expires_at", date, &mut failures);
    let xids = column(items, "purchase_xid", text, &mut failures);
    failures.check()?;
    let rows = minutes.into_iter().zip(expiries).zip(xids);
    let purchase = |((number_of_minutes, expires_at), xid)| Purchase { number_of_minutes, expires_at, xid };
    Ok(rows.map(purchase).collect())
}

/// One parameter of all packs.
fn column<T>(
    items: &[Value],
    name: &str,
    coerce: impl Fn(&Value) -> Coerced<T>,
    failures: &mut Failures,
) -> Vec<Option<T>> {
    let read = |(index, item): (usize, &Value)| {
        let name_in_answer = format!("packs[{index}][{name}]");
        let Some(value) = item.as_object().and_then(|pack| pack.get(name)) else {
            failures.add(&name_in_answer, "is missing");
            return None;
        };
        failures.coerce(value, &name_in_answer, &coerce).value()
    };
    items.iter().enumerate().map(read).collect()
}

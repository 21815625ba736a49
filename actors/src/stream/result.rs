//! The result record: one per window and campaign with events.

/// The reason of a record that is no readable result.
pub(crate) const BAD_RESULT: &str = "bad_result";

use serde::{Deserialize, Serialize};

/// A result as it stands in the results topic: JSON, with the key [`ResultRecord::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// The run; empty where another program's results name none.
    #[serde(default)]
    pub run_id: String,
    /// The window.
    pub window_id: i64,
    /// First millisecond of the window, since the Unix epoch.
    #[serde(default)]
    pub window_start: i64,
    /// First millisecond after the window.
    #[serde(default)]
    pub window_end: i64,
    /// The campaign.
    pub campaign_id: u64,
    /// Events counted.
    pub count: u64,
    /// Greatest `produce_time` of the counted events, milliseconds since the Unix epoch.
    pub max_produce_time: i64,
}

impl ResultRecord {
    /// The record's key: `<run id>/<window id>/<campaign id>`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.run_id, self.window_id, self.campaign_id)
    }

    /// The record's value.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers and a string always serialize")
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is not JSON of this shape.
    pub fn from_json(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }
}

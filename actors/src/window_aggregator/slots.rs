//! The places of campaigns in a pane.

use std::collections::HashMap;

/// Gives each campaign a dense slot in every pane.
#[derive(Clone, Debug)]
pub enum CampaignSlots {
    /// Campaigns `1..=n`: slot is id - 1.
    Bounded(u32),
    /// Any campaign; slots in order of appearance, up to a limit.
    Unrestricted(UnrestrictedSlots),
}

/// Slots of campaigns that nobody announced.
#[derive(Clone, Debug)]
pub struct UnrestrictedSlots {
    small: Vec<u32>,
    large: HashMap<u64, u32>,
    ids: Vec<u64>,
    limit: usize,
}

const SMALL_IDS: usize = 1 << 16;

impl UnrestrictedSlots {
    fn slot(&mut self, campaign_id: u64) -> Option<u32> {
        let found = match self.small.get(campaign_id as usize) {
            Some(&slot) => (slot != u32::MAX).then_some(slot),
            None => self.large.get(&campaign_id).copied(),
        };
        if found.is_some() {
            return found;
        }
        if self.ids.len() >= self.limit {
            return None;
        }
        let slot = self.ids.len() as u32;
        self.ids.push(campaign_id);
        match self.small.get_mut(campaign_id as usize) {
            Some(place) => *place = slot,
            None => drop(self.large.insert(campaign_id, slot)),
        }
        Some(slot)
    }
}

impl CampaignSlots {
    /// Slots for any campaign id, for at most `limit` different ones.
    pub fn unrestricted(limit: usize) -> Self {
        Self::Unrestricted(UnrestrictedSlots {
            small: vec![u32::MAX; SMALL_IDS],
            large: HashMap::new(),
            ids: Vec::new(),
            limit,
        })
    }

    /// The campaign's slot; `None`: an unknown campaign, or one too many.
    #[inline]
    pub fn slot(&mut self, campaign_id: u64) -> Option<u32> {
        match self {
            Self::Bounded(n) => {
                (1..=u64::from(*n)).contains(&campaign_id).then(|| campaign_id as u32 - 1)
            }
            Self::Unrestricted(slots) => slots.slot(campaign_id),
        }
    }

    /// The campaign in a slot.
    pub fn id(&self, slot: usize) -> u64 {
        match self {
            Self::Bounded(_) => slot as u64 + 1,
            Self::Unrestricted(slots) => slots.ids[slot],
        }
    }
}

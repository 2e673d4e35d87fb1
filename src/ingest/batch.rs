//! Makes a batch of wire events: decodes each, gives it the tenant of its sender, prepares it,
//! and counts repairs. Every way to send native events uses it.

use uuid::NonNilUuid;

use super::native::decode_event_within;
use super::prepare::Preparer;
use super::repairs::RepairCounts;
use crate::auth::Identity;
use crate::event::{FieldLimits, Repairs};
use crate::histograms::BatchSource;
use crate::pipeline::Batch;
use crate::proto;

/// A batch that is being made.
#[derive(Debug)]
pub(super) struct BatchDecoder {
    preparer: Preparer,
    fields: FieldLimits,
    tenant: Option<NonNilUuid>,
    batch: Batch,
    repairs: Repairs,
}

impl BatchDecoder {
    /// An empty batch of a sender, which came from there.
    pub(super) fn new(
        preparer: &Preparer,
        fields: FieldLimits,
        identity: &Identity,
        source: BatchSource,
    ) -> Self {
        Self {
            preparer: preparer.clone(),
            fields,
            tenant: identity.tenant(),
            batch: Batch {
                client: identity.connection(),
                source,
                ..Batch::default()
            },
            repairs: Repairs::default(),
        }
    }

    /// Decodes and validates one event. `position` names it in the answer.
    pub(super) fn push(&mut self, position: u32, event: proto::Event) {
        match decode_event_within(self.fields, event, &mut self.repairs) {
            Ok(mut event) => {
                if let Some(tenant) = self.tenant {
                    event.assign_tenant(tenant);
                }
                self.preparer.event(&mut event);
                self.batch.events.push((position, event));
            }
            Err(refusal) => self.batch.refused.push((position, refusal)),
        }
    }

    /// Notes lone surrogates that were replaced before an event was pushed.
    pub(super) fn add_surrogates(&mut self, count: u64) {
        self.repairs.surrogates += count;
    }

    /// Counts the repairs, charges the sender, and returns both. `others` are what came with
    /// the events and is none; all of it took `bytes` at least.
    pub(super) fn finish(
        self,
        counts: &RepairCounts,
        identity: &Identity,
        others: usize,
        bytes: usize,
    ) -> (Batch, Repairs) {
        let Self { batch, repairs, .. } = self;
        counts.add(repairs);
        let events = batch.events.len() + batch.refused.len() + others;
        identity.charge(events, || batch.weight_bytes().max(bytes));
        (batch, repairs)
    }
}

//! The ingest endpoints: decode, validate, admit, answer. Each protocol is a thin
//! handler. SQL and rules about how events merge do not belong here.

mod batch;
mod body;
pub mod events;
mod intake;
pub mod native;
pub mod otlp;
mod prepare;
mod repairs;
pub(crate) mod settle;
mod told;
mod too_many_requests;

pub use self::intake::{Intake, IntakeConfig};
pub use self::prepare::Preparer;
pub use self::repairs::RepairCounts;
pub use self::too_many_requests::refuse_excess_request;

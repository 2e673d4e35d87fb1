//! Reads conversations of any format into one format.
//!
//! SDKs write messages as OpenAI, Anthropic, Bedrock, Gemini, LangChain, the
//! GenAI conventions or the Vercel SDK do, in whole requests and responses too.
//! [`read`] detects the format by its keys and ignores the dialect of the span,
//! so it also reads mixed formats.

mod blocks;
mod flat;
mod message;
mod shapes;
#[cfg(test)]
mod tests;

pub use blocks::text_of;
pub use flat::unflatten;
pub use message::{ChatMessage, Conversation, join};
pub use shapes::read;

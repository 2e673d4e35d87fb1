//! Reads conversations of any format into one format.
//!
//! SDKs write messages as OpenAI, Anthropic, Bedrock, Gemini, LangChain, the
//! GenAI conventions or the Vercel SDK do, in whole requests and responses too.
//! [`read`] detects the format by its keys and ignores the dialect of the span,
//! so it also reads mixed formats.

mod base64;
mod blocks;
mod calls;
mod content;
mod dspy;
mod flat;
mod items;
mod media;
mod message;
mod roles;
mod shapes;
#[cfg(test)]
mod tests;

pub use content::{is_key_of_mcp_result, text_of};
pub use dspy::read_sections;
pub use flat::unflatten;
pub use message::{CallDigest, ChatMessage, Conversation, join};
pub use shapes::{read, read_attribute};

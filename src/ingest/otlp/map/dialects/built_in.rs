//! The built-in dialect files, which the build embeds.

include!(concat!(env!("OUT_DIR"), "/dialects.rs"));

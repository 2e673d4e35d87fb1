//! The schema that the migrations make: against the seed, up and down, and
//! beside tables and functions that were there before.

mod beside_a_product;
mod catalog;
mod citus_lint;
mod comments;
mod conformance;
mod exported;
mod placed;
mod plan;
mod seed;
mod served;
mod up_and_down;
mod upgrade;

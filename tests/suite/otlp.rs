//! Sends captures of real agent SDKs (`tests/data/otlp`) to the real daemon.
//!
//! The tests compare the resulting rows with what each scenario really did, and
//! the rows of every way of delivery with each other.

mod corpus;
mod deliver;
mod example;
mod fact;
mod facts_page;
mod families;
mod gaps;
mod handmade;
mod judge;
mod permutations;
mod planted;
mod renamed;
mod rows;
mod sent;
mod table;
mod taught;
mod truth;
mod truths;

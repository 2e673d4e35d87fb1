//! Captures of real agent SDKs (`tests/data/otlp`), sent to the real daemon:
//! the rows they become are compared with what each scenario truly did, and
//! with each other for every way to deliver them.

mod corpus;
mod deliver;
mod example;
mod fact;
mod gaps;
mod judge;
mod permutations;
mod planted;
mod rows;
mod sent;
mod table;
mod truth;

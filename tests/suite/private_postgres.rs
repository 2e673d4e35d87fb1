//! The private Postgres, from the outside.

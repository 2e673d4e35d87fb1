//! Row level security: what each kind of person sees and may write, by
//! switching role and claims.

mod people;
mod placed;
mod reading;
mod supabase;
mod writing;

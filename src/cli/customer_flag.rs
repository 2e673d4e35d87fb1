//! The flag `--customer` of commands that delete: an id, or a name.

use anyhow::{anyhow, bail};
use sqlx::PgConnection;

use crate::reap::{Customer, NamedCustomer, is_forbidden, named_customer_anywhere};

/// The customer that the flag names. `None`: it is not given.
///
/// # Errors
/// If no customer has the name, or several have it, or the database fails.
pub(super) async fn customer_of(
    servers: &mut [&mut PgConnection],
    flag: Option<&str>,
) -> anyhow::Result<Option<Customer>> {
    let Some(text) = flag else {
        return Ok(None);
    };
    let named = named_customer_anywhere(servers.iter_mut().map(|conn| &mut **conn), text).await.map_err(|error| match is_forbidden(&error) {
        true => anyhow!("this role may not read names of customers: give the id, or use the owner of the tables"),
        false => error.into(),
    });
    match named? {
        NamedCustomer::One(customer) => Ok(Some(customer)),
        NamedCustomer::Several(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            bail!(
                "--customer {text} is the name of several customers; give the id of one: {}",
                ids.join(", ")
            )
        }
        NamedCustomer::Unknown => {
            bail!("--customer {text} is neither the id nor the name of a customer")
        }
    }
}

//! Whose the rows of a subject are.

use std::collections::HashSet;

/// The customers that the rows of a subject belong to. It is empty if no rows are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SubjectOwners {
    customers: HashSet<String>,
    /// Some rows belong to no customer.
    nobody: bool,
}

impl SubjectOwners {
    /// One customer, by all its names.
    pub fn customer(names: &[String]) -> Self {
        Self {
            customers: names.iter().cloned().collect(),
            nobody: false,
        }
    }

    /// The owners of rows.
    pub fn of_rows<'a>(owners: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut all = Self::default();
        for owner in owners {
            all.nobody |= owner.is_none();
            all.customers.extend(owner.map(str::to_owned));
        }
        all
    }

    /// These and some customers.
    pub fn and(mut self, customers: &HashSet<String>) -> Self {
        self.customers.extend(customers.iter().cloned());
        self
    }

    /// These and those of other rows.
    pub fn with(self, others: &Self) -> Self {
        let nobody = self.nobody || others.nobody;
        Self {
            nobody,
            ..self.and(&others.customers)
        }
    }

    pub fn is_unknown(&self) -> bool {
        self.customers.is_empty() && !self.nobody
    }

    /// The customer, if there is only one.
    pub fn only(&self) -> Option<&String> {
        let mut customers = self.customers.iter();
        customers.next().filter(|_| customers.next().is_none())
    }

    pub fn names(&self) -> Vec<String> {
        self.customers.iter().cloned().collect()
    }

    /// Whether a customer may speak for these rows: with its key, it may touch its own only.
    pub fn allow_key(&self, customer: &str) -> bool {
        self.is_unknown() || self.customers.contains(customer)
    }

    /// Whether an event without a customer's key may belong to these rows. `customer`: whose it
    /// says to be.
    pub fn allow(&self, customer: Option<&str>) -> bool {
        customer.is_none_or(|owner| self.customers.is_empty() || self.customers.contains(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_speaks_for_its_own_rows_only() {
        let nobody = SubjectOwners::of_rows([None]);
        let (unknown, of_a) = (
            SubjectOwners::default(),
            SubjectOwners::of_rows([Some("a"), None]),
        );
        for (owners, key_a, key_b, says_b) in [
            (&unknown, true, true, true),
            (&nobody, false, false, true),
            (&of_a, true, false, false),
        ] {
            let said = (
                owners.allow_key("a"),
                owners.allow_key("b"),
                owners.allow(Some("b")),
            );
            assert_eq!(said, (key_a, key_b, says_b), "{owners:?}");
            assert!(owners.allow(None));
        }
    }
}

//! Certificates, made on the spot.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// One that issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key.
pub struct Issued {
    pub cert_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            pem: cert.pem(),
        }
    }

    /// For `localhost` and 127.0.0.1, valid for long.
    pub fn issue(&self) -> Issued {
        self.issue_until(2_100)
    }

    /// The same, until the first day of a year.
    pub fn issue_until(&self, year: i32) -> Issued {
        self.issue_as(year, IsCa::NoCa)
    }

    /// A CA certificate for the same names, as `openssl req -x509` makes them.
    pub fn issue_ca(&self) -> Issued {
        self.issue_as(2_100, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn issue_as(&self, year: i32, is_ca: IsCa) -> Issued {
        self.issue_changed(|params| {
            params.is_ca = is_ca;
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        })
    }

    /// For the same names, with what a test changes.
    pub fn issue_changed(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::NoCa;
        params.not_after = rcgen::date_time_ymd(2_100, 1, 1);
        change(&mut params);
        params
            .distinguished_name
            .push(DnType::CommonName, "a test's own");
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

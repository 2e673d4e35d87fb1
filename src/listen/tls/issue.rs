//! Makes a private certificate authority and, from it, a server's certificate that the TLS
//! libraries of all common languages take, also in their strict modes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use sha2::{Digest as _, Sha256};

/// The most days of a server's certificate: some clients refuse longer ones.
pub const MAX_CERT_DAYS: u32 = 825;
const AUTHORITY_DAYS: u32 = 3_650;
const DAY: Duration = Duration::from_secs(86_400);
/// Clocks of clients may be behind.
const BACKDATED: Duration = Duration::from_secs(3_600);
const KEY_MODE: u32 = 0o600;
const CERT_MODE: u32 = 0o644;

/// Why the files were not made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A file cannot be read or written.
    #[error("cannot write {}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The authority's certificate is there, and its key is not.
    #[error("{} has no {} beside it; bring its key back, or choose another --dir", .0.display(), AUTHORITY_KEY)]
    NoAuthorityKey(PathBuf),
    /// A key or certificate cannot be made or read.
    #[error("cannot make the certificates: {0}")]
    Crypto(#[from] rcgen::Error),
}

const AUTHORITY_CERT: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";

/// The files that were made.
#[derive(Clone, Debug)]
pub struct IssuedFiles {
    /// The authority's certificate, for clients.
    pub authority: PathBuf,
    /// Whether the authority is new.
    pub new_authority: bool,
    /// The server's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Makes a certificate for a server with these names, valid for `days`, in `dir`. The
/// authority is the one that is there, or a new one.
///
/// # Errors
/// If a file cannot be read or written, or a name is none.
pub fn issue_certificate(
    dir: &Path,
    names: &[String],
    days: u32,
) -> Result<IssuedFiles, IssueError> {
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let (authority, new_authority) = authority(dir)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    // Some libraries look at it, although the alternative names count.
    if let Some(name) = names.first() {
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
    }
    // Strict verifiers want to know whose key signed it, and what it is for.
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_validity(&mut params, days);
    let cert = params.signed_by(&key, &authority)?;
    let files = IssuedFiles {
        authority: dir.join(AUTHORITY_CERT),
        new_authority,
        cert: dir.join("server.pem"),
        key: dir.join("server.key"),
    };
    // A daemon that reloads in between finds that they do not belong together, and waits.
    write(&files.key, &key.serialize_pem(), KEY_MODE)?;
    write(&files.cert, &cert.pem(), CERT_MODE)?;
    Ok(files)
}

/// The authority in a folder, and whether it is new.
fn authority(dir: &Path) -> Result<(Issuer<'static, KeyPair>, bool), IssueError> {
    let (cert, key_file) = (dir.join(AUTHORITY_CERT), dir.join(AUTHORITY_KEY));
    let has_cert = cert.exists();
    let key = match fs::read_to_string(&key_file) {
        Ok(pem) => KeyPair::from_pem(&pem)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_cert => {
            return Err(IssueError::NoAuthorityKey(cert));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            write(&key_file, &key.serialize_pem(), KEY_MODE)?;
            key
        }
        Err(error) => return Err(failed(&key_file)(error)),
    };
    let params = authority_params(&key);
    if !has_cert {
        write(&cert, &params.self_signed(&key)?.pem(), CERT_MODE)?;
    }
    Ok((Issuer::new(params, key), !has_cert))
}

/// The name depends on the key alone, so that the key is enough to issue again.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let id = Sha256::digest(key.public_key_raw());
    let id: String = id
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("runtraced authority {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, AUTHORITY_DAYS);
    params
}

fn set_validity(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
}

/// Replaces a file whole, so that nobody reads half of it.
fn write(file: &Path, content: &str, mode: u32) -> Result<(), IssueError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let next = PathBuf::from(name);
    let written = || {
        // What an interrupted attempt left may have another mode.
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut open = OpenOptions::new();
        open.write(true).create_new(true).mode(mode);
        let mut new = open.open(&next)?;
        new.write_all(content.as_bytes())?;
        new.sync_all()?;
        fs::rename(&next, file)
    };
    written().map_err(failed(file))
}

fn failed(file: &Path) -> impl FnOnce(io::Error) -> IssueError {
    let file = file.to_owned();
    move |source| IssueError::File { file, source }
}

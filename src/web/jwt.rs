//! JSON Web Tokens, as Supabase and other identity providers issue them.
//!
//! The keys come from a file: a JSON Web Key Set. Tokens are checked here and nowhere else;
//! what a user may see is decided by the policies of the database, from the claims.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Deserialize;
use serde_json::Value;

/// The largest token.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Seconds by which clocks may differ.
const LEEWAY_SECONDS: f64 = 60.0;
/// The role of tokens that anybody has: the public key of a Supabase project is one.
const PUBLIC_ROLE: &str = "anon";

/// Why a file holds no keys.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a JSON Web Key Set with keys of the kinds oct (HS256), EC P-256 (ES256), RSA (RS256) or OKP Ed25519 (EdDSA)"
)]
pub struct NoJwtKeys;

/// The keys that sign tokens.
pub struct JwtKeys(Vec<JwtKey>);

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKeys({})", self.0.len())
    }
}

struct JwtKey {
    id: Option<String>,
    check: KeyKind,
}

enum KeyKind {
    Hs256(hmac::Key),
    Es256(Vec<u8>),
    Rs256(signature::RsaPublicKeyComponents<Vec<u8>>),
    EdDsa(Vec<u8>),
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
}

impl JwtKeys {
    /// Reads a JSON Web Key Set.
    ///
    /// # Errors
    /// If it is malformed, or has no key of a known kind.
    pub fn read(text: &str) -> Result<Self, NoJwtKeys> {
        let set: JwkSet = serde_json::from_str(text).map_err(|_| NoJwtKeys)?;
        let keys: Vec<JwtKey> = set.keys.into_iter().filter_map(Jwk::key).collect();
        match keys.is_empty() {
            true => Err(NoJwtKeys),
            false => Ok(Self(keys)),
        }
    }

    /// The claims of a token, if one of the keys has signed it, it has not expired and it
    /// names a user: a JSON object as the issuer wrote it.
    pub(super) fn claims(&self, token: &str) -> Option<String> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: TokenHeader =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let is_signed = self.0.iter().any(|key| {
            let fits = key.id.is_none() || header.kid.is_none() || key.id == header.kid;
            fits && key
                .check
                .verifies(&header.alg, signed.as_bytes(), &signature)
        });
        if !is_signed {
            return None;
        }
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let claims: Value = serde_json::from_str(&json).ok()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_secs_f64();
        // A token without an end would be good for ever.
        let expires = claims.get("exp")?.as_f64()?;
        let begins = claims.get("nbf").and_then(Value::as_f64);
        let is_now =
            expires + LEEWAY_SECONDS > now && begins.is_none_or(|nbf| nbf - LEEWAY_SECONDS <= now);
        let is_public = claims.get("role").and_then(Value::as_str) == Some(PUBLIC_ROLE);
        let names_user = claims.get("sub").and_then(Value::as_str).is_some();
        (is_now && !is_public && names_user).then_some(json)
    }
}

/// How long a token with these claims is still good, at most `most`.
pub(super) fn time_left(claims: &str, most: Duration) -> Duration {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    let expires = claims["exp"].as_f64().unwrap_or_default() + LEEWAY_SECONDS;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let left = expires - now.unwrap_or_default().as_secs_f64();
    Duration::from_secs_f64(left.clamp(0.0, most.as_secs_f64()))
}

impl Jwk {
    fn key(self) -> Option<JwtKey> {
        let bytes = |part: &Option<String>| {
            let part = part.as_ref()?.trim_end_matches('=');
            URL_SAFE_NO_PAD.decode(part).ok()
        };
        let check = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => KeyKind::Hs256(hmac::Key::new(hmac::HMAC_SHA256, &bytes(&self.k)?)),
            ("EC", Some("P-256")) => {
                // An uncompressed point, as ring reads it.
                let point = [&[4], &bytes(&self.x)?[..], &bytes(&self.y)?[..]].concat();
                KeyKind::Es256(point)
            }
            ("RSA", _) => KeyKind::Rs256(signature::RsaPublicKeyComponents {
                n: bytes(&self.n)?,
                e: bytes(&self.e)?,
            }),
            ("OKP", Some("Ed25519")) => KeyKind::EdDsa(bytes(&self.x)?),
            _ => return None,
        };
        Some(JwtKey {
            id: self.kid,
            check,
        })
    }
}

impl KeyKind {
    /// Each key verifies one algorithm only: with a public key as the secret of HS256,
    /// anybody could sign.
    fn verifies(&self, algorithm: &str, signed: &[u8], sign: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Hs256(key), "HS256") => hmac::verify(key, signed, sign).is_ok(),
            (Self::Es256(point), "ES256") => {
                let key =
                    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(signed, sign).is_ok()
            }
            (Self::Rs256(key), "RS256") => key
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, sign)
                .is_ok(),
            (Self::EdDsa(key), "EdDSA") => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, key);
                key.verify(signed, sign).is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes ....";

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(header), part(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let sign = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign))
    }

    fn keys() -> JwtKeys {
        let k = URL_SAFE_NO_PAD.encode(SECRET);
        JwtKeys::read(&format!(r#"{{"keys":[{{"kty":"oct","k":"{k}"}}]}}"#)).unwrap()
    }

    #[test]
    fn only_signed_and_current_tokens_of_a_user_have_claims() {
        let header = r#"{"alg":"HS256","typ":"JWT"}"#;
        let claims = |token: &str| keys().claims(token);
        let good = r#"{"sub":"u","exp":99999999999}"#;
        assert_eq!(claims(&token(header, good)).as_deref(), Some(good));
        for bad in [
            r#"{"sub":"u"}"#,
            r#"{"sub":"u","exp":1}"#,
            r#"{"sub":"u","exp":99999999999,"nbf":99999999998}"#,
            r#"{"exp":99999999999}"#,
            r#"{"sub":"u","role":"anon","exp":99999999999}"#,
            "[]",
        ] {
            assert_eq!(claims(&token(header, bad)), None, "{bad}");
        }
        for other in [r#"{"alg":"none"}"#, r#"{"alg":"ES256"}"#] {
            assert_eq!(claims(&token(other, good)), None, "{other}");
        }
        let signed = token(header, good);
        let forged = signed.replacen(
            &URL_SAFE_NO_PAD.encode(good),
            &URL_SAFE_NO_PAD.encode(r#"{"sub":"v","exp":99999999999}"#),
            1,
        );
        assert_ne!(forged, signed);
        for bad in [
            forged.as_str(),
            &signed[..signed.len() - 2],
            "a.b",
            "",
            "...",
        ] {
            assert_eq!(claims(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_set_without_usable_keys_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"EC","crv":"P-521"}]}"#,
        ] {
            assert!(JwtKeys::read(text).is_err(), "{text}");
        }
    }
}

//! A page of ordinary text: nothing in it is taken for a secret.

use super::*;

const PROSE: &str = "The release notes name the fourteenth of February. Never reveal a secret: the password must be \
changed every year, and the cookie banner is annoying. Authorization: see section 4 of RFC 6750. Basic authentication \
works; a Bearer token is better. Our secretary asks: password or passphrase? API key rotation takes 90 days. The risk-taker \
asked for task-sk-ills. Order 4711 was paid on 2026-01-31 at 12:00:00.123456789, trace 1764400000000000000.\n";
const PYTHON: &str = "import os\n\nclass Client:\n    password: str\n    api_key: Optional[str] = None\n\n    \
def __init__(self, api_key: str = None, password=None):\n        self.api_key = api_key or os.environ[\"API_KEY\"]\n        \
self.password = password\n        self.secret = secrets.token_hex(32)\n        headers = {\"Authorization\": f\"Bearer {api_key}\"}\n\n    \
def check(self, password: bytes) -> bool:\n        return hashlib.sha256(password).hexdigest() == self.secret\n\n    \
def call(self):\n        return post(url, api_key=self.api_key, password=self.password, max_tokens=1024)\n";
const RUST: &str = "pub struct Login {\n    pub password: String,\n    secret: [u8; 32],\n    api_key: &'static str,\n    token: Option<SecretString>,\n}\n\
impl Login {\n    fn new(password: &str, secret: u64) -> Self {\n        let secret = sha256(password.as_bytes());\n        let api_key = read_key()?;\n        \
let password = args.password2.clone();\n        assert_eq!(password, other.password);\n        match cookie == expected { true => {} false => {} }\n    }\n}\n\
const PASSWORD_ENV: &str = \"X\";\nconst COOKIE: _bindgen_ty_64 = _bindgen_ty_64::COOKIE;\n";
const GIT: &str = "commit 3f786850e387550fdab836ed7e6dc881de23001b (HEAD -> main)\nAuthor: Jane Doe\nDate:   Mon Jan 5 10:00:00 2026 +0100\n\n    \
Store the secret outside of the repository\n\n 12 files changed, 345 insertions(+), 67 deletions(-)\nindex 89e6c98d92887913cadf06b2adb97f26cde4849b..2b66fd261ee5c6cfc8de7fa466bab600bcfe4f69 100644\n\
+    password: String,\n-    api_key = args.api_key\n";

/// Numbers that repeat in every run: a small generator of its own.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| u8::try_from(self.next() & 0xff).unwrap_or_default())
            .collect()
    }
}

/// 200 kB of prose, code, ids, hashes, output of git and base64.
fn page() -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use std::fmt::Write as _;
    let mut noise = Noise(7);
    let mut page = String::new();
    while page.len() < 200_000 {
        for part in [PROSE, PYTHON, RUST, GIT] {
            page.push_str(part);
        }
        for _ in 0..20 {
            let id = uuid::Uuid::from_slice(&noise.bytes(16)).unwrap();
            let hash: String = noise
                .bytes(32)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let _ = writeln!(
                page,
                "run {id} sha256:{hash} etag=\"{}\" version={}",
                &hash[..20],
                noise.next() % 100
            );
        }
        let bytes = noise.bytes(6_000);
        let _ = writeln!(page, "data:image/png;base64,{}", STANDARD.encode(&bytes));
        let _ = writeln!(page, "{}", URL_SAFE_NO_PAD.encode(&bytes));
    }
    page
}

#[test]
fn ordinary_text_has_no_secrets() {
    let page = page();
    let masked = masked(&page);
    let differing = page.lines().zip(masked.lines()).find(|(was, is)| was != is);
    assert_eq!(differing, None);
    let text =
        serde_json::json!({ "page": page, "lines": page.lines().collect::<Vec<_>>() }).to_string();
    assert_eq!(masker().json(&json(&text)), None);
}

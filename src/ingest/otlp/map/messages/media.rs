//! Names media instead of keeping it: its kind, type, size and hash.
//!
//! Vendors write media in dozens of shapes. They have in common that the data is
//! base64, a `data:` URL or a list of bytes, in an object that says what it is.

use serde_json::{Map, Value, json};

use super::base64::{self, Measured};

/// The deepest nesting in which the data of a part is searched.
const MAX_DEPTH: usize = 5;
/// The longest head of a `data:` URL, with its MIME type.
const MAX_HEAD_BYTES: usize = 128;
/// A shorter `data:` URL in a text stays there.
const SHORT_DATA_BYTES: usize = 64;

/// Media in a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Kind, type, size and hash.
    summary: Value,
    /// The part as it was sent, with its data.
    part: Value,
}

impl Media {
    /// The description of the media, for the metadata of its message.
    pub fn summary(&self) -> &Value {
        &self.summary
    }
}

impl From<Media> for Value {
    fn from(media: Media) -> Self {
        media.summary
    }
}

/// Writes the part as it was sent: the step keeps the data.
impl serde::Serialize for Media {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.part.serialize(to)
    }
}

/// What the fields of a part say about its media.
#[derive(Default)]
struct MediaFacts {
    mime: Option<String>,
    measured: Option<Measured>,
    /// Whether there is data that could not be measured, because it was cut.
    incomplete: bool,
    uri: Option<String>,
    name: Option<String>,
    file_id: Option<String>,
}

/// Describes a part of a message: media, or a kind that is not known.
pub fn describe(kind: &str, object: &Map<String, Value>) -> Media {
    if let Some(media) = of_part(object) {
        return media;
    }
    let kind = if kind.is_empty() {
        object.keys().next().map_or("unknown", String::as_str)
    } else {
        kind
    };
    let bytes: usize = object.values().map(|value| value.to_string().len()).sum();
    Media {
        summary: json!({"type": kind, "json_bytes": bytes}),
        part: Value::Object(object.clone()),
    }
}

/// The media that a part is: data, an address or the id of a file.
pub fn of_part(object: &Map<String, Value>) -> Option<Media> {
    let facts = MediaFacts::of(object)?;
    let stated = facts.has_data() || facts.uri.is_some() || facts.file_id.is_some();
    stated.then(|| facts.into_media(object))
}

/// The media that an object is, if it holds the data.
fn with_data(object: &Map<String, Value>) -> Option<Media> {
    let facts = MediaFacts::of(object)?;
    facts.has_data().then(|| facts.into_media(object))
}

/// The kind that a part says it is.
fn kind_of(object: &Map<String, Value>) -> &str {
    let mut keys = ["type", "block_type", "kind"].iter();
    let kind = keys.find_map(|key| object.get(*key)?.as_str());
    kind.unwrap_or_default()
}

/// Whether an object says that it is media.
pub fn names_media(object: &Map<String, Value>) -> bool {
    const KINDS: [&str; 27] = [
        "image",
        "image_url",
        "input_image",
        "output_image",
        "computer_screenshot",
        "image-data",
        "image-url",
        "image_generation_call",
        "audio",
        "input_audio",
        "output_audio",
        "audio-url",
        "video",
        "video_url",
        "video-url",
        "file",
        "input_file",
        "file-data",
        "file-url",
        "file-id",
        "document",
        "document-url",
        "media",
        "blob",
        "binary",
        "uri",
        "resource",
    ];
    const CLASSES: [&str; 7] = [
        "ImageContent",
        "ImageBlock",
        "ImageUrl",
        "AudioContent",
        "BinaryContent",
        "FileContent",
        "DocumentUrl",
    ];
    const HOLDERS: [&str; 6] = [
        "inline_data",
        "inlineData",
        "file_data",
        "fileData",
        "base64_image",
        "image_url",
    ];
    let kind = kind_of(object);
    KINDS.contains(&kind)
        || CLASSES.contains(&kind)
        || HOLDERS.iter().any(|key| object.contains_key(*key))
        || ["image", "document", "video", "audio"]
            .iter()
            .any(|key| object.get(*key).is_some_and(is_source))
}

/// Whether a value is Bedrock's or OpenInference's description of where media is.
fn is_source(value: &Value) -> bool {
    let keys = ["source", "image", "url", "base64_image", "bytes", "format"];
    keys.iter().any(|key| value.get(key).is_some())
}

impl MediaFacts {
    /// Reads a part that says it is media.
    fn of(object: &Map<String, Value>) -> Option<Self> {
        names_media(object).then(|| {
            let mut facts = Self::default();
            facts.search(object, 0);
            facts
        })
    }

    fn has_data(&self) -> bool {
        self.measured.is_some() || self.incomplete
    }

    fn into_media(self, object: &Map<String, Value>) -> Media {
        Media {
            summary: self.into_summary(kind_of(object), object),
            part: Value::Object(object.clone()),
        }
    }

    fn search(&mut self, object: &Map<String, Value>, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let kind = kind_of(object);
        for (key, value) in object {
            match value {
                Value::String(text) => self.add_text(kind, key, text),
                Value::Object(inner) => self.search(inner, depth + 1),
                Value::Array(bytes) if is_data_key(kind, key) => {
                    self.measured = self
                        .measured
                        .take()
                        .or_else(|| base64::measure_bytes(bytes));
                }
                _ => {}
            }
        }
    }

    fn add_text(&mut self, kind: &str, key: &str, text: &str) {
        if let Some(url) = text.strip_prefix("data:") {
            self.add_data_url(url);
            return;
        }
        match key {
            "mime_type" | "mimeType" | "media_type" | "mediaType" | "image_mimetype" => {
                self.mime = Some(text.to_owned());
            }
            "format" => self.mime = self.mime.take().or_else(|| mime_of_format(text)),
            "filename" | "file_name" | "fileName" | "name" | "title" => {
                self.name = Some(text.to_owned());
            }
            "file_id" | "fileId" => self.file_id = Some(text.to_owned()),
            _ if is_data_key(kind, key) && !text.contains("://") => self.add_data(text),
            _ if text.contains("://") && text.len() < 4096 && is_address_key(key) => {
                self.uri = Some(text.to_owned());
            }
            _ => {}
        }
    }

    fn add_data(&mut self, text: &str) {
        match base64::measure(text) {
            Some(measured) => {
                if self.mime.is_none() {
                    self.mime = measured.sniffed.map(str::to_owned);
                }
                self.measured = Some(measured);
            }
            None => self.incomplete |= text.len() >= SHORT_DATA_BYTES && !text.contains(' '),
        }
    }

    fn add_data_url(&mut self, url: &str) {
        let Some((head, data)) = url.split_once(',') else {
            return;
        };
        let mime = head.split(';').next().filter(|mime| !mime.is_empty());
        self.mime = mime.map(str::to_owned).or(self.mime.take());
        if head.ends_with(";base64") {
            self.add_data(data);
        } else {
            self.measured = Some(base64::measured(data.as_bytes()));
        }
    }

    fn into_summary(self, kind: &str, object: &Map<String, Value>) -> Value {
        let mut summary = Map::new();
        let kind = general_kind(self.mime.as_deref(), kind, object);
        summary.insert("type".into(), kind.into());
        for (key, text) in [
            ("mime_type", self.mime),
            ("name", self.name),
            ("uri", self.uri),
            ("file_id", self.file_id),
        ] {
            if let Some(text) = text {
                summary.insert(key.into(), text.into());
            }
        }
        if let Some(measured) = self.measured {
            summary.insert("bytes".into(), measured.bytes.into());
            summary.insert("sha256".into(), measured.sha256.into());
        } else if self.incomplete {
            summary.insert("incomplete".into(), true.into());
        }
        Value::Object(summary)
    }
}

fn is_data_key(kind: &str, key: &str) -> bool {
    match key {
        "data" | "base64" | "bytes" | "blob" | "image" | "audio" | "video" | "file"
        | "file_data" | "fileData" | "base64_image" | "b64_json" | "image_data" => true,
        "content" => matches!(kind, "blob" | "binary"),
        "result" => kind == "image_generation_call",
        _ => false,
    }
}

fn is_address_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["url", "uri", "image", "file", "data", "source"]
        .iter()
        .any(|end| key.ends_with(end))
}

/// Image, audio, video or file: by the MIME type, else by the part's own words.
fn general_kind(mime: Option<&str>, kind: &str, object: &Map<String, Value>) -> &'static str {
    const KINDS: [&str; 3] = ["image", "audio", "video"];
    let modality = object.get("modality").and_then(Value::as_str);
    let words = [mime, Some(kind), modality];
    let by_word = words.into_iter().flatten().find_map(|word| {
        let found = KINDS.iter().find(|known| word.contains(**known));
        found.copied()
    });
    let by_key = KINDS.iter().find(|known| {
        object
            .keys()
            .any(|key| key.to_ascii_lowercase().contains(**known))
    });
    match mime {
        Some(mime) if by_word.is_none() || !KINDS.iter().any(|known| mime.starts_with(known)) => {
            "file"
        }
        _ => by_word.or(by_key.copied()).unwrap_or("file"),
    }
}

/// The MIME type of a format as Bedrock and OpenAI name it.
fn mime_of_format(format: &str) -> Option<String> {
    Some(match format {
        "png" | "jpeg" | "gif" | "webp" => format!("image/{format}"),
        "jpg" => "image/jpeg".to_owned(),
        "wav" | "mp3" | "flac" | "opus" | "aac" | "pcm16" => format!("audio/{format}"),
        "mp4" | "mov" | "mkv" | "webm" | "mpeg" => format!("video/{format}"),
        "pdf" => "application/pdf".to_owned(),
        "csv" | "html" => format!("text/{format}"),
        "txt" => "text/plain".to_owned(),
        "md" => "text/markdown".to_owned(),
        _ => return None,
    })
}

/// Takes media out of a value, at any depth, and puts its description in its
/// place. `None` if the value holds no media.
pub fn take_from(value: &Value, found: &mut Vec<Media>) -> Option<Value> {
    match value {
        Value::String(text) => take_from_text(text, found).map(Value::String),
        Value::Array(items) => {
            let taken: Vec<_> = items.iter().map(|item| take_from(item, found)).collect();
            taken.iter().any(Option::is_some).then(|| {
                let pairs = taken.into_iter().zip(items);
                pairs
                    .map(|(new, old)| new.unwrap_or_else(|| old.clone()))
                    .collect()
            })
        }
        Value::Object(object) => {
            if let Some(media) = with_data(object) {
                let summary = media.summary.clone();
                found.push(media);
                return Some(summary);
            }
            let mut changed = None;
            for (key, inner) in object {
                if let Some(new) = take_from(inner, found) {
                    let changed = changed.get_or_insert_with(|| object.clone());
                    changed.insert(key.clone(), new);
                }
            }
            changed.map(Value::Object)
        }
        _ => None,
    }
}

/// Takes `data:` URLs out of a text, or all of it if it is a file in base64.
/// `None` if the text holds no media.
pub fn take_from_text(text: &str, found: &mut Vec<Media>) -> Option<String> {
    if text.len() < SHORT_DATA_BYTES {
        return None;
    }
    if base64::has_magic(text)
        && let Some(measured) = base64::measure(text)
        && let Some(mime) = measured.sniffed
    {
        let object = json!({"type": "file", "mime_type": mime, "data": text});
        let media = of_part(object.as_object()?)?;
        let mark = mark_of(&media);
        found.push(media);
        return Some(mark);
    }
    if !text.contains(";base64,") {
        return None;
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("data:") {
        let url = &rest[at..];
        // A head that is longer belongs to no URL, and the text after it is not read again.
        let comma = url.bytes().take(MAX_HEAD_BYTES).position(|it| it == b',');
        let length = comma.map_or("data:".len(), |comma| {
            let is_data =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
            let data = url[comma..].bytes().skip(1);
            comma + 1 + data.take_while(|byte| is_data(char::from(*byte))).count()
        });
        let url = &url[..length];
        out.push_str(&rest[..at]);
        rest = &rest[at + url.len()..];
        if url.len() < SHORT_DATA_BYTES || !url.contains(";base64,") {
            out.push_str(url);
            continue;
        }
        let object = json!({"type": "file", "url": url});
        let Some(media) = object.as_object().and_then(of_part) else {
            out.push_str(url);
            continue;
        };
        out.push_str(&mark_of(&media));
        found.push(media);
    }
    out.push_str(rest);
    Some(out)
}

/// What a text has in the place of its media.
fn mark_of(media: &Media) -> String {
    let text = |key: &str| media.summary.get(key).and_then(Value::as_str);
    let kind = text("mime_type").or_else(|| text("type"));
    let bytes = media.summary.get("bytes").and_then(Value::as_u64);
    match bytes {
        Some(bytes) => format!("[{}, {bytes} bytes]", kind.unwrap_or("file")),
        None => format!("[{}]", kind.unwrap_or("file")),
    }
}

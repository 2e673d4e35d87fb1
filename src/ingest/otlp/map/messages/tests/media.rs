//! Media in the shapes of all vendors.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::event::MessageRole::{Tool, User};
use crate::ingest::otlp::map::hex::hex;
use crate::ingest::otlp::map::messages::{ChatMessage, read};

const PNG_HEAD: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A file of this head and some bytes.
fn file(head: &[u8]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend((0..3_000_u32).map(|n| (n * 7 % 251) as u8));
    bytes
}

fn summary(kind: &str, mime: &str, bytes: &[u8]) -> Value {
    json!({"type": kind, "mime_type": mime, "bytes": bytes.len(), "sha256": hex(&Sha256::digest(bytes))})
}

fn summaries(message: &ChatMessage) -> Vec<Value> {
    message.media.iter().cloned().map(Value::from).collect()
}

/// All parts of vendors that hold this image.
fn image_parts(data: &str) -> Vec<Value> {
    let url = format!("data:image/png;base64,{data}");
    vec![
        json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}}),
        json!({"type": "image_url", "image_url": url}),
        json!({"type": "input_image", "image_url": url}),
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}),
        json!({"image": {"format": "png", "source": {"bytes": data}}}),
        json!({"inline_data": {"mime_type": "image/png", "data": data}}),
        json!({"inlineData": {"mimeType": "image/png", "data": data}}),
        json!({"type": "image", "data": data, "mimeType": "image/png"}),
        json!({"type": "image", "base64": data, "mime_type": "image/png"}),
        json!({"type": "image", "source_type": "base64", "data": data, "mime_type": "image/png"}),
        json!({"type": "image", "image": data, "mediaType": "image/png"}),
        json!({"type": "image", "image": url}),
        json!({"type": "file", "data": data, "mediaType": "image/png"}),
        json!({"type": "media", "data": data, "mediaType": "image/png"}),
        json!({"type": "blob", "modality": "image", "mime_type": "image/png", "content": data}),
        json!({"type": "binary", "media_type": "image/png", "content": data}),
        json!({"message_content": {"type": "image", "image": {"image": {"url": url}}}}),
        json!({"image": {"base64_image": data, "mime_type": "image/png"}}),
        json!({"type": "resource", "resource": {"mimeType": "image/png", "blob": data}}),
        // The type is told by the first bytes alone.
        json!({"type": "image", "image": data}),
    ]
}

#[test]
fn images_are_named_by_type_size_and_hash() {
    let bytes = file(PNG_HEAD);
    let want = summary("image", "image/png", &bytes);
    let wrapped: String = STANDARD
        .encode(&bytes)
        .as_bytes()
        .chunks(76)
        .map(|line| format!("{}\n", str::from_utf8(line).unwrap()))
        .collect();
    for data in [
        STANDARD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
        wrapped,
    ] {
        for part in image_parts(&data) {
            let content =
                json!([{"role": "user", "content": [{"type": "text", "text": "Look"}, part]}]);
            let messages = read(&content, User);
            assert_eq!(messages[0].text, "Look", "{part}");
            assert_eq!(
                summaries(&messages[0]),
                std::slice::from_ref(&want),
                "{part:.300}"
            );
        }
    }
}

#[test]
fn a_tools_result_is_its_text_and_the_names_of_its_media() {
    let bytes = file(PNG_HEAD);
    let data = STANDARD.encode(&bytes);
    let want = summary("image", "image/png", &bytes);
    let text = json!({"type": "text", "text": "Taken."});
    for part in image_parts(&data) {
        let blocks = json!([text, part]);
        let mcp = json!({"content": blocks, "isError": false});
        for result in [
            blocks.clone(),
            mcp.clone(),
            blocks.to_string().into(),
            mcp.to_string().into(),
            json!({"type": "content", "value": blocks}),
        ] {
            for message in [
                json!({"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": result}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": result}]}),
                json!({"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "output": result}]}),
                json!({"type": "function_call_output", "call_id": "c1", "output": result}),
                json!({"role": "tool", "tool_call_id": "c1", "content": result}),
            ] {
                let messages = read(&json!([message]), User);
                assert_eq!(messages.len(), 1, "{message:.400}");
                assert_eq!(
                    (messages[0].role, &*messages[0].text),
                    (Tool, "Taken."),
                    "{message:.400}"
                );
                assert_eq!(
                    summaries(&messages[0]),
                    std::slice::from_ref(&want),
                    "{message:.400}"
                );
            }
        }
    }
    // In a result with fields of its own, the description takes the place of the data.
    let own =
        json!({"page": "/login", "shot": {"type": "image", "data": data, "mimeType": "image/png"}});
    let message = json!([{"role": "tool", "tool_call_id": "c1", "content": own.to_string()}]);
    let messages = read(&message, User);
    assert_eq!(
        messages[0].text,
        json!({"page": "/login", "shot": want}).to_string()
    );
    assert_eq!(summaries(&messages[0]), [want]);
}

#[test]
fn other_media_is_named_too() {
    for (head, kind, mime, part) in [
        (
            &b"RIFF\x10\0\0\0WAVE"[..],
            "audio",
            "audio/wav",
            json!({"type": "input_audio", "input_audio": {"data": "D", "format": "wav"}}),
        ),
        (
            b"ID3",
            "audio",
            "audio/mpeg",
            json!({"type": "audio", "base64": "D", "mime_type": "audio/mpeg"}),
        ),
        (
            b"%PDF-1.7",
            "file",
            "application/pdf",
            json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,D"}}),
        ),
        (
            b"%PDF-1.7",
            "file",
            "application/pdf",
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "D"}}),
        ),
        (
            b"%PDF-1.7",
            "file",
            "application/pdf",
            json!({"document": {"format": "pdf", "source": {"bytes": "D"}}}),
        ),
        (
            b"\0\0\0\x18ftypmp42",
            "video",
            "video/mp4",
            json!({"video": {"format": "mp4", "source": {"bytes": "D"}}}),
        ),
    ] {
        let bytes = file(head);
        let part: Value = serde_json::from_str(
            &part
                .to_string()
                .replace("\"D\"", &format!("\"{}\"", STANDARD.encode(&bytes)))
                .replace("base64,D", &format!("base64,{}", STANDARD.encode(&bytes))),
        )
        .unwrap();
        let messages = read(&json!([{"role": "user", "content": [part]}]), User);
        assert_eq!(
            summaries(&messages[0]),
            [summary(kind, mime, &bytes)],
            "{part:.200}"
        );
    }
    for (part, want) in [
        (
            json!({"type": "image_url", "image_url": {"url": "https://a.example/cat.png"}}),
            json!({"type": "image", "uri": "https://a.example/cat.png"}),
        ),
        (
            json!({"type": "input_file", "file_id": "file-1"}),
            json!({"type": "file", "file_id": "file-1"}),
        ),
        (
            json!({"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://a/b.mp4"}),
            json!({"type": "video", "mime_type": "video/mp4", "uri": "gs://a/b.mp4"}),
        ),
        (
            json!({"fileData": {"fileUri": "gs://a/b.pdf", "mimeType": "application/pdf"}}),
            json!({"type": "file", "mime_type": "application/pdf", "uri": "gs://a/b.pdf"}),
        ),
    ] {
        let messages = read(&json!([{"role": "user", "content": [part]}]), User);
        assert_eq!(summaries(&messages[0]), [want], "{part}");
    }
    let bytes = [1, 2, 250];
    let buffer = json!([{"role": "user", "content": [{"type": "image", "mimeType": "image/png",
        "image": {"type": "Buffer", "data": bytes}}]}]);
    assert_eq!(
        summaries(&read(&buffer, User)[0]),
        [summary("image", "image/png", &bytes)]
    );
}

#[test]
fn data_in_a_text_is_replaced_by_its_description() {
    let bytes = file(PNG_HEAD);
    let data = STANDARD.encode(&bytes);
    let mark = format!("[image/png, {} bytes]", bytes.len());
    for (text, want) in [
        (
            format!("See ![a](data:image/png;base64,{data}), please."),
            format!("See ![a]({mark}), please."),
        ),
        (data.clone(), mark.clone()),
    ] {
        for role in ["user", "tool"] {
            let messages = read(&json!([{"role": role, "content": text}]), User);
            assert_eq!(messages[0].text, want);
            assert_eq!(
                summaries(&messages[0]),
                [summary("image", "image/png", &bytes)]
            );
        }
    }
    // Data of a URL that is cut, text about data, and text that only looks like base64.
    let cut = format!("data:image/png;base64,{}\u{2026}", &data[..101]);
    let messages = read(&json!([{"role": "user", "content": cut}]), User);
    assert!(
        !messages[0].text.contains(&data[..50]),
        "{}",
        messages[0].text
    );
    for text in [
        "data: the new oil; base64, too".to_owned(),
        "AAAA".repeat(100),
        "x".repeat(5_000),
    ] {
        let messages = read(&json!([{"role": "user", "content": text}]), User);
        assert_eq!((&messages[0].text, messages[0].media.len()), (&text, 0));
    }
}

#[test]
fn arguments_of_a_call_hold_no_data() {
    let data = STANDARD.encode(file(PNG_HEAD));
    let call = json!([{"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "upload",
        "arguments": json!({"name": "a.png", "content": data}).to_string()}}]}]);
    let messages = read(&call, User);
    let arguments = messages[0].calls[0].arguments.to_string();
    assert!(
        arguments.len() < 200 && arguments.contains("a.png"),
        "{arguments:.300}"
    );
}

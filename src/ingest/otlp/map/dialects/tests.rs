use super::*;
use crate::ingest::otlp::map::slots::Slot;

fn compile(text: &str) -> Result<Dialects, DialectError> {
    Dialects::compile(vec![DialectText {
        file: "acme.toml".into(),
        text: text.into(),
    }])
}

/// A file that begins with what each needs.
fn file(rest: &str) -> String {
    format!("name = \"acme\"\nsource = \"acme.dev\"\nscopes = [\"acme\", \"acme.*\"]\n{rest}")
}

#[test]
fn the_built_in_files_compile() {
    let compiled = Dialects::compile(Vec::new()).unwrap_or_else(|error| panic!("{error}"));
    assert!(compiled.all().len() > 15, "{}", compiled.all().len());
    assert_eq!(&*compiled.conventions().name, "gen_ai");
    assert_eq!(&*compiled.unknown().name, "unknown");
    for (at, dialect) in compiled.all().iter().enumerate() {
        assert_eq!(usize::from(dialect.index), at);
        assert!(!dialect.source.is_empty(), "{}", dialect.name);
    }
    assert!(compiled.documented_keys().count() > 100);
}

#[test]
fn a_wrong_file_is_refused_with_line_and_reason() {
    for (rest, line, reason) in [
        ("[keys]\nsesion = [\"a\"]", 5, "unknown fact `sesion`"),
        ("colour = \"red\"", 4, "unknown field `colour`"),
        (
            "[words]\nllm = [\"a\"]\nmodel = [\"b\"]",
            6,
            "unknown kind of work `model`",
        ),
        (
            "[words]\nllm = [\"a\"]\ntool = [\"A\"]",
            6,
            "two kinds of work",
        ),
        ("[keys]\nsession = [\n\"a\",\n\"b#\"]", 7, "empty part"),
        (
            "[keys]\nsession = [\"a.x\"]\nuser = [\"a.x\"]",
            6,
            "already `session`",
        ),
        (
            "[keys]\nsession = [\"gen_ai.tool.name\"]",
            5,
            "already `tool_name`",
        ),
        (
            "[keys]\nkind = [\"gen_ai.operation.name\"]",
            5,
            "[own_keys]",
        ),
        ("[keys]\nsession = [\"a.{n}\"]", 5, "numbered"),
        ("[keys]\nsession = \"a\"", 5, "expected a"),
        ("[[rules]]\nis = \"llm\"", 4, "condition"),
        ("[[rules]]\nname = \"x\"", 4, "says nothing"),
        (
            "[[rules]]\nname = \"x\"\nhas = [\"modell\"]\nis = \"llm\"",
            6,
            "unknown fact `modell`",
        ),
        (
            "[[rules]]\nname = \"x\"\nset = { target = \"$0\" }",
            6,
            "$1",
        ),
        ("[[rules]]\nname = \"x\"\nis = \"chat\"", 6, "unknown kind"),
        ("[[usage_objects]]\nhas = []", 4, "needs `has`"),
        ("[usage]\ncached = \"maybe\"", 5, "unknown variant `maybe`"),
        ("scopes = [\"b\"]", 4, "duplicate key"),
        ("x = ", 4, "string values must be quoted"),
    ] {
        let error = compile(&file(rest)).expect_err(rest);
        assert_eq!(error.file, "acme.toml");
        assert!(error.reason.contains(reason), "{rest}: {error}");
        assert_eq!(error.line, line, "{rest}: {error}");
    }
    for (text, reason) in [
        (
            "name = \"A b\"\nsource = \"x\"\nscopes = [\"a\"]",
            "lower-case",
        ),
        ("name = \"a\"\nsource = \"x\"", "nothing detects"),
        (
            "name = \"a\"\nsource = \"x\"\nscopes = [\"*\"]",
            "match everything",
        ),
        (
            "name = \"a\"\nsource = \"x\"\nprefixes = [\"a.\"]\n[own_keys]\nuser = [\"u\"]",
            "scopes",
        ),
        ("source = \"x\"", "missing field `name`"),
    ] {
        let error = compile(text).expect_err(text);
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_file_of_the_user_replaces_the_built_in_one_of_its_name() {
    let text = "name = \"langfuse\"\nsource = \"x\"\nscopes = [\"mine\"]";
    let compiled = compile(text).unwrap();
    let (dialect, _) = compiled.of_scope("mine").unwrap();
    assert_eq!(&*dialect.name, "langfuse");
    assert!(!compiled.keys(None).keys.contains_key("langfuse.session.id"));
    let twice = [text, text].map(|text| DialectText {
        file: "a.toml".into(),
        text: text.into(),
    });
    let error = Dialects::compile(twice.into()).unwrap_err();
    assert!(error.reason.contains("already in a.toml"), "{error}");
}

#[test]
fn keys_of_its_own_are_read_in_its_scopes_only() {
    let compiled = compile(&file(
        "[own_keys]\nusage_input = [\"tokens\"]\ntool_name = [\"gen_ai.agent.name\"]",
    ))
    .unwrap();
    let (acme, _) = compiled.of_scope("acme.x").unwrap();
    let slot = |keys: &AttributeTable, key: &str| keys.keys.get(key)?.fills.map(|it| it.slot);
    let own = compiled.keys(Some(acme));
    assert_eq!(slot(own, "tokens"), Some(Slot::UsageInput));
    assert_eq!(slot(own, "gen_ai.agent.name"), Some(Slot::ToolName));
    assert_eq!(slot(own, "session.id"), Some(Slot::Session));
    let everywhere = compiled.keys(None);
    assert_eq!(slot(everywhere, "tokens"), None);
    assert_eq!(slot(everywhere, "gen_ai.agent.name"), Some(Slot::AgentName));
}

#[test]
fn scopes_name_dialects() {
    let dialects = Dialects::built_in();
    let of = |scope| dialects.of_scope(scope).map(|(found, _)| &*found.name);
    assert_eq!(
        of("opentelemetry.instrumentation.openai.v1"),
        Some("openllmetry")
    );
    assert_eq!(of("opentelemetry.instrumentation.openai_v2"), None);
    assert_eq!(of("opentelemetry.instrumentation.httpx"), None);
    assert_eq!(of("com.anthropic.sdk.python"), Some("anthropic_sdk"));
    assert_eq!(of(""), None);
}

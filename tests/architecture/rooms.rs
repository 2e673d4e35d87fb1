//! The architecture as data: which module may use which, and what it must not hold.

/// A module of the crate, or a directory in `store/`.
pub struct Room {
    /// Its path in `src/`, without `.rs`.
    pub name: &'static str,
    /// Rooms that it may import. They must not lead back to it.
    pub uses: &'static [&'static str],
    /// External crates and modules of `std` that it must not name.
    pub without: &'static [&'static str],
    /// What must not be in it, in words.
    pub rule: &'static str,
}

/// Input and output: code without these is tested without files, sockets and databases.
const IO: &[&str] = &[
    "tokio", "sqlx", "tonic", "axum", "hyper", "std::fs", "std::net",
];

/// All rooms, from the bottom up: a room may use only rooms that stand above it here.
pub const ROOMS: &[Room] = &[
    Room {
        name: "proto",
        uses: &[],
        without: &[],
        rule: "code: the crate of the client generates it from `proto/`, and `lib.rs` passes it on",
    },
    Room {
        name: "event",
        uses: &[],
        without: &[IO[0], IO[1], IO[2], IO[3], IO[4], IO[5], IO[6], "prost"],
        rule: "IO, protobuf, SQL",
    },
    Room {
        name: "histograms",
        uses: &[],
        without: &[IO[0], IO[1], IO[2], IO[3], IO[4], IO[5], IO[6], "prost"],
        rule: "IO, protobuf, SQL; anything that is done for each event",
    },
    Room {
        name: "mask",
        uses: &["event"],
        without: &[IO[0], IO[1], IO[2], IO[3], IO[4], IO[5], IO[6], "prost"],
        rule: "IO, protobuf, SQL, the clock: an event sent again must become the same event",
    },
    Room {
        name: "own_spans",
        uses: &["histograms"],
        without: &[IO[0], IO[1], IO[2], IO[3], IO[4], IO[5], IO[6], "prost"],
        rule: "IO; anything that is done for each event",
    },
    Room {
        name: "json_mapping",
        uses: &["proto"],
        without: IO,
        rule: "IO",
    },
    Room {
        name: "spool",
        uses: &[],
        without: &["sqlx", "tonic", "prost"],
        rule: "knowledge of events: a frame is bytes and a number of events",
    },
    Room {
        name: "postgres",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "knowledge of tables and rows: it starts and stops a server",
    },
    Room {
        name: "listen",
        uses: &[],
        without: &["sqlx", "prost", "tonic"],
        rule: "the meaning of requests: the caller passes in the function that refuses one",
    },
    Room {
        name: "auth",
        uses: &["listen"],
        without: &["sqlx", "prost"],
        rule: "SQL, protobuf, the format of HTTP refusals: the caller passes in the function that writes one",
    },
    Room {
        name: "store/layout",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "statements on rows: it says how the database keeps them",
    },
    Room {
        name: "store/servers",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "statements on rows: it says which server has them",
    },
    Room {
        name: "store/error",
        uses: &["store/servers"],
        without: &["tonic", "prost"],
        rule: "SQL",
    },
    Room {
        name: "store/schema",
        uses: &["store/error", "store/servers"],
        without: &["tonic", "prost"],
        rule: "tables: it says who may write, and by which rules",
    },
    Room {
        name: "store/session",
        uses: &["store/error", "store/schema", "store/servers"],
        without: &["tonic", "prost"],
        rule: "statements on tables: it opens, limits and ends sessions",
    },
    Room {
        name: "store/outcome",
        uses: &["event"],
        without: IO,
        rule: "IO",
    },
    Room {
        name: "store/encode",
        uses: &["event"],
        without: &["tokio", "tonic", "prost", "std::fs", "std::net"],
        rule: "IO",
    },
    Room {
        name: "store/plan",
        uses: &["event", "store/encode"],
        without: &[IO[0], IO[1], IO[2], IO[3], IO[4], IO[5], IO[6], "prost"],
        rule: "IO",
    },
    Room {
        name: "store/batch",
        uses: &[
            "event",
            "histograms",
            "store/encode",
            "store/layout",
            "store/outcome",
            "store/plan",
        ],
        without: &["tonic", "prost", "tokio"],
        rule: "connections, retries: its caller opens the transaction and repeats it",
    },
    Room {
        name: "store/writer",
        uses: &[
            "event",
            "histograms",
            "own_spans",
            "store/batch",
            "store/error",
            "store/layout",
            "store/outcome",
            "store/plan",
            "store/session",
        ],
        without: &["tonic", "prost"],
        rule: "rules for merging events",
    },
    Room {
        name: "store/admin",
        uses: &[
            "auth",
            "store/error",
            "store/layout",
            "store/schema",
            "store/servers",
        ],
        without: &["tonic", "prost"],
        rule: "code that writes events",
    },
    Room {
        name: "store",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "code: `store/mod.rs` only re-exports what other modules may use",
    },
    Room {
        name: "pipeline",
        uses: &["event", "histograms", "own_spans", "spool", "store"],
        without: &["tonic", "prost", "axum"],
        rule: "SQL, protobuf",
    },
    Room {
        name: "ingest",
        uses: &[
            "auth",
            "event",
            "histograms",
            "json_mapping",
            "mask",
            "own_spans",
            "pipeline",
            "proto",
        ],
        without: &["sqlx"],
        rule: "SQL, rules for merging events",
    },
    Room {
        name: "finalize",
        uses: &["own_spans", "store"],
        without: &["tonic", "prost"],
        rule: "SQL, except the statements that find, close and expire what a sweep handles",
    },
    Room {
        name: "reap",
        uses: &["store"],
        without: &["tonic", "prost"],
        rule: "SQL, except the statements that find and delete rows; flags and output",
    },
    Room {
        name: "telemetry",
        uses: &[
            "auth",
            "finalize",
            "histograms",
            "ingest",
            "listen",
            "mask",
            "own_spans",
            "pipeline",
            "reap",
            "spool",
            "store",
        ],
        without: &["tonic", "prost"],
        rule: "counters of its own: it reads those of the other modules",
    },
    Room {
        name: "config",
        uses: &["event", "ingest", "listen", "mask"],
        without: &["tokio", "tonic", "prost"],
        rule: "anything but flags, their checks and their defaults",
    },
    Room {
        name: "query",
        uses: &["config"],
        without: &["tonic", "prost"],
        rule: "statements that write, and the layout of output",
    },
    Room {
        name: "prices",
        uses: &[],
        without: IO,
        rule: "IO",
    },
    Room {
        name: "web",
        uses: &["auth", "query", "store"],
        without: &["tonic", "prost"],
        rule: "rules about who sees which rows: the policies of the database decide; SQL, except what names a key",
    },
    Room {
        name: "app",
        uses: &[
            "auth",
            "config",
            "event",
            "finalize",
            "histograms",
            "ingest",
            "json_mapping",
            "listen",
            "mask",
            "own_spans",
            "pipeline",
            "postgres",
            "prices",
            "proto",
            "query",
            "reap",
            "spool",
            "store",
            "telemetry",
            "web",
        ],
        without: &["anyhow"],
        rule: "work of its own: it builds the parts, starts their tasks and stops them",
    },
    Room {
        name: "doctor",
        uses: &["config", "listen", "postgres", "spool", "store"],
        without: &["tonic", "prost"],
        rule: "anything that changes something: it reads and asks",
    },
    Room {
        name: "console",
        uses: &[],
        without: &["sqlx", "prost"],
        rule: "commands: it prints, and runs a daemon as a child process",
    },
    Room {
        name: "capacity",
        uses: &[],
        without: IO,
        rule: "IO, the clock: it computes with costs that were measured",
    },
    Room {
        name: "bench",
        uses: &[
            "capacity", "config", "console", "postgres", "proto", "reap", "store",
        ],
        without: &[],
        rule: "code that the daemon needs",
    },
    Room {
        name: "cli",
        uses: &[
            "app",
            "auth",
            "bench",
            "capacity",
            "config",
            "console",
            "doctor",
            "ingest",
            "json_mapping",
            "listen",
            "postgres",
            "proto",
            "query",
            "reap",
            "spool",
            "store",
            "telemetry",
        ],
        without: &[],
        rule: "work of its own: a command reads its flags, calls other modules and prints",
    },
];

/// Code that must stay free of IO inside rooms that are not.
pub const PURE: &[&str] = &[
    "ingest/native/decode",
    "ingest/native/encode",
    "ingest/otlp/map",
    "ingest/otlp/wire",
];

/// The only rooms that send as a client does. All others use the protocol alone, as `proto`.
pub const SENDERS: &[&str] = &["bench", "cli"];

/// What the client's crate must not name: it is not part of the daemon.
pub const CLIENT_WITHOUT: &[&str] = &["sqlx", "axum", "clap", "runtraced", "anyhow"];

/// The only rooms in which errors may be `anyhow`'s: what they do with one is print it.
pub const ANYHOW: &[&str] = &["bench", "cli", "console"];

/// The forbidden names of [`PURE`].
pub const PURE_WITHOUT: &[&str] = IO;

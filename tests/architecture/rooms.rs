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
        rule: "hand-written code: it is generated from `proto/`",
    },
    Room {
        name: "event",
        uses: &[],
        without: &[IO[0], IO[1], IO[2], IO[3], IO[4], IO[5], IO[6], "prost"],
        rule: "IO, protobuf, SQL",
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
        rule: "events: a frame is bytes and a count",
    },
    Room {
        name: "postgres",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "tables and rows: it runs a server and knows nothing of its content",
    },
    Room {
        name: "auth",
        uses: &[],
        without: &["sqlx", "prost"],
        rule: "SQL, protocols: the text of a refusal is handed in",
    },
    Room {
        name: "store/error",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "statements",
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
        uses: &["event", "store/encode", "store/outcome", "store/plan"],
        without: &["tonic", "prost", "tokio"],
        rule: "connections, retries: it works inside a transaction that it is given",
    },
    Room {
        name: "store/writer",
        uses: &[
            "event",
            "store/batch",
            "store/error",
            "store/outcome",
            "store/plan",
        ],
        without: &["tonic", "prost"],
        rule: "rules of how events merge",
    },
    Room {
        name: "store/admin",
        uses: &["auth"],
        without: &["tonic", "prost"],
        rule: "anything on the path of an event",
    },
    Room {
        name: "store",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "code: it names what the rest of the crate may use of its directories",
    },
    Room {
        name: "pipeline",
        uses: &["event", "spool", "store"],
        without: &["tonic", "prost", "axum"],
        rule: "SQL, protobuf",
    },
    Room {
        name: "listen",
        uses: &[],
        without: &["sqlx", "prost", "tonic"],
        rule: "what requests mean: the text of a refusal is handed in",
    },
    Room {
        name: "ingest",
        uses: &["auth", "event", "pipeline", "proto"],
        without: &["sqlx"],
        rule: "SQL, rules of how events merge",
    },
    Room {
        name: "finalize",
        uses: &["store"],
        without: &["tonic", "prost"],
        rule: "SQL other than what takes runs and approvals to be closed",
    },
    Room {
        name: "telemetry",
        uses: &[
            "auth", "finalize", "ingest", "listen", "pipeline", "spool", "store",
        ],
        without: &["tonic", "prost"],
        rule: "counters of its own: it reads those of the parts",
    },
    Room {
        name: "query",
        uses: &[],
        without: &["tonic", "prost"],
        rule: "anything but queries on the documented views",
    },
    Room {
        name: "config",
        uses: &["event", "ingest", "listen"],
        without: &["tokio", "tonic", "prost"],
        rule: "anything but flags, their checks and their defaults",
    },
    Room {
        name: "app",
        uses: &[
            "auth",
            "config",
            "event",
            "finalize",
            "ingest",
            "json_mapping",
            "listen",
            "pipeline",
            "postgres",
            "proto",
            "spool",
            "store",
            "telemetry",
        ],
        without: &["anyhow"],
        rule: "work: it builds the parts, spawns their tasks and ends them",
    },
    Room {
        name: "client",
        uses: &["proto"],
        without: &["sqlx", "axum"],
        rule: "anything of the daemon but the protocol",
    },
    Room {
        name: "console",
        uses: &[],
        without: &["sqlx", "prost"],
        rule: "commands: it prints, and runs a daemon as a child process",
    },
    Room {
        name: "bench",
        uses: &["client", "config", "console", "postgres", "proto", "store"],
        without: &[],
        rule: "anything that the daemon needs",
    },
    Room {
        name: "cli",
        uses: &[
            "app",
            "auth",
            "bench",
            "client",
            "config",
            "console",
            "ingest",
            "json_mapping",
            "listen",
            "postgres",
            "proto",
            "query",
            "spool",
            "store",
            "telemetry",
        ],
        without: &[],
        rule: "work: a command reads its flags, calls one part, and prints",
    },
];

/// Code that must stay free of IO inside rooms that are not.
pub const PURE: &[&str] = &[
    "ingest/native/decode",
    "ingest/native/encode",
    "ingest/otlp/map",
    "ingest/otlp/wire",
];

/// The only rooms in which errors may be `anyhow`'s: what they do with one is print it.
pub const ANYHOW: &[&str] = &["bench", "cli", "console"];

/// The forbidden names of [`PURE`].
pub const PURE_WITHOUT: &[&str] = IO;

//! A stand-in for a Supabase project: its roles, its schema `auth`, and default privileges that give
//! everybody every right on new tables. The daemon's owner is no superuser there.

use std::process::{Command, Output};

use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection};

use super::pg::{self, OwnCluster};

/// Supabase's own, owned by a role of its own.
pub const AUTH: &str = r#"
    CREATE ROLE anon NOLOGIN;
    CREATE ROLE authenticated NOLOGIN;
    CREATE ROLE supabase_auth_admin NOLOGIN;
    CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
    GRANT USAGE ON SCHEMA auth TO anon, authenticated;
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
      select
      coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
      )::uuid
    $$;
    CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
      select
        coalesce(
            nullif(current_setting('request.jwt.claim', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')
        )::jsonb
    $$;
    COMMENT ON FUNCTION auth.uid() IS 'Deprecated. Use auth.jwt() -> ''sub'' instead.';
    ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
    ALTER FUNCTION auth.jwt() OWNER TO supabase_auth_admin;
"#;

/// What the project has beside them, as the superuser.
const PROJECT: &str = "
    CREATE ROLE service_role NOLOGIN BYPASSRLS;
    CREATE ROLE project_owner LOGIN BYPASSRLS CREATEROLE;
    GRANT anon, authenticated, service_role TO project_owner;
    GRANT USAGE ON SCHEMA auth TO project_owner, service_role;
    ALTER DATABASE project OWNER TO project_owner;
    ALTER SCHEMA public OWNER TO project_owner;
    GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
";

/// As the owner, before the migrations.
const DEFAULT_PRIVILEGES: &str = "
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
";

/// The claims of a request that has only the public key.
pub const ANON: &str = r#"{"role":"anon"}"#;

/// A project, not migrated yet.
pub struct Supabase {
    _cluster: OwnCluster,
    url: String,
    pub owner: PgConnection,
}

impl Supabase {
    /// With what the product has already.
    pub async fn new(product: &str) -> Self {
        let cluster = pg::own_cluster().await;
        let mut superuser = PgConnection::connect(cluster.url()).await.unwrap();
        run(&mut superuser, "CREATE DATABASE project").await;
        let as_superuser = cluster.url().replace("/runtraced?", "/project?");
        assert_ne!(as_superuser, cluster.url());
        let mut superuser = PgConnection::connect(&as_superuser).await.unwrap();
        run(&mut superuser, AUTH).await;
        run(&mut superuser, PROJECT).await;
        let url = as_superuser.replace("//runtraced@", "//project_owner@");
        assert_ne!(url, as_superuser);
        let mut owner = PgConnection::connect(&url).await.unwrap();
        run(&mut owner, DEFAULT_PRIVILEGES).await;
        run(&mut owner, product).await;
        Self {
            _cluster: cluster,
            url,
            owner,
        }
    }

    /// The same, migrated.
    pub async fn migrated(product: &str) -> Self {
        let project = Self::new(product).await;
        project.migrate();
        project
    }

    /// As the owner.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `runtraced migrate`.
    pub fn migrate(&self) {
        let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .arg("migrate")
            .env("DATABASE_URL", &self.url)
            .output()
            .unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    }

    /// Runs a statement as the owner.
    pub async fn run(&mut self, sql: &str) {
        run(&mut self.owner, sql).await;
    }

    /// Runs a statement as PostgREST does for a request with these claims, and keeps what it did. How many
    /// rows it gave or changed.
    pub async fn request(&mut self, claims: &str, sql: &str) -> Result<u64, Error> {
        let role = match claims {
            ANON => "anon",
            _ => "authenticated",
        };
        let mut transaction = self.owner.begin().await?;
        sqlx::query(
            "SELECT set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
        )
        .bind(claims)
        .bind(role)
        .execute(&mut *transaction)
        .await?;
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *transaction)
            .await;
        match &done {
            Ok(_) => transaction.commit().await?,
            Err(_) => transaction.rollback().await?,
        }
        done.map(|done| done.rows_affected())
    }

    /// A request that changes or gives nothing: it is refused, or finds no row.
    pub async fn assert_in_vain(&mut self, claims: &str, sql: &str) {
        match self.request(claims, sql).await {
            Ok(rows) => assert_eq!(rows, 0, "{sql} as {claims}"),
            Err(error) => assert!(is_refusal(&error), "{sql} as {claims}: {error}"),
        }
    }

    /// A request that does one row.
    pub async fn assert_done(&mut self, claims: &str, sql: &str) {
        match self.request(claims, sql).await {
            Ok(rows) => assert_eq!(rows, 1, "{sql} as {claims}"),
            Err(error) => panic!("{sql} as {claims}: {error}"),
        }
    }

    /// One value, as the owner.
    pub async fn value<T>(&mut self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut self.owner)
            .await
            .unwrap()
    }
}

/// Refused by a policy, a missing right or a trigger; or because a view like that cannot be written at all.
pub fn is_refusal(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42501" | "55000"))
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let result = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await;
    if let Err(error) = result {
        panic!("{error}\n{sql}");
    }
}

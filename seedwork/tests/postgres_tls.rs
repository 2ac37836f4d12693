//! TLS to PostgreSQL, on a server of the test's own with a certificate of the test's own authority.
#![cfg(feature = "distributed")]
#![expect(clippy::disallowed_methods, reason = "threads that wait for a real server")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use seedwork::store::postgres::{Readers, is_away, statements};
use seedwork::testing::servers;
use seedwork::view::Read as _;

/// A PostgreSQL server that takes encrypted connections alone; stopped and gone when it goes.
struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
}

/// Where `initdb` and `pg_ctl` are.
fn programs() -> PathBuf {
    let installed =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&path).chain(installed);
    all.find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
        .expect("a server runs, so it has programs")
}

/// Runs a shell's line in a folder, as whoever may run PostgreSQL: not root.
#[track_caller]
fn run(folder: &Path, line: &str) {
    let root = Command::new("id").arg("-u").output().expect("id runs").stdout == b"0\n";
    let mut command = if root { Command::new("runuser") } else { Command::new("sh") };
    if root {
        command.args(["-u", "postgres", "--", "sh"]);
    }
    // Into files: the server that it starts lives on, and would hold a pipe open.
    let line = format!("({line}) >>{0}/said 2>&1 </dev/null", folder.display());
    let status = command.args(["-ec", &line]).current_dir(folder).status().expect("a shell runs");
    let said = std::fs::read_to_string(folder.join("said")).unwrap_or_default();
    assert!(status.success(), "{line}: {said}");
}

impl Cluster {
    fn start() -> Cluster {
        let folder = std::env::temp_dir().join(format!("alpes-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a directory for the test");
        let shared = Command::new("chmod").arg("0777").arg(&folder).status().expect("chmod runs");
        assert!(shared.success());
        let port =
            std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port();
        let cluster = Cluster { folder, programs: programs(), port };
        let authority = |name: &str| {
            format!(
                "openssl req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name} -batch"
            )
        };
        run(&cluster.folder, &authority("ours"));
        run(&cluster.folder, &authority("other"));
        run(&cluster.folder, "openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost -batch");
        run(&cluster.folder, "echo subjectAltName=DNS:localhost >names");
        run(
            &cluster.folder,
            "openssl x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -out server.crt -days 2 -extfile names",
        );
        let programs = cluster.programs.display();
        run(&cluster.folder, "echo secret >password; chmod 600 server.key");
        run(
            &cluster.folder,
            &format!("{programs}/initdb -D data -U postgres --pwfile=password --auth=scram-sha-256 --locale=C --encoding=UTF8"),
        );
        run(&cluster.folder, "echo 'hostssl all all 127.0.0.1/32 scram-sha-256' >data/pg_hba.conf");
        let place = cluster.folder.display();
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c ssl=on -c ssl_cert_file={place}/server.crt \
             -c ssl_key_file={place}/server.key"
        );
        run(&cluster.folder, &format!("{programs}/pg_ctl -D data -w -l server.log -o '{options}' start"));
        cluster
    }

    fn url(&self, host: &str, query: &str) -> String {
        format!("postgres://postgres:secret@{host}:{}/postgres{query}", self.port)
    }

    fn verified(&self, host: &str, authority: &str) -> String {
        self.checked("verify-full", host, authority)
    }

    fn checked(&self, mode: &str, host: &str, authority: &str) -> String {
        self.url(host, &format!("?sslmode={mode}&sslrootcert={}/{authority}.crt", self.folder.display()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stop = format!("{}/pg_ctl -D data -m immediate stop", self.programs.display());
        run(&self.folder, &format!("{stop}; rm -rf data"));
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether the session of a connection is encrypted, as the server says.
fn encrypted(url: &str) -> Result<bool, String> {
    let readers = Readers::new(url).map_err(|error| error.0)?;
    let rows = readers.select("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])?;
    Ok(rows.concat().first().and_then(seedwork::view::Value::integer) == Some(1))
}

/// Names the variable by which a process that trusts other certificates is told to connect to this, and nothing else.
const TOLD: &str = "ALPES_TEST_URL";

#[test]
fn a_connection_is_encrypted_and_a_server_that_is_not_the_one_that_is_meant_is_refused() {
    if let Ok(url) = std::env::var(TOLD) {
        return assert_eq!(encrypted(&url), Ok(true));
    }
    if servers::postgres().is_none() {
        return;
    }
    let cluster = Cluster::start();
    assert_eq!(encrypted(&cluster.url("localhost", "?sslmode=require")), Ok(true));
    assert_eq!(encrypted(&cluster.verified("localhost", "ours")), Ok(true));
    // The name is not looked at with these two; as to PostgreSQL's own clients a file makes one of the other.
    for mode in ["verify-ca", "require"] {
        assert_eq!(encrypted(&cluster.checked(mode, "127.0.0.1", "ours")), Ok(true), "{mode}");
    }
    // The certificates that a system trusts can be said to be others. Whoever is refused tries for some seconds, so all ask at once.
    let mut asking = Vec::new();
    for (authority, host, well) in [("ours", "localhost", true), ("other", "localhost", false), ("ours", "127.0.0.1", false)] {
        for query in ["?sslmode=verify-full&sslrootcert=system", "?sslrootcert=system"] {
            let program = std::env::current_exe().expect("this test's own program");
            let asked = Command::new(program)
                .args(["--exact", "a_connection_is_encrypted_and_a_server_that_is_not_the_one_that_is_meant_is_refused"])
                .env("SSL_CERT_FILE", cluster.folder.join(format!("{authority}.crt")))
                .env_remove("SSL_CERT_DIR")
                .env(TOLD, cluster.url(host, query))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it runs");
            asking.push((format!("{authority} {host} {query}"), well, asked));
        }
    }
    std::thread::scope(|all| {
        for (url, part) in [
            (cluster.checked("verify-ca", "localhost", "other"), "sslrootcert"),
            (cluster.checked("require", "localhost", "other"), "sslrootcert"),
            (cluster.url("localhost", ""), "no encryption"),
            (cluster.url("localhost", "?sslmode=verify-full"), "sslrootcert=system"),
            (cluster.verified("localhost", "other"), "sslrootcert"),
            (cluster.verified("127.0.0.1", "ours"), "names this host"),
        ] {
            all.spawn(move || {
                let why = encrypted(&url).expect_err("it is refused");
                assert!(why.contains(part) && !why.contains("secret"), "{why}");
            });
        }
    });
    for (what, well, asked) in asking {
        let asked = asked.wait_with_output().expect("it ends");
        assert_eq!(asked.status.success(), well, "{what}: {asked:?}");
        assert!(String::from_utf8_lossy(&asked.stdout).contains("1 test"), "it was asked: {asked:?}");
    }
    // What ends by itself is told apart over TLS too: here a server that has no room for this user.
    let crowd = "CREATE ROLE crowd LOGIN CONNECTION LIMIT 0 PASSWORD 'secret'";
    statements(&cluster.url("localhost", "?sslmode=require"), crowd).expect("a user who may not connect");
    let crowded = cluster.verified("localhost", "ours").replace("postgres:secret", "crowd:secret");
    assert!(is_away(&crowded) && !is_away(&crowded.replace("crowd:secret", "crowd:wrong")));
    // An owner's store needs nothing else.
    assert!(seedwork::store::Postgres::connect(&cluster.verified("localhost", "ours")).is_ok());
}

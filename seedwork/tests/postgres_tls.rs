//! TLS to PostgreSQL, on a server of the test's own with a certificate of the test's own authority.
#![cfg(feature = "distributed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use seedwork::store::postgres::Readers;
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
        self.url(host, &format!("?sslmode=verify-full&sslrootcert={}/{authority}.crt", self.folder.display()))
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

#[test]
fn a_connection_is_encrypted_and_a_server_that_is_not_the_one_that_is_meant_is_refused() {
    if servers::postgres().is_none() {
        return;
    }
    let cluster = Cluster::start();
    assert_eq!(encrypted(&cluster.url("localhost", "?sslmode=require")), Ok(true));
    assert_eq!(encrypted(&cluster.verified("localhost", "ours")), Ok(true));
    for (url, part) in [
        (cluster.url("localhost", ""), "no encryption"),
        (cluster.verified("localhost", "other"), "sslrootcert"),
        (cluster.verified("127.0.0.1", "ours"), "names this host"),
    ] {
        let why = encrypted(&url).expect_err("it is refused");
        assert!(why.contains(part) && !why.contains("secret"), "{why}");
    }
    // An owner's store needs nothing else.
    assert!(seedwork::store::Postgres::connect(&cluster.verified("localhost", "ours")).is_ok());
}
